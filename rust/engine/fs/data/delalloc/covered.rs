// SPDX-License-Identifier: GPL-2.0
//! Ranges of a file, and what each holds.

use super::Divisible;
use crate::disk::{Bytes, FileOffset};
use crate::map::{OrdMap, Spare};
use latch::prelude::*;

/// Memory for one more range.
pub(super) type RangeSpare<R> = Spare<FileOffset, Range<R>>;

/// A range, and what it holds.
pub(super) struct Range<R> {
    end: FileOffset,
    /// `None` only while a range is being cut.
    held: Option<R>,
}

impl<R: Divisible> Range<R> {
    fn merge(&mut self, end: FileOffset, other: Option<R>) {
        self.end = self.end.max(end);
        match (&mut self.held, other) {
            (Some(own), Some(other)) => own.merge(other),
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
    }
}

/// Ranges in bytes, sector aligned, disjoint and never touching.
pub(super) struct Covered<R> {
    map: OrdMap<FileOffset, Range<R>>,
}

impl<R: Divisible> Covered<R> {
    pub(super) fn new() -> Self {
        Self { map: OrdMap::new() }
    }

    /// The range that has the byte at `at`: where it begins and ends.
    pub(super) fn around(&self, at: FileOffset) -> Option<(FileOffset, FileOffset)> {
        let found = self.map.floor(&at).map(|(&base, range)| (base, range.end));
        found.filter(|&(_, end)| end > at)
    }

    /// The first range, or what is left of it, at `after` or behind it.
    pub(super) fn next(&self, after: FileOffset) -> Option<(FileOffset, FileOffset)> {
        if let Some((_, end)) = self.around(after) {
            return Some((after, end));
        }
        self.map
            .ceiling(&after)
            .map(|(&start, range)| (start, range.end))
    }

    /// How many bytes of `[start, end)` are in no range.
    pub(super) fn uncovered(&self, start: FileOffset, end: FileOffset) -> Bytes {
        let mut at = start;
        if let Some((_, range)) = self.map.floor(&start) {
            at = at.max(range.end);
        }
        if at >= end {
            return Bytes::ZERO;
        }
        let mut missing = Bytes::ZERO;
        for (&next, range) in self.map.range_from(&start) {
            if next >= end || at >= end {
                break;
            }
            missing = missing.saturating_add(next.saturating_since(at));
            at = at.max(range.end);
        }
        missing.saturating_add(end.saturating_since(at))
    }

    /// Adds a range that is new in part, with what it holds for that part. Gives back memory that was not needed.
    pub(super) fn add(
        &mut self,
        spare: RangeSpare<R>,
        start: FileOffset,
        end: FileOffset,
        share: R,
    ) -> Option<RangeSpare<R>> {
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
                    held: Some(share),
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
                .ceiling(&base.saturating_add(Bytes::new(1)))
                .map(|(&start, _)| start);
            let Some(next) = next.filter(|&start| start <= end) else {
                return;
            };
            let Some(follower) = self.map.remove(&next) else {
                return;
            };
            end = end.max(follower.end);
            if let Some(range) = self.map.get_mut(&base) {
                range.merge(end, follower.held);
            }
        }
    }

    /// What the range that has the byte at `at` holds.
    pub(super) fn held_around(&mut self, at: FileOffset) -> Option<&mut R> {
        let (_, range) = self.map.floor_mut(&at)?;
        range.held.as_mut()
    }

    /// The memory that [`Self::cut`] of `[start, end)`, all of which is within one range, takes: `spare` where there is one.
    /// That of the range itself serves for what is left behind the cut, unless something is left before it. `ENOMEM`.
    pub(super) fn spare_for_cut(
        &self,
        start: FileOffset,
        end: FileOffset,
        spare: Option<RangeSpare<R>>,
    ) -> Result<Option<RangeSpare<R>>> {
        match self.around(start) {
            Some((base, last)) if base < start && end < last => {
                let spare = spare.map_or_else(|| Spare::new(GFP_KERNEL), Ok);
                spare.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Cuts `[start, end)` out of the one range that has all of it. `in_place` tells how many bytes of a range are promised
    /// their own space. Nothing has changed when this fails.
    pub(super) fn cut(
        &mut self,
        spare: Option<RangeSpare<R>>,
        start: FileOffset,
        end: FileOffset,
        in_place: impl Fn(FileOffset, FileOffset) -> Bytes,
    ) -> Result<Option<R>> {
        let Some((base, last)) = self.around(start) else {
            return Ok(None);
        };
        let Some(range) = self.map.get_mut(&base) else {
            return Ok(None);
        };
        let Some(mut before) = range.held.take() else {
            return Ok(None);
        };
        let (mut taken, behind) = match divide(&mut before, (start, end, last), in_place) {
            Ok(parts) => parts,
            Err(error) => {
                range.held = Some(before);
                return Err(error);
            }
        };
        let spare = match base < start {
            true => {
                range.end = start;
                range.held = Some(before);
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
                held: Some(behind),
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
    (start, end, last): (FileOffset, FileOffset, FileOffset),
    in_place: impl Fn(FileOffset, FileOffset) -> Bytes,
) -> Result<(R, Option<R>)> {
    let taken = whole.split(end.saturating_since(start), in_place(start, end))?;
    if end >= last {
        return Ok((taken, None));
    }
    match whole.split(last.saturating_since(end), in_place(end, last)) {
        Ok(behind) => Ok((taken, Some(behind))),
        Err(error) => {
            whole.merge(taken);
            Err(error)
        }
    }
}
