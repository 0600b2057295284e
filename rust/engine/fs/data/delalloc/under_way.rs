// SPDX-License-Identifier: GPL-2.0
//! Bytes that were taken for writing and are in no tree yet; and with those that are delayed, all that the trees may not have.
//!
//! What is taken becomes under way under the lock under which it stops being delayed, and is so until its taker says that
//! it has ended: when the trees have it, when it is delayed again, or lost. So whoever looks here first and then into the
//! trees finds in one of both what was written before.

use super::covered::{Covered, RangeSpare};
use super::{Delalloc, Divisible, Ranges};
use crate::disk::{Bytes, FileOffset};
use crate::map::Spare;
use core::ops::Range;
use latch::prelude::*;

/// The bytes under way of one file.
pub(super) struct UnderWay {
    ranges: Covered<()>,
    bytes: Bytes,
}

impl UnderWay {
    pub(super) fn new() -> Self {
        Self {
            ranges: Covered::new(),
            bytes: Bytes::ZERO,
        }
    }

    /// Bytes of `[start, end)` are under way.
    pub(super) fn begin(&mut self, spare: RangeSpare<()>, start: FileOffset, end: FileOffset) {
        let new = self.ranges.uncovered(start, end);
        self.bytes = self.bytes.saturating_add(new);
        let _unused = self.ranges.add(spare, start, end, ());
    }

    /// The first bytes of `[start, end)` are not under way any more, as far as the answer. Nothing has changed when this fails.
    fn end(
        &mut self,
        spare: Option<RangeSpare<()>>,
        start: FileOffset,
        end: FileOffset,
    ) -> Result<FileOffset> {
        let Some((first, last)) = self.ranges.next(start).filter(|&(first, _)| first < end) else {
            return Ok(end);
        };
        let last = last.min(end);
        let spare = self.ranges.spare_for_cut(first, last, spare)?;
        self.ranges.cut(spare, first, last, |_, _| Bytes::ZERO)?;
        let len = last.saturating_since(first);
        self.bytes = self.bytes.saturating_sub(len);
        Ok(last)
    }
}

impl<R: Divisible> Delalloc<R> {
    /// How many bytes are under way.
    pub fn under_way(&self) -> Bytes {
        self.ranges.lock().under_way.bytes
    }

    /// The bytes of `range` are under way that never were delayed. `ENOMEM`, with nothing changed.
    pub fn begin(&self, range: &Range<FileOffset>) -> Result {
        let spare = Spare::new(GFP_KERNEL)?;
        let mut ranges = self.ranges.lock();
        ranges.under_way.begin(spare, range.start, range.end);
        Ok(())
    }

    /// The bytes of `range` are not under way any more: the trees have them, they are delayed again, or lost. It waits for
    /// the memory that this may take.
    pub fn end(&self, range: &Range<FileOffset>) -> Result {
        let (mut at, mut spare) = (range.start, None);
        while at < range.end {
            let ended = self
                .ranges
                .lock()
                .under_way
                .end(spare.take(), at, range.end);
            match ended {
                Ok(next) => at = next,
                // Not under the lock, as in [`Self::punch`].
                Err(error) if error == ENOMEM => spare = Some(Spare::new(GFP_NOFAIL)?),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The first bytes of `range` that are delayed or under way, as far as they adjoin. Whoever finds none, and looks into the
    /// trees afterwards, finds there all that was delayed before.
    pub fn pending(&self, range: &Range<FileOffset>) -> Option<Range<FileOffset>> {
        let ranges = self.ranges.lock();
        let (start, mut end) = ranges.next_pending(range.start)?;
        while end < range.end {
            match ranges.next_pending(end) {
                Some((next, last)) if next == end => end = last,
                _ => break,
            }
        }
        (start < range.end).then(|| start..end.min(range.end))
    }
}

impl<R: Divisible> Ranges<R> {
    /// The first range of either kind, or what is left of it, at `after` or behind it.
    fn next_pending(&self, after: FileOffset) -> Option<(FileOffset, FileOffset)> {
        let delayed = self.delayed.next(after);
        let under_way = self.under_way.ranges.next(after);
        match (delayed, under_way) {
            (Some(delayed), Some(under_way)) => Some(delayed.min(under_way)),
            (one, other) => one.or(other),
        }
    }
}
