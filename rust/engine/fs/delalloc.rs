// SPDX-License-Identifier: GPL-2.0
//! Delayed allocation: which bytes of a file are dirty in memory without an address, and the space kept for them.
//!
//! A buffered write reserves and [`Delalloc::add`]s; writeback [`Delalloc::take`]s what it is about to send;
//! truncation and failed writes [`Delalloc::punch`]. A range holds its reservation, so that no byte can be dirty
//! without space and no space be kept without a byte.

use super::WriteReservation;
use crate::map::OrdMap;
use latch::prelude::*;
use latch::Mutex;

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

struct Range<R> {
    end: u64,
    /// `None` only while a range is being cut.
    reservation: Option<R>,
}

impl<R: Divisible> Range<R> {
    fn merge(&mut self, end: u64, other: Option<R>) {
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
    ranges: Mutex<OrdMap<u64, Range<R>>>,
}

/// What [`Delalloc::add`] did with a reservation.
pub enum Added<R> {
    /// The range is covered.
    Covered,
    /// The uncovered part of the range is not what was reserved for: try again with a reservation for this many bytes.
    Changed(R, u64),
}

impl<R: Divisible> Delalloc<R> {
    /// No delayed ranges.
    pub fn new() -> Result<Self> {
        let ranges = Mutex::new(OrdMap::new(), latch::class!("rbtrfs_delalloc"))?;
        Ok(Self { ranges })
    }

    /// How many bytes of `[start, end)` are not delayed yet.
    pub fn uncovered(&self, start: u64, end: u64) -> u64 {
        uncovered(&self.ranges.lock(), start, end)
    }

    /// Whether any byte is delayed.
    pub fn is_empty(&self) -> bool {
        self.ranges.lock().is_empty()
    }

    /// Covers `[start, end)`; `reservation` stands for `reserved` bytes, the uncovered ones as the caller saw them.
    pub fn add(&self, start: u64, end: u64, reservation: R, reserved: u64) -> Result<Added<R>> {
        let mut ranges = self.ranges.lock();
        let missing = uncovered(&ranges, start, end);
        if missing != reserved {
            return Ok(Added::Changed(reservation, missing));
        }
        if missing == 0 {
            return Ok(Added::Covered);
        }
        let base = match ranges.floor(&start) {
            Some((&base, range)) if range.end >= start => base,
            _ => start,
        };
        match ranges.get_mut(&base) {
            Some(range) => range.merge(end, Some(reservation)),
            None => {
                ranges.insert(
                    base,
                    Range {
                        end,
                        reservation: Some(reservation),
                    },
                )?;
            }
        }
        absorb_followers(&mut ranges, base);
        Ok(Added::Covered)
    }

    /// Takes the delayed range that starts at `start`, at most up to `end`, with its reservation: the caller will write
    /// it. `None` when the byte at `start` is not delayed.
    pub fn take(&self, start: u64, end: u64) -> Result<Option<(u64, R)>> {
        let mut ranges = self.ranges.lock();
        let found = ranges.floor(&start).map(|(&base, range)| (base, range.end));
        let Some((base, last)) = found.filter(|&(_, last)| last > start) else {
            return Ok(None);
        };
        let end = end.min(last);
        if end <= start {
            return Ok(None);
        }
        let taken = cut(&mut ranges, base, start, end)?;
        Ok(taken.map(|reservation| (end, reservation)))
    }

    /// Gives up what is delayed in `[start, end)`: the bytes are gone.
    pub fn punch(&self, start: u64, end: u64) -> Result {
        let mut at = start;
        while at < end {
            if let Some((next, reservation)) = self.take(at, end)? {
                drop(reservation);
                at = next;
                continue;
            }
            match self.next_start(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(())
    }

    fn next_start(&self, after: u64) -> Option<u64> {
        self.ranges.lock().ceiling(&after).map(|(&start, _)| start)
    }
}

/// Joins to the range at `base` all that it now reaches.
fn absorb_followers<R: Divisible>(ranges: &mut OrdMap<u64, Range<R>>, base: u64) {
    let Some(mut end) = ranges.get(&base).map(|range| range.end) else {
        return;
    };
    loop {
        let next = ranges
            .ceiling(&base.saturating_add(1))
            .map(|(&start, _)| start);
        let Some(next) = next.filter(|&start| start <= end) else {
            return;
        };
        let Some(follower) = ranges.remove(&next) else {
            return;
        };
        end = end.max(follower.end);
        if let Some(range) = ranges.get_mut(&base) {
            range.merge(end, follower.reservation);
        }
    }
}

/// Cuts `[start, end)` out of the range at `base`, which covers it. Nothing has changed when this fails: what must be
/// allocated stands, empty, before any reservation moves.
fn cut<R: Divisible>(
    ranges: &mut OrdMap<u64, Range<R>>,
    base: u64,
    start: u64,
    end: u64,
) -> Result<Option<R>> {
    let Some(last) = ranges.get(&base).map(|range| range.end) else {
        return Ok(None);
    };
    if end < last {
        ranges.insert(
            end,
            Range {
                end: last,
                reservation: None,
            },
        )?;
    }
    match divide(ranges, base, start, end, last) {
        Ok(taken) => Ok(taken),
        Err(error) => {
            if end < last {
                ranges.remove(&end);
            }
            Err(error)
        }
    }
}

/// Moves the reservations for [`cut`]: before the cut, the cut, behind it.
fn divide<R: Divisible>(
    ranges: &mut OrdMap<u64, Range<R>>,
    base: u64,
    start: u64,
    end: u64,
    last: u64,
) -> Result<Option<R>> {
    let Some(range) = ranges.get_mut(&base) else {
        return Ok(None);
    };
    let Some(whole) = range.reservation.as_mut() else {
        return Ok(None);
    };
    let mut taken = whole.split(end.saturating_sub(start))?;
    if end < last {
        match whole.split(last.saturating_sub(end)) {
            Ok(behind) => {
                if let Some(follower) = ranges.get_mut(&end) {
                    follower.reservation = Some(behind);
                }
            }
            Err(error) => {
                whole.merge(taken);
                return Err(error);
            }
        }
    }
    if base < start {
        if let Some(range) = ranges.get_mut(&base) {
            range.end = start;
        }
    } else if let Some(Range {
        reservation: Some(rest),
        ..
    }) = ranges.remove(&base)
    {
        taken.merge(rest);
    }
    Ok(Some(taken))
}

fn uncovered<R>(ranges: &OrdMap<u64, Range<R>>, start: u64, end: u64) -> u64 {
    let mut at = start;
    if let Some((_, range)) = ranges.floor(&start) {
        at = at.max(range.end);
    }
    let mut missing = 0u64;
    for (&next, range) in ranges.range_from(&start) {
        if next >= end || at >= end {
            break;
        }
        missing = missing.saturating_add(next.saturating_sub(at));
        at = at.max(range.end);
    }
    missing.saturating_add(end.saturating_sub(at))
}
