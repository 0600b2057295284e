// SPDX-License-Identifier: GPL-2.0
//! Delayed allocation: which bytes of a file are dirty in memory without an address, and the space kept for them.
//!
//! A task that is about to dirty blocks reserves first, into an [`Allowance`] of its own, without a folio's lock. With
//! the folio locked it lets [`Delalloc::cover`] move what is missing from there to the blocks. Writeback, which has the
//! folio locked too, [`Delalloc::take`]s what it is about to send; truncation [`Delalloc::punch`]es. So look-up and
//! reservation are one step as far as a folio's blocks are concerned, and neither waits with the folio locked.
//!
//! A range holds its reservation: no space is kept without a byte. A dirty block without a range was dirtied behind
//! the file system's back; that is how writeback knows it, see `Documentation/life-of-a-byte.md`.
//!
//! Blocks over preallocated space that they can be written to need no other. Which they are is noted beside the ranges: of
//! a reservation they have a share without bytes of data, and writeback takes them apart from the rest.
//!
//! | module      | what it has                                             |
//! |-------------|---------------------------------------------------------|
//! | `allowance` | space of one task, for blocks that it is about to dirty |
//! | `covered`   | ranges of a file, and what each holds                   |
//! | `under_way` | what was taken and is in no tree yet                    |

mod allowance;
mod covered;
mod under_way;

pub use allowance::Allowance;

use crate::disk::{Bytes, FileOffset};
use crate::fs::WriteReservation;
use crate::map::Spare;
use core::ops::Range;
use covered::{Covered, RangeSpare};
use latch::prelude::*;
use latch::{Mutex, Rank};
use under_way::UnderWay;

/// What is to become of dirty bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// The bytes go to a new extent.
    Cow,
    /// The bytes go to preallocated space that the file has where they are.
    InPlace,
}

/// Reserved space that can be cut and joined by the bytes of file data it stands for.
pub trait Divisible: Sized + Unpin {
    /// Takes in what `other` holds.
    fn merge(&mut self, other: Self);
    /// Cuts off the share of `len` bytes of data, `in_place` of which need no space of their own.
    fn split(&mut self, len: Bytes, in_place: Bytes) -> Result<Self>;
}

impl Divisible for WriteReservation {
    fn merge(&mut self, other: Self) {
        WriteReservation::merge(self, other);
    }

    fn split(&mut self, len: Bytes, in_place: Bytes) -> Result<Self> {
        WriteReservation::split_kinds(self, len, in_place)
    }
}

/// A mark holds nothing.
impl Divisible for () {
    fn merge(&mut self, (): Self) {}

    fn split(&mut self, _len: Bytes, _in_place: Bytes) -> Result<Self> {
        Ok(())
    }
}

/// An allowance is too small, or not ready: nothing was changed.
#[derive(Debug)]
pub struct Short;

/// What was delayed, and is its taker's now.
pub struct Delayed<R> {
    /// Where it ends.
    pub end: FileOffset,
    /// What is to become of it.
    pub kind: WriteKind,
    /// The space that it was promised.
    pub reservation: R,
}

/// The delayed ranges of one file.
pub struct Delalloc<R> {
    ranges: Mutex<Ranges<R>>,
}

struct Ranges<R> {
    delayed: Covered<R>,
    /// What of them goes to preallocated space.
    in_place: Covered<()>,
    /// The sum of the ranges' lengths.
    bytes: Bytes,
    under_way: UnderWay,
}

impl<R: Divisible> Delalloc<R> {
    /// No delayed ranges.
    pub fn new() -> Result<Self> {
        let ranges = Ranges {
            delayed: Covered::new(),
            in_place: Covered::new(),
            bytes: Bytes::ZERO,
            under_way: UnderWay::new(),
        };
        Ok(Self {
            ranges: Mutex::new(ranges, Rank::Delalloc)?,
        })
    }

    /// How many bytes are delayed.
    pub fn bytes(&self) -> Bytes {
        self.ranges.lock().bytes
    }

    /// How many bytes of `range` are not delayed. The answer holds while the folios there are locked.
    pub fn uncovered(&self, range: &Range<FileOffset>) -> Bytes {
        self.ranges.lock().delayed.uncovered(range.start, range.end)
    }

    /// How many bytes [`Self::cover`] of `range` takes for this kind. The answer holds while the folios there are locked.
    pub fn missing(&self, kind: WriteKind, range: &Range<FileOffset>) -> Bytes {
        self.ranges.lock().missing(kind, range.start, range.end)
    }

    /// Whether [`Self::cover`] of `range`, or of a part of it, will succeed while the folio there is locked.
    pub fn can_cover(&self, allowance: &Allowance<R>, range: &Range<FileOffset>) -> bool {
        if allowance.suffices(range.end.saturating_since(range.start)) {
            return true;
        }
        let missing = self.missing(allowance.kind(), range);
        missing == Bytes::ZERO || allowance.suffices(missing)
    }

    /// Makes all of `range` delayed, with space from `allowance` for what was not. The folio there is locked,
    /// and is dirty when its lock is given up. What the allowance is for in place is, all of it: what was to be written
    /// elsewhere is not any more, and gives that space back.
    pub fn cover(
        &self,
        allowance: &mut Allowance<R>,
        range: &Range<FileOffset>,
    ) -> core::result::Result<(), Short> {
        let (start, end) = (range.start, range.end);
        let mut ranges = self.ranges.lock();
        let missing = ranges.missing(allowance.kind(), start, end);
        if missing == Bytes::ZERO {
            return Ok(());
        }
        let share = allowance.split(missing).ok_or(Short)?;
        let new = ranges.delayed.uncovered(start, end);
        if let Some(spare) = allowance.spare.take() {
            allowance.spare = ranges.delayed.add(spare, start, end, share);
        }
        ranges.bytes = ranges.bytes.saturating_add(new);
        if let (WriteKind::InPlace, Some(mark)) = (allowance.kind(), allowance.mark.take()) {
            allowance.mark = ranges.in_place.add(mark, start, end, ());
            let held = ranges.delayed.held_around(start);
            drop(held.map(|held| held.split(missing.saturating_sub(new), Bytes::ZERO)));
        }
        Ok(())
    }

    /// Takes what is delayed at the start of `range`, as far as it is of one kind, with its reservation: the caller will
    /// write it, and say by [`Self::end`] when that is over. `None` when the first byte is not delayed. `ENOMEM`, with nothing
    /// changed.
    pub fn take(&self, range: &Range<FileOffset>) -> Result<Option<Delayed<R>>> {
        self.take_with(range, None, Some(Spare::new(GFP_KERNEL)?))
    }

    /// Does what [`Self::take`] does; it does not fail with memory at hand. What is taken is under way where there is a spare for that.
    fn take_with(
        &self,
        range: &Range<FileOffset>,
        memory: Option<CutMemory<R>>,
        under_way: Option<RangeSpare<()>>,
    ) -> Result<Option<Delayed<R>>> {
        let (start, end) = (range.start, range.end);
        let mut ranges = self.ranges.lock();
        let Some((_, last)) = ranges.delayed.around(start) else {
            return Ok(None);
        };
        let (kind, same) = ranges.kind_at(start);
        let end = end.min(last).min(same);
        if end <= start {
            return Ok(None);
        }
        let taken = ranges.cut(start, end, memory)?;
        ranges.bytes = ranges.bytes.saturating_sub(end.saturating_since(start));
        if let Some(spare) = under_way {
            ranges.under_way.begin(spare, start, end);
        }
        Ok(taken.map(|reservation| Delayed {
            end,
            kind,
            reservation,
        }))
    }

    /// Gives up what is delayed in `range`: the bytes are gone. It waits for the memory that this takes: what is promised a
    /// place in the file must not be promised it any longer than the file has that.
    pub fn punch(&self, range: &Range<FileOffset>) -> Result {
        let (mut at, end, mut memory) = (range.start, range.end, None);
        while at < end {
            at = match self.take_with(&(at..end), memory.take(), None) {
                Ok(Some(delayed)) => delayed.end,
                Ok(None) => match self.next_range(at) {
                    Some(next) => next.start,
                    None => break,
                },
                // Not under the lock: writeback of the file takes it, and may be what gives memory back.
                Err(error) if error == ENOMEM => {
                    memory = Some((Spare::new(GFP_NOFAIL)?, Spare::new(GFP_NOFAIL)?));
                    at
                }
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// The first delayed range, or what is left of it, at `after` or behind it.
    pub fn next_range(&self, after: FileOffset) -> Option<Range<FileOffset>> {
        let (start, end) = self.ranges.lock().delayed.next(after)?;
        Some(start..end)
    }
}

/// Memory for cutting a range and a mark in two.
type CutMemory<R> = (RangeSpare<R>, RangeSpare<()>);

impl<R: Divisible> Ranges<R> {
    fn missing(&self, kind: WriteKind, start: FileOffset, end: FileOffset) -> Bytes {
        kind.missing(&self.delayed, &self.in_place, (start, end))
    }

    /// What is to become of the delayed byte at `at`, and up to where that is so at most.
    fn kind_at(&self, at: FileOffset) -> (WriteKind, FileOffset) {
        const FAR: FileOffset = FileOffset::new(u64::MAX);
        match self.in_place.next(at) {
            Some((start, end)) if start == at => (WriteKind::InPlace, end),
            Some((start, _)) => (WriteKind::Cow, start),
            None => (WriteKind::Cow, FAR),
        }
    }

    /// Cuts `[start, end)`, all of which is of one range and of one kind, out of both. Nothing has changed when this fails.
    fn cut(
        &mut self,
        start: FileOffset,
        end: FileOffset,
        memory: Option<CutMemory<R>>,
    ) -> Result<Option<R>> {
        let Self {
            delayed, in_place, ..
        } = self;
        let (spare, mark) = memory.unzip();
        let spare = delayed.spare_for_cut(start, end, spare)?;
        let mark = in_place.spare_for_cut(start, end, mark)?;
        let promised = |from: FileOffset, to: FileOffset| {
            to.saturating_since(from)
                .saturating_sub(in_place.uncovered(from, to))
        };
        let taken = delayed.cut(spare, start, end, promised)?;
        in_place.cut(mark, start, end, |_, _| Bytes::ZERO)?;
        Ok(taken)
    }
}
