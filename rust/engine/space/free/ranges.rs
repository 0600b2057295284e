// SPDX-License-Identifier: GPL-2.0
//! The free ranges of a block group that can be written anywhere.

use super::sectors::Sectors;
use crate::disk::{Bytes, Flaw, Logical, Place};
use kernel::alloc::Flags;
use latch::prelude::*;

/// Disjoint free ranges of a group, never two that touch. Addresses and lengths in bytes, whole sectors.
///
/// Every call takes logarithmic time. Memory is taken only where a window of the group becomes mixed, a page and a bit
/// for each.
pub(in crate::space) struct FreeRanges {
    start: u64,
    len: u64,
    sector_bits: u32,
    sectors: Sectors,
    free: u64,
    /// Where the last range taken ended: the next search starts here, so that what is allocated together lies together.
    cursor: Option<u64>,
}

/// What a search wants.
#[derive(Clone, Copy, Debug)]
pub(in crate::space) struct Wish {
    /// Bytes wanted.
    pub(in crate::space) wanted: Bytes,
    /// Fewer bytes than this are no use.
    pub(in crate::space) min: Bytes,
    /// Both ends are multiples of this.
    pub(in crate::space) align: Bytes,
    /// A start that is not right behind the cursor should have this many free bytes, if such a place exists.
    pub(in crate::space) cluster: Bytes,
}

/// A range, `[start, end)`.
type Span = (u64, u64);

/// `value` rounded down to a multiple of `align`.
pub(in crate::space) fn round_down(value: u64, align: u64) -> u64 {
    value.saturating_sub(value.checked_rem(align).unwrap_or(0))
}

impl FreeRanges {
    /// For the group `[start, start + len)`, nothing of which is free yet. What is left of a sector at its end never is.
    pub(in crate::space) fn new(
        start: u64,
        len: u64,
        sector_size: u64,
        flags: Flags,
    ) -> Result<Self> {
        let sector_bits = sector_size.checked_ilog2().ok_or(EINVAL)?;
        Ok(Self {
            start,
            len,
            sector_bits,
            sectors: Sectors::new(len.wrapping_shr(sector_bits), flags)?,
            free: 0,
            cursor: None,
        })
    }

    /// Free bytes in all ranges.
    pub(in crate::space) fn free(&self) -> u64 {
        self.free
    }

    /// Bytes of memory that are in use.
    #[cfg(test)]
    pub(in crate::space) fn memory(&self) -> usize {
        self.sectors.memory()
    }

    /// The ranges, ascending.
    pub(in crate::space) fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        let mut at = self.start;
        core::iter::from_fn(move || {
            let span = self.next_from(at)?;
            at = span.1;
            Some(span)
        })
    }

    /// The longest range is so long.
    pub(in crate::space) fn largest(&self) -> u64 {
        self.bytes(self.sectors.longest())
    }

    /// The first free piece of `[start, end)`.
    pub(in crate::space) fn first_in(&self, start: u64, end: u64) -> Option<Span> {
        let (first, last) = self.next_from(start)?;
        let piece = (first, last.min(end));
        (piece.0 < piece.1).then_some(piece)
    }

    /// Makes `[start, end)` free. `EUCLEAN` if a part of it is free already, or no whole sectors of the group; nothing
    /// is changed then.
    pub(in crate::space) fn insert(&mut self, start: u64, end: u64) -> Result {
        let inserted = self.try_insert(start, end)?;
        inserted.map_err(|flaw| flaw.at(Place::Extent(Logical::new(start))).report())
    }

    /// Does what [`Self::insert`] does, and tells what is wrong instead of reporting it.
    pub(in crate::space) fn try_insert(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Result<(), Flaw>> {
        if start >= end {
            return Err(EINVAL);
        }
        let Some((from, to)) = self.sectors_of(start, end) else {
            return Ok(Err(Flaw::new(
                "range becomes free that is not in whole sectors of its group",
                start,
                end,
            )));
        };
        if !self.sectors.all(from, to, false) {
            let other = self.next_from(start).map_or(start, |(other, _)| other);
            return Ok(Err(Flaw::new(
                "range becomes free that is free",
                other,
                end,
            )));
        }
        self.sectors.set(from, to, true)?;
        self.free = self.free.saturating_add(end.saturating_sub(start));
        Ok(Ok(()))
    }

    /// Makes `[start, end)` not free. `EEXIST` if a part of it is not free now; nothing is changed then.
    pub(in crate::space) fn remove(&mut self, start: u64, end: u64) -> Result {
        if start >= end {
            return Err(EINVAL);
        }
        let (from, to) = self.sectors_of(start, end).ok_or(EEXIST)?;
        if !self.sectors.all(from, to, true) {
            return Err(EEXIST);
        }
        self.sectors.set(from, to, false)?;
        self.free = self.free.saturating_sub(end.saturating_sub(start));
        Ok(())
    }

    /// Makes all of `[start, end)` not free, whatever of it is free now; gives how much that was.
    pub(in crate::space) fn exclude(&mut self, start: u64, end: u64) -> Result<u64> {
        let mut excluded = 0u64;
        while let Some((from, to)) = self.first_in(start, end) {
            self.remove(from, to)?;
            excluded = excluded.saturating_add(to.saturating_sub(from));
        }
        Ok(excluded)
    }

    /// Takes a range for `wish`: behind the last one if it fits there, else the first that holds `cluster` bytes,
    /// else the first that holds `wanted`, else the longest. `None` if nothing holds `min`.
    pub(in crate::space) fn take(&mut self, wish: Wish) -> Result<Option<Span>> {
        let Some((start, len)) = self.find(wish) else {
            return Ok(None);
        };
        let end = start.saturating_add(len);
        self.remove(start, end)?;
        self.cursor = Some(end);
        Ok(Some((start, end)))
    }

    /// Where `wish` is met, and with how many bytes.
    fn find(&self, wish: Wish) -> Option<Span> {
        let wanted = wish.wanted.round_down(wish.align).get();
        let align = wish.align.get();
        let follows = |&cursor: &u64| {
            cursor.checked_rem(align) == Some(0)
                && self.is_free(cursor, cursor.saturating_add(wanted))
        };
        if let Some(cursor) = self.cursor.filter(follows).filter(|_| wanted > 0) {
            return Some((cursor, wanted));
        }
        for len in [wish.cluster.get().max(wanted), wanted] {
            if let Some(start) = self.first_of(len, align) {
                return Some((start, wanted));
            }
        }
        let min = wish.min.get().max(align);
        let shorter = wanted.saturating_sub(align);
        let mut len = round_down(self.largest(), align).min(shorter);
        while len >= min {
            // Twice at most: a shorter one fits wherever the longest range begins.
            if let Some(start) = self.first_of(len, align) {
                return Some((start, len));
            }
            len = len.saturating_sub(align);
        }
        None
    }

    /// The first aligned place from the cursor on, going round, with `len` free bytes.
    fn first_of(&self, len: u64, align: u64) -> Option<u64> {
        if len > self.largest() || len == 0 {
            return None;
        }
        let round = |find: &dyn Fn(u64) -> Option<u64>| {
            let behind = self.cursor.and_then(find);
            behind.or_else(|| find(self.start))
        };
        let start = round(&|from| self.run_from(from, len))?.checked_next_multiple_of(align)?;
        if self.is_free(start, start.saturating_add(len)) {
            return Some(start);
        }
        // Ranges need not be aligned. In one that is longer by as much an aligned place is found wherever it begins.
        let sector = 1u64.wrapping_shl(self.sector_bits);
        let longer = len.saturating_add(align.saturating_sub(sector));
        round(&|from| self.run_from(from, longer)?.checked_next_multiple_of(align))
            .or_else(|| round(&|from| self.first_aligned(from, len, align)))
    }

    /// Tries range by range. What was always allocated in aligned pieces never comes to that.
    fn first_aligned(&self, from: u64, len: u64, align: u64) -> Option<u64> {
        let mut from = from;
        loop {
            let found = self.run_from(from, len)?;
            let start = found.checked_next_multiple_of(align)?;
            if self.is_free(start, start.saturating_add(len)) {
                return Some(start);
            }
            from = self.next_from(found)?.1;
        }
    }

    /// Where `len` free bytes begin, at `from` or behind.
    fn run_from(&self, from: u64, len: u64) -> Option<u64> {
        let sector = 1u64.wrapping_shl(self.sector_bits);
        let need = len
            .checked_next_multiple_of(sector)?
            .wrapping_shr(self.sector_bits);
        let from = from
            .checked_sub(self.start)?
            .checked_next_multiple_of(sector)?;
        let found = self
            .sectors
            .first_run(from.wrapping_shr(self.sector_bits), need)?;
        Some(self.address(found))
    }

    /// The first range that ends behind `at`, from there on.
    fn next_from(&self, at: u64) -> Option<Span> {
        let start = self.run_from(at.max(self.start), 1)?;
        let first = start
            .checked_sub(self.start)?
            .wrapping_shr(self.sector_bits);
        Some((start, self.address(self.sectors.run_end(first))))
    }

    fn is_free(&self, start: u64, end: u64) -> bool {
        let sectors = self.sectors_of(start, end);
        sectors.is_some_and(|(from, to)| self.sectors.all(from, to, true))
    }

    /// The sectors of `[start, end)`, if those are whole sectors of the group.
    fn sectors_of(&self, start: u64, end: u64) -> Option<Span> {
        let (from, to) = (start.checked_sub(self.start)?, end.checked_sub(self.start)?);
        let whole = (from | to) & 1u64.wrapping_shl(self.sector_bits).wrapping_sub(1) == 0;
        (whole && to <= self.len).then(|| {
            (
                from.wrapping_shr(self.sector_bits),
                to.wrapping_shr(self.sector_bits),
            )
        })
    }

    fn address(&self, sector: u64) -> u64 {
        self.start.saturating_add(self.bytes(sector))
    }

    fn bytes(&self, sectors: u64) -> u64 {
        sectors.wrapping_shl(self.sector_bits)
    }
}
