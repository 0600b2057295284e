// SPDX-License-Identifier: GPL-2.0
//! The free ranges of a block group that can be written anywhere.

use crate::disk::{Flaw, Logical, Place};
use crate::map::OrdMap;
use latch::prelude::*;

/// Sizes are counted by the binary logarithm of their sectors of 4 KiB: enough to know without a search that nothing
/// fits.
const SIZE_CLASSES: usize = 40;
/// The binary logarithm of the smallest sector.
const SECTOR_BITS: u32 = 12;

/// Disjoint free ranges, never two that touch. Addresses and lengths in bytes.
///
/// The map's key is a range's **end**: taking from a range's front, which is what allocation does nearly always,
/// changes the value in place and allocates no memory.
pub(in crate::space) struct FreeRanges {
    start_by_end: OrdMap<u64, u64>,
    sizes: [u32; SIZE_CLASSES],
    free: u64,
    /// Where the last range taken ended: the next search starts here, so that what is allocated together lies together.
    cursor: u64,
}

/// What a search wants.
#[derive(Clone, Copy, Debug)]
pub(in crate::space) struct Wish {
    /// Bytes wanted.
    pub(in crate::space) wanted: u64,
    /// Fewer bytes than this are no use.
    pub(in crate::space) min: u64,
    /// Both ends are multiples of this.
    pub(in crate::space) align: u64,
    /// A start that is not right behind the cursor should have this many free bytes, if such a place exists.
    pub(in crate::space) cluster: u64,
}

/// A range, `[start, end)`.
type Span = (u64, u64);

fn size_class(len: u64) -> usize {
    let class = len.wrapping_shr(SECTOR_BITS).checked_ilog2().unwrap_or(0);
    usize::try_from(class).unwrap_or(0).min(SIZE_CLASSES - 1)
}

/// The longest range that is counted in a class.
fn longest_in(class: usize) -> u64 {
    let bits = u32::try_from(class)
        .ok()
        .and_then(|class| class.checked_add(SECTOR_BITS + 1));
    let bits = bits.filter(|_| class < SIZE_CLASSES - 1);
    bits.and_then(|bits| 1u64.checked_shl(bits))
        .map_or(u64::MAX, |limit| limit.wrapping_sub(1))
}

/// `value` rounded up to a multiple of `align`; `None` past the end of the numbers.
pub(in crate::space) fn round_up(value: u64, align: u64) -> Option<u64> {
    match value.checked_rem(align)? {
        0 => Some(value),
        rest => value.checked_add(align.checked_sub(rest)?),
    }
}

/// `value` rounded down to a multiple of `align`.
fn round_down(value: u64, align: u64) -> u64 {
    value.saturating_sub(value.checked_rem(align).unwrap_or(0))
}

/// The part of a range whose ends are aligned.
fn aligned((start, end): Span, align: u64) -> Option<Span> {
    let start = round_up(start, align)?;
    let end = round_down(end, align);
    (start < end).then_some((start, end))
}

impl FreeRanges {
    pub(in crate::space) fn new() -> Self {
        Self {
            start_by_end: OrdMap::new(),
            sizes: [0; SIZE_CLASSES],
            free: 0,
            cursor: 0,
        }
    }

    /// Free bytes in all ranges.
    pub(in crate::space) fn free(&self) -> u64 {
        self.free
    }

    /// How many ranges there are.
    pub(in crate::space) fn len(&self) -> usize {
        self.start_by_end.len()
    }

    /// The ranges, ascending.
    pub(in crate::space) fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.start_by_end.iter().map(|(&end, &start)| (start, end))
    }

    /// No range is longer than this.
    pub(in crate::space) fn largest_bound(&self) -> u64 {
        let class = self.sizes.iter().rposition(|&count| count > 0);
        class.map_or(0, |class| longest_in(class).min(self.free))
    }

    /// The first free piece of `[start, end)`.
    pub(in crate::space) fn first_in(&self, start: u64, end: u64) -> Option<Span> {
        let (first, last) = self.next_ending_after(start)?;
        let piece = (first.max(start), last.min(end));
        (piece.0 < piece.1).then_some(piece)
    }

    /// Makes `[start, end)` free. `EUCLEAN` if a part of it is free already; nothing is changed then.
    pub(in crate::space) fn insert(&mut self, start: u64, end: u64) -> Result {
        if start >= end {
            return Err(EINVAL);
        }
        let next = self.next_ending_after(start);
        if let Some((next_start, _)) = next.filter(|&(next_start, _)| next_start < end) {
            let flaw = Flaw::new("range becomes free that is free", next_start, end);
            return Err(flaw.at(Place::Extent(Logical::new(start))).report());
        }
        let right = next.filter(|&(next_start, _)| next_start == end);
        let left = self
            .start_by_end
            .get(&start)
            .map(|&left_start| (left_start, start));
        let new_start = left.map_or(start, |(left_start, _)| left_start);
        let new_end = right.map_or(end, |(_, right_end)| right_end);
        match self.start_by_end.get_mut(&new_end) {
            Some(value) => *value = new_start,
            None => drop(self.start_by_end.insert(new_end, new_start)?),
        }
        if let Some(left) = left {
            self.start_by_end.remove(&start);
            self.uncount(left);
        }
        if let Some(right) = right {
            self.uncount(right);
        }
        self.count((new_start, new_end));
        Ok(())
    }

    /// Makes `[start, end)` not free. `EEXIST` if a part of it is not free now; nothing is changed then.
    pub(in crate::space) fn remove(&mut self, start: u64, end: u64) -> Result {
        if start >= end {
            return Err(EINVAL);
        }
        let (first, last) = self.next_ending_after(start).ok_or(EEXIST)?;
        if first > start || last < end {
            return Err(EEXIST);
        }
        if first < start {
            self.start_by_end.insert(start, first)?;
        }
        if end < last {
            if let Some(value) = self.start_by_end.get_mut(&last) {
                *value = end;
            }
        } else {
            self.start_by_end.remove(&last);
        }
        self.uncount((first, last));
        if first < start {
            self.count((first, start));
        }
        if end < last {
            self.count((end, last));
        }
        Ok(())
    }

    /// Makes all of `[start, end)` not free, whatever of it is free now; gives how much that was.
    pub(in crate::space) fn exclude(&mut self, start: u64, end: u64) -> Result<u64> {
        let mut excluded = 0u64;
        while let Some((first, last)) = self.next_ending_after(start) {
            if first >= end {
                break;
            }
            let (from, to) = (first.max(start), last.min(end));
            self.remove(from, to)?;
            excluded = excluded.saturating_add(to.saturating_sub(from));
        }
        Ok(excluded)
    }

    /// Takes a range for `wish`: behind the last one if it fits there, else the first that holds `cluster` bytes,
    /// else the first that holds `wanted`, else the longest. `None` if nothing holds `min`.
    pub(in crate::space) fn take(&mut self, wish: Wish) -> Result<Option<Span>> {
        let Some((start, end)) = self.find(wish) else {
            return Ok(None);
        };
        let len = round_down(wish.wanted.min(end.saturating_sub(start)), wish.align);
        if len < wish.min || len == 0 {
            return Ok(None);
        }
        let end = start.saturating_add(len);
        self.remove(start, end)?;
        self.cursor = end;
        Ok(Some((start, end)))
    }

    fn find(&self, wish: Wish) -> Option<Span> {
        let here = self
            .next_ending_after(self.cursor)
            .and_then(|span| aligned(span, wish.align));
        let follows =
            |&(start, end): &Span| start == self.cursor && end.saturating_sub(start) >= wish.wanted;
        if let Some(here) = here.filter(follows) {
            return Some(here);
        }
        self.first_of(wish.cluster.max(wish.wanted), wish.align)
            .or_else(|| self.first_of(wish.wanted, wish.align))
            .or_else(|| self.longest(wish.align))
            .filter(|&(start, end)| end.saturating_sub(start) >= wish.min)
    }

    /// The first range from the cursor on, going round, that holds `len` aligned bytes.
    fn first_of(&self, len: u64, align: u64) -> Option<Span> {
        if len > self.largest_bound() {
            return None;
        }
        let fits = |(&end, &start): (&u64, &u64)| {
            aligned((start, end), align).filter(|&(start, end)| end.saturating_sub(start) >= len)
        };
        let behind = self
            .start_by_end
            .range_from(&self.cursor.saturating_add(1))
            .find_map(fits);
        behind.or_else(|| self.start_by_end.iter().find_map(fits))
    }

    fn longest(&self, align: u64) -> Option<Span> {
        let spans = self.iter().filter_map(|span| aligned(span, align));
        spans.max_by_key(|&(start, end)| end.saturating_sub(start))
    }

    fn next_ending_after(&self, at: u64) -> Option<Span> {
        self.start_by_end
            .ceiling(&at.checked_add(1)?)
            .map(|(&end, &start)| (start, end))
    }

    fn count(&mut self, (start, end): Span) {
        let len = end.saturating_sub(start);
        self.free = self.free.saturating_add(len);
        if let Some(count) = self.sizes.get_mut(size_class(len)) {
            *count = count.saturating_add(1);
        }
    }

    fn uncount(&mut self, (start, end): Span) {
        let len = end.saturating_sub(start);
        self.free = self.free.saturating_sub(len);
        if let Some(count) = self.sizes.get_mut(size_class(len)) {
            *count = count.saturating_sub(1);
        }
    }
}
