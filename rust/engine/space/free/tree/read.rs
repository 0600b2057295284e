// SPDX-License-Identifier: GPL-2.0
//! Reading the whole tree at mount.

use super::bitmaps::Bitmap;
use super::Recorded;
use crate::btree::Tree;
use crate::disk::{Flaw, FreeSpaceForm, FreeSpaceInfo, Key, Kind};
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
    sector_size: u64,
    mut each: impl FnMut(FreeSpaceItem) -> Result,
) -> Result {
    let mut group: Option<Recorded> = None;
    tree.scan(Key::MIN..=Key::MAX, |key, bytes| {
        let stray = |flaw: Flaw| flaw.in_item(tree.id(), &key).report();
        if key.kind == Kind::FREE_SPACE_INFO {
            let recorded = info(key, bytes).map_err(stray)?;
            group = Some(recorded);
            each(FreeSpaceItem::Group(recorded))?;
            return Ok(ControlFlow::Continue(()));
        }
        let group =
            group.ok_or_else(|| stray(Flaw::missing("free space comes before any block group")))?;
        match free(&group, key, bytes, sector_size).map_err(stray)? {
            Free::Extent(start, end) => each(FreeSpaceItem::Free(start, end))?,
            Free::Bitmap(bitmap) => bitmap.each_free(bytes, &mut |start, end| {
                each(FreeSpaceItem::Free(start, end))
            })?,
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// An item with free ranges of a group.
enum Free {
    /// One range.
    Extent(u64, u64),
    /// A bit for each sector.
    Bitmap(Bitmap),
}

/// What an item of `group` says, if it belongs there.
fn free(group: &Recorded, key: Key, bytes: &[u8], sector_size: u64) -> Result<Free, Flaw> {
    let start = key.objectid.get();
    let end = start.saturating_add(key.offset);
    if start >= end || start < group.start || end > group.end {
        return Err(Flaw::new(
            "free space leaves its block group",
            end,
            group.end,
        ));
    }
    match (key.kind, group.form) {
        (Kind::FREE_SPACE_EXTENT, FreeSpaceForm::Extents) => Ok(Free::Extent(start, end)),
        (Kind::FREE_SPACE_BITMAP, FreeSpaceForm::Bitmaps) => {
            let bitmap = Bitmap {
                start,
                end,
                sector_size,
            };
            bitmap.check_size(bytes)?;
            Ok(Free::Bitmap(bitmap))
        }
        (kind, form) => {
            let expected = match form {
                FreeSpaceForm::Extents => Kind::FREE_SPACE_EXTENT,
                FreeSpaceForm::Bitmaps => Kind::FREE_SPACE_BITMAP,
            };
            Err(Flaw::new(
                "free space is not of its info's kind",
                kind.get().into(),
                expected.get().into(),
            ))
        }
    }
}

/// What a FREE_SPACE_INFO item says of its group.
fn info(key: Key, bytes: &[u8]) -> Result<Recorded, Flaw> {
    let info = FreeSpaceInfo::parse(bytes)?;
    let start = key.objectid.get();
    let too_long = || {
        Flaw::new(
            "block group goes beyond all addresses",
            key.offset,
            u64::MAX,
        )
    };
    let end = start.checked_add(key.offset).ok_or_else(too_long)?;
    Ok(Recorded {
        start,
        end,
        form: info.form,
        extent_count: info.extent_count,
    })
}
