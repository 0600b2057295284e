// SPDX-License-Identifier: GPL-2.0
//! The free ranges of a block group that can be written anywhere.

use super::doubt::Doubt;
use super::runs::SectorState;
use super::sectors::Sectors;
use crate::disk::{Bug, Bytes, Flaw, Logical, Site};
use kernel::alloc::Flags;
use latch::prelude::*;

/// The gate takes no other size of sectors.
const NO_SECTOR: Bug = Bug::new("sectors have no bytes");
/// What becomes free or is taken has passed the gate, or was asked for by this code.
const EMPTY: Bug = Bug::new("a range ends where it begins or before");

/// Disjoint free ranges of a group, never two that touch, of whole sectors.
///
/// Every call takes logarithmic time. Memory is taken only where a window of the group becomes mixed, a page and a bit
/// for each.
pub(in crate::space) struct FreeRanges {
    start: Logical,
    len: Bytes,
    sector_bits: u32,
    sectors: Sectors,
    free: Bytes,
    /// Where the last range taken ended: the next search starts here, so that what is allocated together lies together.
    cursor: Option<Logical>,
}

/// What a search wants.
#[derive(Clone, Copy, Debug)]
pub(in crate::space) struct Wish {
    /// How many bytes are wanted.
    pub(in crate::space) wanted: Bytes,
    /// Fewer bytes than this are no use.
    pub(in crate::space) min: Bytes,
    /// The ends of every range are multiples of this.
    pub(in crate::space) align: Bytes,
    /// A start that is not right behind the cursor should have this many free bytes, if such a place exists.
    pub(in crate::space) cluster: Bytes,
}

/// A range, `[start, end)`.
pub(in crate::space) type Span = (Logical, Logical);

impl FreeRanges {
    /// Makes the ranges of the group `[start, start + len)`, nothing of which is free yet. What is left of a sector at its end never is.
    pub(in crate::space) fn new(
        start: Logical,
        len: Bytes,
        sector_size: Bytes,
        flags: Flags,
    ) -> Result<Self> {
        let sector_bits = sector_size.get().checked_ilog2().ok_or(NO_SECTOR)?;
        Ok(Self {
            start,
            len,
            sector_bits,
            sectors: Sectors::new(len.get().wrapping_shr(sector_bits), flags)?,
            free: Bytes::ZERO,
            cursor: None,
        })
    }

    /// Free bytes in all ranges.
    pub(in crate::space) fn free(&self) -> Bytes {
        self.free
    }

    /// How many pages of memory are in use, about.
    pub(in crate::space) fn bitmaps(&self) -> usize {
        self.sectors.bitmaps()
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
    pub(in crate::space) fn largest(&self) -> Bytes {
        self.bytes(self.sectors.longest())
    }

    /// The first free piece of `[start, end)`.
    pub(in crate::space) fn first_in(&self, start: Logical, end: Logical) -> Option<Span> {
        let (first, last) = self.next_from(start)?;
        let piece = (first, last.min(end));
        (piece.0 < piece.1).then_some(piece)
    }

    /// Makes `[start, end)` free. `EUCLEAN` if a part of it is free already, or no whole sectors of the group; nothing
    /// is changed then.
    pub(in crate::space) fn insert(&mut self, start: Logical, end: Logical) -> Result {
        self.try_insert(start, end).map_err(|doubt| match doubt {
            Doubt::Flaw(flaw) => flaw.at(Site::Extent(start)).report(),
            Doubt::Failed(error) => error,
        })
    }

    /// Does what [`Self::insert`] does, and tells what is wrong instead of reporting it.
    pub(in crate::space) fn try_insert(
        &mut self,
        start: Logical,
        end: Logical,
    ) -> Result<(), Doubt> {
        if start >= end {
            return Err(EMPTY.report().into());
        }
        let (from, to) = self.sectors_of(start, end).ok_or(Flaw::new(
            "range becomes free that is not in whole sectors of its group",
            start.get(),
            end.get(),
        ))?;
        if !self.sectors.all(from, to, SectorState::Used) {
            let other = self.next_from(start).map_or(start, |(other, _)| other);
            let what = "range becomes free that is free";
            return Err(Flaw::new(what, other.get(), end.get()).into());
        }
        self.sectors.set(from, to, SectorState::Free)?;
        self.free = self.free.saturating_add(end.saturating_since(start));
        Ok(())
    }

    /// Makes `[start, end)` not free. `EEXIST` if a part of it is not free now; nothing is changed then.
    pub(in crate::space) fn remove(&mut self, start: Logical, end: Logical) -> Result {
        if start >= end {
            return Err(EMPTY.report());
        }
        let (from, to) = self.sectors_of(start, end).ok_or(EEXIST)?;
        if !self.sectors.all(from, to, SectorState::Free) {
            return Err(EEXIST);
        }
        self.sectors.set(from, to, SectorState::Used)?;
        self.free = self.free.saturating_sub(end.saturating_since(start));
        Ok(())
    }

    /// Makes all of `[start, end)` not free, whatever of it is free now; gives how much that was.
    pub(in crate::space) fn exclude(&mut self, start: Logical, end: Logical) -> Result<Bytes> {
        let mut excluded = Bytes::ZERO;
        while let Some((from, to)) = self.first_in(start, end) {
            self.remove(from, to)?;
            excluded = excluded.saturating_add(to.saturating_since(from));
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
    fn find(&self, wish: Wish) -> Option<(Logical, Bytes)> {
        let align = wish.align;
        let wanted = wish.wanted.round_down(align);
        let follows = |&cursor: &Logical| {
            cursor.get().checked_rem(align.get()) == Some(0)
                && self.is_free(cursor, cursor.saturating_add(wanted))
        };
        if let Some(cursor) = self.cursor.filter(follows).filter(|_| !wanted.is_zero()) {
            return Some((cursor, wanted));
        }
        for len in [wish.cluster.max(wanted), wanted] {
            if let Some(start) = self.first_of(len, align) {
                return Some((start, wanted));
            }
        }
        let min = wish.min.max(align);
        let shorter = wanted.saturating_sub(align);
        let mut len = self.largest().round_down(align).min(shorter);
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
    fn first_of(&self, len: Bytes, align: Bytes) -> Option<Logical> {
        if len > self.largest() || len.is_zero() {
            return None;
        }
        let round = |find: &dyn Fn(Logical) -> Option<Logical>| {
            let behind = self.cursor.and_then(find);
            behind.or_else(|| find(self.start))
        };
        let start = align_up(round(&|from| self.run_from(from, len))?, align)?;
        if self.is_free(start, start.saturating_add(len)) {
            return Some(start);
        }
        // Ranges need not be aligned. In one that is longer by as much an aligned place is found wherever it begins.
        let longer = len.saturating_add(align.saturating_sub(self.bytes(1)));
        round(&|from| align_up(self.run_from(from, longer)?, align))
            .or_else(|| round(&|from| self.first_aligned(from, len, align)))
    }

    /// Tries range by range. What was always allocated in aligned pieces never comes to that.
    fn first_aligned(&self, from: Logical, len: Bytes, align: Bytes) -> Option<Logical> {
        let mut from = from;
        loop {
            let found = self.run_from(from, len)?;
            let start = align_up(found, align)?;
            if self.is_free(start, start.saturating_add(len)) {
                return Some(start);
            }
            from = self.next_from(found)?.1;
        }
    }

    /// Where `len` free bytes begin, at `from` or behind.
    fn run_from(&self, from: Logical, len: Bytes) -> Option<Logical> {
        let sector = self.bytes(1);
        let need = self.sectors_in(len.checked_round_up(sector)?);
        let from = from.checked_since(self.start)?.checked_round_up(sector)?;
        let found = self.sectors.first_run(self.sectors_in(from), need)?;
        Some(self.address(found))
    }

    /// The first range that ends behind `at`, from there on.
    fn next_from(&self, at: Logical) -> Option<Span> {
        let start = self.run_from(at.max(self.start), Bytes::new(1))?;
        let first = self.sectors_in(start.checked_since(self.start)?);
        Some((start, self.address(self.sectors.run_end(first))))
    }

    fn is_free(&self, start: Logical, end: Logical) -> bool {
        let sectors = self.sectors_of(start, end);
        sectors.is_some_and(|(from, to)| self.sectors.all(from, to, SectorState::Free))
    }

    /// The sectors of `[start, end)`, if those are whole sectors of the group.
    fn sectors_of(&self, start: Logical, end: Logical) -> Option<(u64, u64)> {
        let from = start.checked_since(self.start)?;
        let to = end.checked_since(self.start)?;
        let sector = self.bytes(1);
        let is_whole = from.round_down(sector) == from && to.round_down(sector) == to;
        (is_whole && to <= self.len).then(|| (self.sectors_in(from), self.sectors_in(to)))
    }

    fn address(&self, sector: u64) -> Logical {
        self.start.saturating_add(self.bytes(sector))
    }

    fn bytes(&self, sectors: u64) -> Bytes {
        Bytes::new(sectors.wrapping_shl(self.sector_bits))
    }

    fn sectors_in(&self, bytes: Bytes) -> u64 {
        bytes.get().wrapping_shr(self.sector_bits)
    }
}

/// The first multiple of `align` at `at` or behind.
fn align_up(at: Logical, align: Bytes) -> Option<Logical> {
    at.before().checked_round_up(align).map(Logical::after)
}
