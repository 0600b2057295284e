// SPDX-License-Identifier: GPL-2.0
//! Items of chunks, devices, block groups and free space.

use super::item::{Item, Occasion};
use crate::disk::corrupt::{ensure, ensure_eq, ensure_max, Flaw};
use crate::disk::packing::{ensure_empty, len64, size64};
use crate::disk::raw::FREE_SPACE_BITMAP_SIZE;
use crate::disk::{
    BlockGroupItem, ChunkItem, DevExtent, DevItem, FreeSpaceForm, FreeSpaceInfo, Kind,
};

pub(super) fn block_group(item: &Item<'_>) -> Result<(), Flaw> {
    BlockGroupItem::parse(&item.key, item.data)?;
    match item.previous {
        Some((before, _)) if before.kind == Kind::BLOCK_GROUP_ITEM => {
            let end = before.objectid.get().saturating_add(before.offset);
            ensure_max(
                "block group overlaps the one before",
                end,
                item.key.objectid.get(),
            )
        }
        _ => Ok(()),
    }
}

pub(super) fn chunk(item: &Item<'_>) -> Result<(), Flaw> {
    let chunk = ChunkItem::parse(item.data)?;
    chunk.check_place(&item.key, item.format.sector_size)?;
    match item.sibling() {
        Some((before, data)) => {
            let len = ChunkItem::parse(data).map_or(u64::MAX, |chunk| chunk.len.get());
            let end = before.offset.saturating_add(len);
            ensure_max("chunk overlaps the one before", end, item.key.offset)
        }
        None => Ok(()),
    }
}

pub(super) fn device(item: &Item<'_>) -> Result<(), Flaw> {
    let device = DevItem::parse(item.data)?;
    ensure_eq(
        "device's key has another objectid",
        item.key.objectid.get(),
        1,
    )?;
    ensure_eq(
        "device's key has another number",
        item.key.offset,
        device.devid.get(),
    )
}

pub(super) fn device_extent(item: &Item<'_>) -> Result<(), Flaw> {
    let extent = DevExtent::parse(&item.key, item.data)?;
    item.check_aligned("device extent is not aligned", item.key.offset)?;
    item.check_aligned("device extent's chunk is not aligned", extent.chunk.get())?;
    item.check_aligned("device extent's length is not aligned", extent.len.get())?;
    match item.sibling() {
        Some((before, data)) => {
            let len = DevExtent::parse(&before, data).map_or(u64::MAX, |extent| extent.len.get());
            let end = before.offset.saturating_add(len);
            ensure_max(
                "device extent overlaps the one before",
                end,
                item.key.offset,
            )
        }
        None => Ok(()),
    }
}

/// The range that a free space item's key names.
fn free_range(item: &Item<'_>) -> Result<u64, Flaw> {
    let (start, len) = (item.key.objectid.get(), item.key.offset);
    item.check_aligned("free space is not aligned", start)?;
    item.check_aligned("free space's length is not aligned", len)?;
    ensure(len > 0, "free space is empty", len, 1)?;
    let end = start.checked_add(len);
    end.ok_or(Flaw::new(
        "free space goes beyond all addresses",
        len,
        u64::MAX,
    ))
}

/// Sectors in the range of a free space item's key.
fn sectors(item: &Item<'_>) -> u64 {
    item.key
        .offset
        .checked_div(item.format.sector_size.into())
        .unwrap_or(0)
}

pub(super) fn free_space_info(item: &Item<'_>) -> Result<(), Flaw> {
    free_range(item)?;
    let info = FreeSpaceInfo::parse(item.data)?;
    ensure_max(
        "free space has too many ranges",
        info.extent_count.into(),
        sectors(item),
    )?;
    match item.previous {
        Some((before, _)) => {
            let end = before.objectid.get().saturating_add(before.offset);
            ensure_max(
                "free space overlaps that before",
                end,
                item.key.objectid.get(),
            )
        }
        None => Ok(()),
    }
}

pub(super) fn free_space(item: &Item<'_>) -> Result<(), Flaw> {
    let end = free_range(item)?;
    if item.key.kind == Kind::FREE_SPACE_EXTENT {
        ensure_empty(item.data, "free space extent has bytes")?;
    } else {
        let len = len64(item.data);
        ensure_eq(
            "free space bitmap has a wrong size",
            len,
            sectors(item).div_ceil(8),
        )?;
        ensure_max(
            "free space bitmap is too long",
            len,
            size64(FREE_SPACE_BITMAP_SIZE),
        )?;
    }
    let Some((before, data)) = item.previous else {
        return Ok(());
    };
    let start = item.key.objectid.get();
    let before_end = before.objectid.get().saturating_add(before.offset);
    if before.kind != Kind::FREE_SPACE_INFO {
        ensure_max("free space overlaps that before", before_end, start)?;
        let same = before.kind == item.key.kind || item.occasion == Occasion::Write;
        return ensure(
            same,
            "free space is of two kinds",
            item.key.kind.get().into(),
            199,
        );
    }
    ensure_max("free space goes beyond its block group", end, before_end)?;
    let expected = match FreeSpaceInfo::parse(data)?.form {
        FreeSpaceForm::Extents => Kind::FREE_SPACE_EXTENT,
        FreeSpaceForm::Bitmaps => Kind::FREE_SPACE_BITMAP,
    };
    let same = item.key.kind == expected || item.occasion == Occasion::Write;
    ensure(
        same,
        "free space is not of its info's kind",
        item.key.kind.get().into(),
        199,
    )
}
