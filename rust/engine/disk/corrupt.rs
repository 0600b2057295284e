// SPDX-License-Identifier: GPL-2.0
//! What is said of bytes that break the format.
//!
//! A parser answers a [`Flaw`]: the rule that does not hold, what it found and what it expected. Whoever knows where
//! the bytes stand gives the flaw its [`Site`], which makes it [`Corrupt`]; and [`Corrupt::report`] logs one line and
//! answers `EUCLEAN`. There is no other way to that error, so none of them is silent. Who gets the error passes it on
//! and says nothing more.
//!
//! ```ignore
//! use crate::disk::{Bug, Flaw, InodeItem, Site};
//!
//! // Bytes of an item, whose key is known.
//! let inode = InodeItem::parse(bytes).map_err(|flaw| flaw.in_item(tree.id(), &key).report())?;
//! // A rule between things that are well-formed by themselves.
//! let group = group.ok_or_else(|| Flaw::missing("chunk has no block group").at(Site::Chunk(addr)).report())?;
//! ```
//!
//! What only a mistake in this code can break is a [`latch::Bug`], whatever the disk holds.
//!
//! All of it is cold code: in a hot loop the only cost is the branch. Build the value in a closure or as a constant, as
//! above, never before it is needed.

pub use latch::Bug;

use super::{Key, Logical, ObjectId, Physical, Reference, TreeId};
use kernel::fmt;
use latch::prelude::{pr_err, Error, EUCLEAN};

/// A rule that some bytes break, without the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a flaw that nobody reports is an error without a reason"]
pub struct Flaw {
    /// The rule, as "this is not so".
    pub what: &'static str,
    /// What stands there.
    pub found: u64,
    /// What should, or the limit.
    pub expected: u64,
}

impl Flaw {
    /// Names a broken rule.
    #[cold]
    pub const fn new(what: &'static str, found: u64, expected: u64) -> Self {
        Self {
            what,
            found,
            expected,
        }
    }

    /// Names what must be there and is not: none was found, one expected.
    #[cold]
    pub const fn missing(what: &'static str) -> Self {
        Self::new(what, 0, 1)
    }

    /// Says where the flaw is.
    #[cold]
    pub const fn at(self, site: Site) -> Corrupt {
        Corrupt { site, flaw: self }
    }

    /// Says that the flaw is in a tree block: of its header, or of the block as a whole.
    #[cold]
    pub const fn in_block(self, addr: Logical) -> Corrupt {
        self.at(Site::Block(addr))
    }

    /// Says that the flaw is in one slot of a tree block.
    #[cold]
    pub const fn in_slot(self, addr: Logical, slot: usize) -> Corrupt {
        self.at(Site::Slot(addr, slot))
    }

    /// Says that the flaw is in the item of a tree that has this key.
    #[cold]
    pub fn in_item(self, tree: impl Into<TreeId>, key: &Key) -> Corrupt {
        self.at(Site::Item(tree.into(), *key))
    }
}

/// Where on the disk a flaw is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A tree block.
    Block(Logical),
    /// An item or a pointer of a tree block, by its slot.
    Slot(Logical, usize),
    /// An item of a tree, by its key.
    Item(TreeId, Key),
    /// A tree as a whole.
    Tree(TreeId),
    /// An inode of a subvolume.
    Inode(ObjectId, ObjectId),
    /// The copy of the superblock that belongs at this byte of a device.
    Superblock(Physical),
    /// The chunk that begins at this address.
    Chunk(Logical),
    /// The block group that begins at this address.
    BlockGroup(Logical),
    /// An extent: a tree block or data, as the extent tree counts it.
    Extent(Logical),
    /// A reference to the extent at this address.
    Reference(Logical, Reference),
}

/// A place on the disk whose bytes break the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a flaw that nobody reports is an error without a reason"]
pub struct Corrupt {
    /// Where it is.
    pub site: Site,
    /// Which rule is broken.
    pub flaw: Flaw,
}

impl Corrupt {
    /// Logs the line, unless there were too many lately, and gives the error for the caller.
    #[cold]
    #[inline(never)]
    #[must_use = "the line is logged: the error is for the caller"]
    pub fn report(self) -> Error {
        pr_err!("{}\n", self);
        EUCLEAN
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            found,
            expected,
        } = self;
        write!(f, "{what}, found {found} ({found:#x}), expected {expected}")
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(addr) => write!(f, "block {}", addr.get()),
            Self::Slot(addr, slot) => write!(f, "block {} slot {slot}", addr.get()),
            Self::Item(tree, key) => {
                write!(f, "item ")?;
                key.fmt(f)?;
                write!(f, " of tree ")?;
                tree.fmt(f)
            }
            Self::Tree(tree) => {
                write!(f, "tree ")?;
                tree.fmt(f)
            }
            Self::Inode(tree, number) => write!(f, "inode {} of tree {}", number.get(), tree.get()),
            Self::Superblock(place) => write!(f, "superblock {}", place.get()),
            Self::Chunk(addr) => write!(f, "chunk {}", addr.get()),
            Self::BlockGroup(addr) => write!(f, "block group {}", addr.get()),
            Self::Extent(addr) => write!(f, "extent {}", addr.get()),
            Self::Reference(addr, reference) => {
                write!(f, "extent {} ", addr.get())?;
                reference.fmt(f)
            }
        }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corrupt ")?;
        self.site.fmt(f)?;
        write!(f, ": ")?;
        self.flaw.fmt(f)
    }
}

/// `Ok` when `holds`, else the flaw.
#[inline(always)]
pub(crate) fn ensure(
    holds: bool,
    what: &'static str,
    found: u64,
    expected: u64,
) -> Result<(), Flaw> {
    if holds {
        Ok(())
    } else {
        Err(Flaw::new(what, found, expected))
    }
}

/// `Ok` when both are the same.
#[inline(always)]
pub(super) fn ensure_eq(what: &'static str, found: u64, expected: u64) -> Result<(), Flaw> {
    ensure(found == expected, what, found, expected)
}

/// `Ok` when `found` is at most `limit`.
#[inline(always)]
pub(super) fn ensure_max(what: &'static str, found: u64, limit: u64) -> Result<(), Flaw> {
    ensure(found <= limit, what, found, limit)
}

/// `Ok` when `found` is a multiple of `unit`, a power of two.
#[inline(always)]
pub(super) fn ensure_aligned(what: &'static str, found: u64, unit: u32) -> Result<(), Flaw> {
    ensure(
        found & u64::from(unit).wrapping_sub(1) == 0,
        what,
        found,
        unit.into(),
    )
}
