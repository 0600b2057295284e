// SPDX-License-Identifier: GPL-2.0

//! Which bytes of a file direct writes are about to change.
//!
//! While a direct write is under way, the page cache holds no block of its range that is up to date: what the cache had
//! is dropped before, and nobody fills a folio there until the write has ended. So nothing older than the write can
//! become dirty in between, be it by a store to another block of the same folio, and be written over it.
//!
//! A write enters its range before the cache is dropped. Who fills a folio has it in the cache, locked, before he asks
//! here: either he sees the range, or the drop finds his folio and waits for its lock. Nobody waits here with a folio
//! locked. Who must fill a folio keeps writes out and waits for those under way: so he has his turn.

use super::{bindings, Patience};
use core::mem;
use core::ops::Range;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use latch::prelude::*;
use latch::{Condvar, Mutex, Rank};
use units::FileOffset;

/// The byte ranges of one file that direct writes are under way to, and those that they are kept out of.
pub(crate) struct DirectRanges {
    entries: Mutex<Entries>,
    one_left: Condvar,
}

struct Entries {
    ranges: RBTree<Entrant, Range<FileOffset>>,
    /// The number of those who kept writes out, in all.
    fills: u64,
}

/// Whether others may write to a block that a direct write is under way to. Which of both it has in the end is open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlaps {
    /// Writes may overlap: each goes to a place of its own.
    Allowed,
    /// Writes that overlap wait: both might go to the same place, and each has checksums of its own bytes.
    Excluded,
}

/// Who has entered a range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entrant {
    /// A direct write: the address of its `kiocb`, which is its own from beginning to end.
    Write(usize),
    /// Who fills a folio: a number.
    Fill(u64),
}

impl Entrant {
    /// The direct write that `iocb` is of.
    pub(super) fn write(iocb: *mut bindings::kiocb) -> Self {
        Self::Write(iocb.addr())
    }

    /// Writes and fills exclude each other, but not their like.
    fn excludes(self, other: Self) -> bool {
        matches!(self, Self::Write(_)) != matches!(other, Self::Write(_))
    }
}

impl DirectRanges {
    /// Makes the ranges of a file that no direct request has entered.
    pub(crate) fn new() -> Result<Self> {
        let entries = Entries {
            ranges: RBTree::new(),
            fills: 0,
        };
        Ok(Self {
            entries: Mutex::new(entries, Rank::DirectRanges)?,
            one_left: Condvar::new(Rank::DirectRanges)?,
        })
    }

    /// Enters `range` for a direct write, as soon as it is not kept out, and nobody is there whom it must not overlap, until
    /// the value is dropped or [`Entered::goes_on`]. `EAGAIN`, `ENOMEM`.
    pub(super) fn enter(
        &self,
        write: Entrant,
        range: Range<FileOffset>,
        overlaps: Overlaps,
        patience: Patience,
    ) -> Result<Entered<'_>> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mut entries = self.entries.lock();
        let has_others = |entries: &Entries| match overlaps {
            Overlaps::Allowed => entries.exclude(write, &range),
            Overlaps::Excluded => entries.has_any(&range),
        };
        while has_others(&entries) {
            match patience {
                Patience::Waits => self.one_left.wait(&mut entries),
                Patience::None => return Err(EAGAIN),
            }
        }
        entries.ranges.insert(node.into_node(write, range));
        Ok(self.entered(write))
    }

    /// The entry of a write that [`Entered::goes_on`], for who completes it.
    pub(super) fn entered(&self, entrant: Entrant) -> Entered<'_> {
        Entered {
            ranges: self,
            entrant,
        }
    }

    /// Keeps writes out of `range` until the value is dropped, and waits for those under way there. The caller holds no
    /// folio's lock. `ENOMEM`.
    pub(in crate::linux::iomap) fn keep_out(
        &self,
        range: &Range<FileOffset>,
    ) -> Result<Entered<'_>> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mut entries = self.entries.lock();
        entries.fills = entries.fills.wrapping_add(1);
        let fill = Entrant::Fill(entries.fills);
        entries.ranges.insert(node.into_node(fill, range.clone()));
        while entries.exclude(fill, range) {
            self.one_left.wait(&mut entries);
        }
        Ok(self.entered(fill))
    }

    /// The end of the longest part at the beginning of `range` that no write is under way to.
    pub(in crate::linux::iomap) fn free_until(&self, range: &Range<FileOffset>) -> FileOffset {
        let entries = self.entries.lock();
        let mut end = range.end;
        for (entrant, entry) in entries.ranges.iter() {
            if matches!(entrant, Entrant::Write(_)) && meets(entry, range) {
                end = end.min(entry.start.max(range.start));
            }
        }
        end
    }

    fn leave(&self, entrant: Entrant) {
        if self.entries.lock().ranges.remove(&entrant).is_none() {
            pr_err!("a direct request ended that had not begun\n");
        }
        self.one_left.notify_all();
    }
}

impl Drop for DirectRanges {
    fn drop(&mut self) {
        if !self.entries.lock().ranges.is_empty() {
            pr_err!("a file goes whose direct requests have not ended\n");
        }
    }
}

impl Entries {
    /// Whether anybody is in `range`.
    fn has_any(&self, range: &Range<FileOffset>) -> bool {
        self.ranges.iter().any(|(_, entry)| meets(entry, range))
    }

    /// Whether somebody is in `range` whom `entrant` must wait for.
    fn exclude(&self, entrant: Entrant, range: &Range<FileOffset>) -> bool {
        let mut others = self.ranges.iter();
        others.any(|(other, entry)| entrant.excludes(*other) && meets(entry, range))
    }
}

fn meets(one: &Range<FileOffset>, other: &Range<FileOffset>) -> bool {
    one.start < other.end && other.start < one.end
}

/// A range that is entered, until this is dropped.
#[must_use = "the range is left when this is dropped"]
pub(in crate::linux::iomap) struct Entered<'a> {
    ranges: &'a DirectRanges,
    entrant: Entrant,
}

impl Entered<'_> {
    /// The write is under way: who completes it has the entry from now on.
    pub(super) fn goes_on(self) {
        mem::forget(self);
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.ranges.leave(self.entrant);
    }
}
