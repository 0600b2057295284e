// SPDX-License-Identifier: GPL-2.0
//! Reading the whole tree at mount.

use super::bitmaps::Bitmap;
use super::{Form, Recorded};
use crate::btree::Tree;
use crate::disk::raw::{RawFreeSpaceInfo, FREE_SPACE_BITMAPS};
use crate::disk::{Key, Kind};
use core::ops::ControlFlow;
use latch::prelude::*;

/// What [`read`] meets.
pub(in crate::space) enum FreeSpaceItem {
    /// A group begins.
    Group(Recorded),
    /// A free range of the last group. Two may touch where bitmaps meet.
    Free(u64, u64),
}

/// Gives all of the tree to `each`, group after group, the ranges of a group ascending. One pass over the leaves.
pub(in crate::space) fn read(
    tree: &Tree,
    sector_size: u32,
    mut each: impl FnMut(FreeSpaceItem) -> Result,
) -> Result {
    let mut group: Option<Recorded> = None;
    tree.scan(Key::MIN..=Key::MAX, |key, bytes| {
        if key.kind == Kind::FREE_SPACE_INFO {
            let recorded = info(key, bytes)?;
            group = Some(recorded);
            each(FreeSpaceItem::Group(recorded))?;
            return Ok(ControlFlow::Continue(()));
        }
        let group = group.ok_or_else(|| stray(key))?;
        let start = key.objectid.get();
        let end = start
            .checked_add(key.offset)
            .filter(|&end| start < end && end <= group.end);
        let end = end
            .filter(|_| start >= group.start)
            .ok_or_else(|| stray(key))?;
        match (key.kind, group.form) {
            (Kind::FREE_SPACE_EXTENT, Form::Extents) => each(FreeSpaceItem::Free(start, end))?,
            (Kind::FREE_SPACE_BITMAP, Form::Bitmaps) => {
                let bitmap = Bitmap {
                    start,
                    end,
                    sector_size: sector_size.into(),
                };
                if usize::try_from(bitmap.size()) != Ok(bytes.len()) {
                    return Err(stray(key));
                }
                bitmap.each_free(bytes, &mut |start, end| {
                    each(FreeSpaceItem::Free(start, end))
                })?;
            }
            _ => return Err(stray(key)),
        }
        Ok(ControlFlow::Continue(()))
    })
}

fn info(key: Key, bytes: &[u8]) -> Result<Recorded> {
    let (info, _) = RawFreeSpaceInfo::read_from_prefix(bytes).map_err(|_| stray(key))?;
    let start = key.objectid.get();
    let end = start.checked_add(key.offset).ok_or_else(|| stray(key))?;
    let form = match info.flags.get() {
        0 => Form::Extents,
        FREE_SPACE_BITMAPS => Form::Bitmaps,
        _ => return Err(stray(key)),
    };
    Ok(Recorded {
        start,
        end,
        form,
        extent_count: info.extent_count.get(),
    })
}

#[cold]
fn stray(key: Key) -> Error {
    pr_err!("free space tree: item {key} makes no sense where it is\n");
    EUCLEAN
}
