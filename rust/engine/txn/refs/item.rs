// SPDX-License-Identifier: GPL-2.0
//! An extent's item taken out of the tree: count, flags and inline references, changed and put back.
//!
//! Inline references stand ascending by kind and, within a kind, descending by what they name; data references by
//! their hash.

use crate::disk::{
    leaf_area, Bug, ExtentFlags, ExtentHead, ExtentItem, Flaw, Generation, InlineRef, Key, Kind,
    Logical, Reference, Site, ITEM_HEAD,
};
use core::cell::Cell;
use latch::prelude::*;

/// An extent item taken out of its leaf, to be edited and put back.
pub(super) struct Record {
    addr: Logical,
    head: ExtentHead,
    /// The inline references, in the order of the item.
    inline: KVVec<InlineRef>,
}

/// Where a reference is, or would be, among the inline ones.
enum Position {
    /// The reference is here and counts this many.
    At(usize, u32),
    /// There is no such reference; it belongs before the one here.
    Before(usize),
}

/// What became of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// The change was made in the item.
    Done,
    /// The change must be made in an item of its own.
    Keyed,
}

/// Said of a reference that is to be dropped.
pub(super) const MISSING: &str = "reference to be dropped is missing";
const NO_ROOM: Bug = Bug::new("an extent item is longer than its room");
/// What is said where an extent has more references of one kind than an item counts.
pub(super) const TOO_MANY: &str = "extent has more references of one kind than are counted";

impl Record {
    /// A new extent without references.
    pub(super) fn new(
        addr: Logical,
        generation: Generation,
        flags: ExtentFlags,
        block_info: Option<(Key, u8)>,
    ) -> Self {
        let head = ExtentHead {
            refs: 0,
            generation,
            flags,
            block_info,
        };
        Self {
            addr,
            head,
            inline: KVVec::new(),
        }
    }

    /// The extent of an item as `kind` has it in the tree.
    pub(super) fn parse(addr: Logical, kind: Kind, bytes: &[u8]) -> Result<Self> {
        let broken = |flaw: Flaw| flaw.at(Site::Extent(addr)).report();
        let item = ExtentItem::parse(kind, bytes).map_err(broken)?;
        let mut inline = KVVec::new();
        for reference in item.inline_refs {
            inline.push(reference.map_err(broken)?, GFP_NOFAIL)?;
        }
        let head = ExtentHead {
            refs: item.refs,
            generation: item.generation,
            flags: item.flags,
            block_info: item.block_info,
        };
        Ok(Self { addr, head, inline })
    }

    /// Bytes of the item.
    pub(super) fn encoded_len(&self) -> usize {
        let refs = self.inline.iter().map(InlineRef::encoded_len);
        refs.fold(self.head.encoded_len(), usize::saturating_add)
    }

    /// Writes the item to [`Self::encoded_len`] bytes.
    pub(super) fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        self.head.write_to(bytes)?;
        let mut rest = bytes.get_mut(self.head.encoded_len()..).unwrap_or(&mut []);
        for inline in self.inline.iter() {
            let (front, behind) = rest
                .split_at_mut_checked(inline.encoded_len())
                .ok_or(NO_ROOM)?;
            inline.write_to(front)?;
            rest = behind;
        }
        Ok(())
    }

    /// Says what is wrong with the extent.
    #[cold]
    pub(super) fn broken(&self, flaw: Flaw) -> Error {
        flaw.at(Site::Extent(self.addr)).report()
    }

    /// Says what is wrong with a reference to it.
    #[cold]
    fn wrong(&self, reference: Reference, flaw: Flaw) -> Error {
        flaw.at(Site::Reference(self.addr, reference)).report()
    }

    /// The count of all references.
    pub(super) fn refs(&self) -> u64 {
        self.head.refs
    }

    /// What the extent is.
    pub(super) fn flags(&self) -> ExtentFlags {
        self.head.flags
    }

    /// Changes the count of all references by those that one gains or loses.
    pub(super) fn change_refs(&mut self, reference: Reference, delta: i64) -> Result {
        let what = "extent has fewer references than are dropped";
        let refs = self.head.refs;
        let flaw = || Flaw::new(what, refs, delta.unsigned_abs());
        self.head.refs = refs
            .checked_add_signed(delta)
            .ok_or_else(|| self.wrong(reference, flaw()))?;
        Ok(())
    }

    /// Sets flags of the extent.
    pub(super) fn add_flags(&mut self, flags: ExtentFlags) {
        self.head.flags = self.head.flags.with(flags);
    }

    /// Whether all references are inline: then there are no items of their own.
    pub(super) fn is_all_inline(&self) -> bool {
        let counts = self.inline.iter().map(|inline| u64::from(inline.count()));
        counts.fold(0u64, u64::saturating_add) == self.head.refs
    }

    /// Adds `count` references inline, and to the count of all.
    pub(super) fn add(&mut self, reference: Reference, count: u32, node_size: u32) -> Result<Edit> {
        match self.find(reference) {
            Position::At(at, old) => {
                let flaw = || Flaw::new(TOO_MANY, old.into(), u32::MAX.into());
                let new = old.checked_add(count);
                let new = new.ok_or_else(|| self.wrong(reference, flaw()))?;
                self.set_count(at, reference, new)?;
            }
            Position::Before(at) => {
                let new = InlineRef::new(reference, count);
                let limit = (leaf_area(node_size) / 16) as usize;
                let size = self.encoded_len().saturating_add(new.encoded_len());
                if size >= limit.saturating_sub(ITEM_HEAD) || !self.is_all_inline() {
                    return Ok(Edit::Keyed);
                }
                self.insert(at, new)?;
            }
        }
        self.change_refs(reference, i64::from(count))?;
        Ok(Edit::Done)
    }

    /// Drops `count` references that are inline, and from the count of all.
    pub(super) fn remove(&mut self, reference: Reference, count: u32) -> Result<Edit> {
        let Position::At(at, old) = self.find(reference) else {
            if self.is_all_inline() {
                let flaw = Flaw::new(MISSING, 0, count.into());
                return Err(self.wrong(reference, flaw));
            }
            return Ok(Edit::Keyed);
        };
        match old.checked_sub(count) {
            Some(0) => self.cut(at),
            Some(left) => self.set_count(at, reference, left)?,
            None => {
                let what = "extent has fewer inline references than are dropped";
                let flaw = Flaw::new(what, old.into(), count.into());
                return Err(self.wrong(reference, flaw));
            }
        }
        self.change_refs(reference, i64::from(count).saturating_neg())?;
        Ok(Edit::Done)
    }

    fn find(&self, wanted: Reference) -> Position {
        let order = |inline: &InlineRef| (inline.kind(), !inline.sequence());
        let limit = order(&InlineRef::new(wanted, 1));
        for (at, inline) in self.inline.iter().enumerate() {
            if inline.reference() == wanted {
                return Position::At(at, inline.count());
            }
            if order(inline) > limit {
                return Position::Before(at);
            }
        }
        Position::Before(self.inline.len())
    }

    fn set_count(&mut self, at: usize, reference: Reference, count: u32) -> Result {
        if reference.is_block() {
            let what = "extent is referenced more than once by one holder";
            let flaw = Flaw::new(what, count.into(), 1);
            return Err(self.wrong(reference, flaw));
        }
        if let Some(inline) = self.inline.get_mut(at) {
            *inline = InlineRef::new(reference, count);
        }
        Ok(())
    }

    fn insert(&mut self, at: usize, reference: InlineRef) -> Result {
        self.inline.push(reference, GFP_NOFAIL)?;
        let cells = Cell::from_mut(&mut *self.inline).as_slice_of_cells();
        cells
            .get(at..)
            .unwrap_or(&[])
            .windows(2)
            .rev()
            .for_each(swap);
        Ok(())
    }

    fn cut(&mut self, at: usize) {
        let cells = Cell::from_mut(&mut *self.inline).as_slice_of_cells();
        cells.get(at..).unwrap_or(&[]).windows(2).for_each(swap);
        self.inline.pop();
    }
}

/// Swaps two neighbours.
fn swap(pair: &[Cell<InlineRef>]) {
    if let [first, second] = pair {
        let moved = first.replace(second.get());
        second.set(moved);
    }
}
