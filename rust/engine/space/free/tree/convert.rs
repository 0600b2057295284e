// SPDX-License-Identifier: GPL-2.0
//! Changing the form in which a group's free space is kept.

use super::bitmaps::Bitmap;
use super::{remove_all, FreeSpaceTree, Recorded};
use crate::btree::Allocate;
use crate::disk::{Bytes, Flaw, FreeSpaceForm, Key, Kind, Logical};
use crate::space::free::pinned::Spans;
use core::ops::ControlFlow;
use latch::prelude::*;

/// The rule that FREE_SPACE_INFO items keep.
const WRONG_COUNT: &str = "free space tree counts its ranges wrongly";

impl FreeSpaceTree {
    /// Extents become bitmaps.
    #[inline(never)]
    pub(super) fn to_bitmaps(&self, txn: &dyn Allocate, recorded: &mut Recorded) -> Result {
        let spans = self.collect(recorded)?;
        let (first, last) = recorded.range_keys();
        remove_all(self.tree(), txn, &first, &last)?;
        let mut spans = spans.iter();
        let mut next = spans.next();
        let mut start = recorded.start;
        while start < recorded.end {
            let end = start.saturating_add(self.bitmap_range()).min(recorded.end);
            let bitmap = Bitmap {
                start,
                end,
                sector_size: self.sector_size(),
            };
            let len = end.saturating_since(start);
            let key = Key::new(start.get(), Kind::FREE_SPACE_BITMAP, len.get());
            let size = usize::try_from(bitmap.size())?;
            self.tree()
                .insert_with(txn, &key, size, |bytes| -> Result<(), Flaw> {
                    while let Some((from, to)) = next.filter(|&(from, _)| from < end) {
                        bitmap.fill(bytes, from.max(start), to.min(end))?;
                        if to > end {
                            break;
                        }
                        next = spans.next();
                    }
                    Ok(())
                })?
                .map_err(|flaw| recorded.broken(flaw))?;
            start = end;
        }
        recorded.form = FreeSpaceForm::Bitmaps;
        Ok(())
    }

    /// Bitmaps become extents.
    #[inline(never)]
    pub(super) fn to_extents(&self, txn: &dyn Allocate, recorded: &mut Recorded) -> Result {
        let spans = self.collect(recorded)?;
        let (first, last) = recorded.range_keys();
        remove_all(self.tree(), txn, &first, &last)?;
        for (start, end) in spans.iter() {
            let len = end.saturating_since(start);
            let key = Key::new(start.get(), Kind::FREE_SPACE_EXTENT, len.get());
            self.tree().insert(txn, &key, &[])?;
        }
        recorded.form = FreeSpaceForm::Extents;
        Ok(())
    }

    /// The group's free ranges as the tree has them now, ascending.
    fn collect(&self, recorded: &Recorded) -> Result<Spans> {
        let mut spans = Spans::new();
        let (first, last) = recorded.range_keys();
        self.tree().scan(first..=last, |key, bytes| {
            match (key.kind, Bitmap::of(key, self.sector_size())) {
                (Kind::FREE_SPACE_BITMAP, Some(bitmap)) => {
                    bitmap.each_free(bytes, &mut |start, end| spans.push(start, end))?;
                }
                (Kind::FREE_SPACE_EXTENT, _) => {
                    let start = Logical::new(key.objectid.get());
                    spans.push(start, start.saturating_add(Bytes::new(key.offset)))?;
                }
                (kind, _) => {
                    let kind = kind.get().into();
                    let flaw = Flaw::new("free space is of no known kind", kind, 199);
                    return Err(recorded.broken(flaw));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if u32::try_from(spans.len()) != Ok(recorded.extent_count) {
            let found = u64::try_from(spans.len()).unwrap_or(u64::MAX);
            let expected = recorded.extent_count.into();
            return Err(recorded.broken(Flaw::new(WRONG_COUNT, found, expected)));
        }
        Ok(spans)
    }
}
