// SPDX-License-Identifier: GPL-2.0

//! How many bytes a file takes (`st_blocks`), and where it has some that are in no tree yet: a file whose data is not written
//! must not look like one hole.

use super::FileIo;
use core::ops::Range;
use engine::disk::{Bytes, FileOffset};
use engine::fs::MappingKind;
use engine::volume::device::SECTOR;
use latch::prelude::*;
use latch::NofsScope;

/// How many pieces of delayed ranges are looked up; what is behind them counts as new.
const MAX_LOOKUPS: u32 = 1000;

impl<N: Send + Sync + 'static> FileIo<N> {
    /// Bytes of data in whole sectors, those included that are dirty or on their way: of those that are dirty, only what
    /// takes a hole's place counts. `size` is the file's.
    pub(crate) fn bytes(&self, size: Bytes) -> Bytes {
        let _nofs = NofsScope::enter();
        // In this order: what is finished in between counts twice rather than not at all.
        let new = self.new_bytes();
        let under_way = self.delalloc.under_way();
        let stored = self.inode.attributes().nbytes;
        let stored = stored.checked_round_up(SECTOR).unwrap_or(stored);
        let size = size.checked_round_up(SECTOR).unwrap_or(size);
        let most = size.max(stored);
        stored
            .saturating_add(new)
            .saturating_add(under_way)
            .min(most)
    }

    /// The first bytes of `range` that are delayed or on their way, as far as they adjoin.
    pub(crate) fn pending(&self, range: &Range<FileOffset>) -> Option<Range<FileOffset>> {
        self.delalloc.pending(range)
    }

    /// Delayed bytes where the trees have a hole.
    fn new_bytes(&self) -> Bytes {
        let (mut at, mut lookups) = (FileOffset::new(0), 0u32);
        let mut new = Bytes::ZERO;
        while let Some(Range { start, end }) = self.delalloc.next_range(at) {
            let len = end.saturating_since(start);
            lookups = lookups.saturating_add(1);
            let found = match lookups > MAX_LOOKUPS {
                true => Err(E2BIG),
                false => self.path.fs.mappings().find(&self.inode, start, len),
            };
            let (step, is_new) = match found {
                Ok(found) => (
                    found.len.max(Bytes::new(1)),
                    matches!(found.kind, MappingKind::Hole),
                ),
                Err(_) => (len, true),
            };
            let step = step.min(len);
            if is_new {
                new = new.saturating_add(step);
            }
            at = start.saturating_add(step);
        }
        new
    }
}
