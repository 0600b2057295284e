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

use crate::disk::FileOffset;
use crate::fs::WriteReservation;
use crate::map::{OrdMap, Spare};
use latch::prelude::*;
use latch::{Mutex, Rank};

/// Reserved space that can be cut and joined by the bytes of file data it stands for.
pub trait Divisible: Sized + Unpin {
    /// Takes in what `other` holds.
    fn merge(&mut self, other: Self);
    /// Cuts off the share of `len` bytes of data.
    fn split(&mut self, len: u64) -> Result<Self>;
}

impl Divisible for WriteReservation {
    fn merge(&mut self, other: Self) {
        WriteReservation::merge(self, other);
    }

    fn split(&mut self, len: u64) -> Result<Self> {
        WriteReservation::split(self, len)
    }
}

/// Space for blocks that one task is about to dirty, and the memory to note them. Dropping it gives the space back.
pub struct Allowance<R> {
    reservation: Option<R>,
    bytes: u64,
    spare: Option<Spare<FileOffset, Range<R>>>,
}

impl<R> Default for Allowance<R> {
    fn default() -> Self {
        Self {
            reservation: None,
            bytes: 0,
            spare: None,
        }
    }
}

impl<R: Divisible> Allowance<R> {
    /// Bytes of data that it can still cover.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes in a reservation for `bytes` bytes of data.
    pub fn add(&mut self, reservation: R, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        match &mut self.reservation {
            Some(own) => own.merge(reservation),
            own @ None => *own = Some(reservation),
        }
    }

    /// Allocates what the next [`Delalloc::cover`] may need. It waits for memory: space that was promised to bytes must
    /// find its way back to them.
    pub fn make_ready(&mut self) -> Result {
        if self.spare.is_none() {
            self.spare = Some(Spare::new(GFP_NOFAIL)?);
        }
        Ok(())
    }
}

/// An allowance is too small, or not ready: nothing was changed.
#[derive(Debug)]
pub struct Short;

struct Range<R> {
    end: FileOffset,
    /// `None` only while a range is being cut.
    reservation: Option<R>,
}

impl<R: Divisible> Range<R> {
    fn merge(&mut self, end: FileOffset, other: Option<R>) {
        self.end = self.end.max(end);
        match (&mut self.reservation, other) {
            (Some(own), Some(other)) => own.merge(other),
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
    }
}

/// The delayed ranges of one file, in bytes, sector aligned, disjoint and never touching.
pub struct Delalloc<R> {
    ranges: Mutex<Ranges<R>>,
}

struct Ranges<R> {
    map: OrdMap<FileOffset, Range<R>>,
    /// The sum of the ranges' lengths.
    bytes: u64,
}

impl<R: Divisible> Delalloc<R> {
    /// No delayed ranges.
    pub fn new() -> Result<Self> {
        let ranges = Ranges {
            map: OrdMap::new(),
            bytes: 0,
        };
        Ok(Self {
            ranges: Mutex::new(ranges, Rank::Delalloc)?,
        })
    }

    /// How many bytes are delayed.
    pub fn bytes(&self) -> u64 {
        self.ranges.lock().bytes
    }

    /// How many bytes of `[start, end)` are not delayed. The answer holds while the folios there are locked.
    pub fn uncovered(&self, start: FileOffset, end: FileOffset) -> u64 {
        self.ranges.lock().uncovered(start, end)
    }

    /// Whether [`Self::cover`] of `[start, end)`, or of a part of it, will succeed while the folio there is locked.
    pub fn can_cover(&self, allowance: &Allowance<R>, start: FileOffset, end: FileOffset) -> bool {
        let is_ready = allowance.spare.is_some();
        if is_ready && allowance.bytes >= end.saturating_since(start) {
            return true;
        }
        let missing = self.uncovered(start, end);
        missing == 0 || is_ready && allowance.bytes >= missing
    }

    /// Makes all of `[start, end)` delayed, with space from `allowance` for what was not. The folio there is locked,
    /// and is dirty when its lock is given up.
    pub fn cover(
        &self,
        allowance: &mut Allowance<R>,
        start: FileOffset,
        end: FileOffset,
    ) -> core::result::Result<(), Short> {
        let mut ranges = self.ranges.lock();
        let missing = ranges.uncovered(start, end);
        if missing == 0 {
            return Ok(());
        }
        let spare = allowance.spare.take().ok_or(Short)?;
        let share = allowance.reservation.as_mut();
        let Some(Ok(share)) = share.map(|whole| whole.split(missing)) else {
            allowance.spare = Some(spare);
            return Err(Short);
        };
        allowance.bytes = allowance.bytes.saturating_sub(missing);
        allowance.spare = ranges.add(spare, start, end, share);
        ranges.bytes = ranges.bytes.saturating_add(missing);
        Ok(())
    }

    /// Takes the delayed range that starts at `start`, at most up to `end`, with its reservation: the caller will write
    /// it. `None` when the byte at `start` is not delayed. `ENOMEM`, with nothing changed, only where what is before
    /// and what is behind both stay.
    pub fn take(&self, start: FileOffset, end: FileOffset) -> Result<Option<(FileOffset, R)>> {
        let mut ranges = self.ranges.lock();
        let found = ranges
            .map
            .floor(&start)
            .map(|(&base, range)| (base, range.end));
        let Some((base, last)) = found.filter(|&(_, last)| last > start) else {
            return Ok(None);
        };
        let end = end.min(last);
        if end <= start {
            return Ok(None);
        }
        let taken = ranges.cut(base, start, end)?;
        ranges.bytes = ranges.bytes.saturating_sub(end.saturating_since(start));
        Ok(taken.map(|reservation| (end, reservation)))
    }

    /// Gives up what is delayed in `[start, end)`: the bytes are gone. `ENOMEM`, with the rest still delayed.
    pub fn punch(&self, start: FileOffset, end: FileOffset) -> Result {
        let mut at = start;
        while at < end {
            if let Some((next, reservation)) = self.take(at, end)? {
                drop(reservation);
                at = next;
                continue;
            }
            match self.next_range(at) {
                Some((next, _)) => at = next,
                None => break,
            }
        }
        Ok(())
    }

    /// The first delayed range, or what is left of it, at `after` or behind it.
    pub fn next_range(&self, after: FileOffset) -> Option<(FileOffset, FileOffset)> {
        let ranges = self.ranges.lock();
        let around = ranges.map.floor(&after);
        if let Some((_, range)) = around.filter(|(_, range)| range.end > after) {
            return Some((after, range.end));
        }
        ranges
            .map
            .ceiling(&after)
            .map(|(&start, range)| (start, range.end))
    }
}

impl<R: Divisible> Ranges<R> {
    fn uncovered(&self, start: FileOffset, end: FileOffset) -> u64 {
        let mut at = start;
        if let Some((_, range)) = self.map.floor(&start) {
            at = at.max(range.end);
        }
        if at >= end {
            return 0;
        }
        let mut missing = 0u64;
        for (&next, range) in self.map.range_from(&start) {
            if next >= end || at >= end {
                break;
            }
            missing = missing.saturating_add(next.saturating_since(at));
            at = at.max(range.end);
        }
        missing.saturating_add(end.saturating_since(at))
    }

    /// Adds a range that is new in part, with the space for that part. Gives back memory that was not needed.
    fn add(
        &mut self,
        spare: Spare<FileOffset, Range<R>>,
        start: FileOffset,
        end: FileOffset,
        share: R,
    ) -> Option<Spare<FileOffset, Range<R>>> {
        let base = match self.map.floor(&start) {
            Some((&base, range)) if range.end >= start => base,
            _ => start,
        };
        let mut unused = None;
        match self.map.get_mut(&base) {
            Some(range) => {
                range.merge(end, Some(share));
                unused = Some(spare);
            }
            None => {
                let range = Range {
                    end,
                    reservation: Some(share),
                };
                self.map.insert_spare(spare, base, range);
            }
        }
        self.absorb_followers(base);
        unused
    }

    /// Joins to the range at `base` all that it now reaches.
    fn absorb_followers(&mut self, base: FileOffset) {
        let Some(mut end) = self.map.get(&base).map(|range| range.end) else {
            return;
        };
        loop {
            let next = self
                .map
                .ceiling(&base.saturating_add(1))
                .map(|(&start, _)| start);
            let Some(next) = next.filter(|&start| start <= end) else {
                return;
            };
            let Some(follower) = self.map.remove(&next) else {
                return;
            };
            end = end.max(follower.end);
            if let Some(range) = self.map.get_mut(&base) {
                range.merge(end, follower.reservation);
            }
        }
    }

    /// Cuts `[start, end)` out of the range at `base`, which covers it. Nothing has changed when this fails.
    fn cut(&mut self, base: FileOffset, start: FileOffset, end: FileOffset) -> Result<Option<R>> {
        let Some(range) = self.map.get_mut(&base) else {
            return Ok(None);
        };
        let last = range.end;
        // The memory of the range itself serves for what is left behind the cut, unless something is left before it.
        let spare = match base < start && end < last {
            true => Some(Spare::new(GFP_KERNEL)?),
            false => None,
        };
        let Some(mut before) = range.reservation.take() else {
            return Ok(None);
        };
        let parts = divide(&mut before, start, end, last);
        let (taken, behind) = match parts {
            Ok(parts) => parts,
            Err(error) => {
                range.reservation = Some(before);
                return Err(error);
            }
        };
        let mut taken = taken;
        let spare = match base < start {
            true => {
                range.end = start;
                range.reservation = Some(before);
                spare
            }
            false => {
                // What rounding has left belongs to somebody.
                taken.merge(before);
                self.map.remove_into_spare(&base)
            }
        };
        if let (Some(behind), Some(spare)) = (behind, spare) {
            let range = Range {
                end: last,
                reservation: Some(behind),
            };
            self.map.insert_spare(spare, end, range);
        }
        Ok(Some(taken))
    }
}

/// Parts `whole`, of a range that ends at `last`, into the share of `[start, end)` and that of what is behind it; the
/// share of what is before stays. Nothing has changed when this fails.
fn divide<R: Divisible>(
    whole: &mut R,
    start: FileOffset,
    end: FileOffset,
    last: FileOffset,
) -> Result<(R, Option<R>)> {
    let taken = whole.split(end.saturating_since(start))?;
    if end >= last {
        return Ok((taken, None));
    }
    match whole.split(last.saturating_since(end)) {
        Ok(behind) => Ok((taken, Some(behind))),
        Err(error) => {
            whole.merge(taken);
            Err(error)
        }
    }
}
