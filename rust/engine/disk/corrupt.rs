// SPDX-License-Identifier: GPL-2.0
//! What is said of bytes that break the format.

use super::Logical;
use kernel::fmt;
use latch::prelude::{Error, EUCLEAN};

/// A rule that some bytes break, without the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// The flaw with its place: `slot` is the item in a tree block, if it is in one.
    #[cold]
    pub const fn at(self, addr: Logical, slot: Option<usize>) -> Corrupt {
        Corrupt {
            addr,
            slot,
            what: self.what,
            found: self.found,
            expected: self.expected,
        }
    }
}

/// A place on the disk whose bytes break the format. Printed once, where it is met; `EUCLEAN` from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// The tree block, or the superblock's place on its device.
    pub addr: Logical,
    /// The item in the block.
    pub slot: Option<usize>,
    /// The rule, as "this is not so".
    pub what: &'static str,
    /// What stands there.
    pub found: u64,
    /// What should, or the limit.
    pub expected: u64,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, found {} ({:#x}), expected {}",
            self.what, self.found, self.found, self.expected
        )
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corrupt block {}", self.addr.get())?;
        if let Some(slot) = self.slot {
            write!(f, " slot {slot}")?;
        }
        let Self {
            what,
            found,
            expected,
            ..
        } = self;
        write!(
            f,
            ": {what}, found {found} ({found:#x}), expected {expected}"
        )
    }
}

impl From<Flaw> for Error {
    fn from(_: Flaw) -> Error {
        EUCLEAN
    }
}

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Error {
        EUCLEAN
    }
}

/// `Ok` when `holds`, else the flaw.
#[inline(always)]
pub(super) fn ensure(
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
