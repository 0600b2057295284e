// SPDX-License-Identifier: GPL-2.0
//! Items of the trees that describe the volume: roots, extents, chunks, devices, free space, quotas.

use super::item::{Item, Occasion};
use crate::disk::corrupt::{ensure, ensure_eq, ensure_max, Flaw};
use crate::disk::extent::keyed_ref;
use crate::disk::item::{ensure_empty, len64, size64, whole};
use crate::disk::raw::{
    RawBalance, RawCacheHeader, RawDevReplace, RawDevStats, RawQgroupInfo, RawQgroupLimit,
    RawQgroupStatus, RawRootItem, FREE_SPACE_BITMAP_SIZE,
};
use crate::disk::root::check_root_key;
use crate::disk::{
    BlockGroupItem, ChunkItem, DevExtent, DevItem, ExtentItem, FreeSpaceForm, FreeSpaceInfo,
    Generation, Incompat, InlineRef, Key, Kind, ObjectId, RootItem, RootRef, MAX_LEVELS,
};
use zerocopy::FromBytes;

pub(super) fn root(item: &Item<'_>) -> Result<(), Flaw> {
    check_root_key(&item.key)?;
    let root = RootItem::parse(item.data)?;
    item.check_generation(root.generation)?;
    item.check_generation(root.last_snapshot)?;
    if let Ok(raw) = RawRootItem::ref_from_bytes(item.data) {
        item.check_generation(Generation::new(raw.generation_v2.get()))?;
    }
    item.check_aligned("root's address is not aligned", root.addr.get())
}

pub(super) fn root_ref(item: &Item<'_>) -> Result<(), Flaw> {
    RootRef::parse(item.data)?;
    for id in [item.key.objectid, ObjectId::new(item.key.offset)] {
        ensure(
            id.is_subvolume(),
            "root ref names no subvolume",
            id.get(),
            256,
        )?;
    }
    Ok(())
}

pub(super) fn extent(item: &Item<'_>) -> Result<(), Flaw> {
    let Key {
        objectid,
        kind,
        offset,
    } = item.key;
    item.check_aligned("extent's address is not aligned", objectid.get())?;
    let extent = ExtentItem::parse(kind, item.data)?;
    item.check_generation(extent.generation)?;
    let node_size = u64::from(item.format.node_size);
    if kind == Kind::METADATA_ITEM {
        let skinny = item.format.incompat.contains(Incompat::SKINNY_METADATA);
        ensure(
            skinny,
            "skinny metadata without its feature",
            kind.get().into(),
            168,
        )?;
        ensure(
            offset < MAX_LEVELS.into(),
            "block's level is too high",
            offset,
            7,
        )?;
    } else if extent.block_info.is_some() {
        ensure_eq("block's extent has another length", offset, node_size)?;
    } else {
        ensure(offset > 0, "extent is empty", offset, 1)?;
        item.check_aligned("extent's length is not aligned", offset)?;
    }
    let end = extent_end(&item.key, node_size);
    ensure(
        end.is_some(),
        "extent goes beyond all addresses",
        offset,
        u64::MAX,
    )?;
    inline_refs(item, &extent)?;
    match item.previous {
        Some((before, _)) if matches!(before.kind, Kind::EXTENT_ITEM | Kind::METADATA_ITEM) => {
            let end = extent_end(&before, node_size).unwrap_or(u64::MAX);
            ensure_max("extent overlaps the one before", end, objectid.get())
        }
        _ => Ok(()),
    }
}

/// The end of an extent, by its key.
fn extent_end(key: &Key, node_size: u64) -> Option<u64> {
    let len = if key.kind == Kind::METADATA_ITEM {
        node_size
    } else {
        key.offset
    };
    key.objectid.get().checked_add(len)
}

/// References stand in ascending order of kind, and of one kind in descending order of their number.
fn inline_refs(item: &Item<'_>, extent: &ExtentItem<'_>) -> Result<(), Flaw> {
    let mut total = 0u64;
    let mut last: Option<(Kind, u64)> = None;
    for reference in extent.inline_refs {
        let reference = reference?;
        check_ref(item, &reference)?;
        let (kind, number) = (reference.kind(), reference.sequence());
        if let Some((last_kind, last_number)) = last {
            let ordered = kind > last_kind || (kind == last_kind && number <= last_number);
            ensure(
                ordered,
                "inline references are out of order",
                number,
                last_number,
            )?;
            // Different files can have one hash; trees and parents are what their number says.
            let twice = kind == last_kind && number == last_number;
            let distinct = !twice || kind == Kind::EXTENT_DATA_REF;
            ensure(
                distinct,
                "inline reference stands twice",
                number,
                last_number,
            )?;
        }
        last = Some((kind, number));
        total = total.saturating_add(reference.count().into());
    }
    ensure_max("inline references are more than all", total, extent.refs)
}

/// The rules for a reference that depend on the sector size.
fn check_ref(item: &Item<'_>, reference: &InlineRef) -> Result<(), Flaw> {
    match reference {
        InlineRef::TreeBlock(root) => ensure(root.get() != 0, "reference of no tree", 0, 1),
        InlineRef::SharedBlock(parent) | InlineRef::SharedData(parent, _) => {
            item.check_aligned("reference's parent is not aligned", parent.get())
        }
        InlineRef::Data(file) => {
            item.check_aligned("reference's offset is not aligned", file.offset)
        }
    }
}

pub(super) fn keyed_reference(item: &Item<'_>) -> Result<(), Flaw> {
    item.check_aligned("extent's address is not aligned", item.key.objectid.get())?;
    check_ref(item, &keyed_ref(&item.key, item.data)?)
}

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
            let len = ChunkItem::parse(data).map_or(u64::MAX, |chunk| chunk.len);
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
        device.devid,
    )
}

pub(super) fn device_extent(item: &Item<'_>) -> Result<(), Flaw> {
    let extent = DevExtent::parse(&item.key, item.data)?;
    item.check_aligned("device extent is not aligned", item.key.offset)?;
    item.check_aligned("device extent's chunk is not aligned", extent.chunk.get())?;
    item.check_aligned("device extent's length is not aligned", extent.len)?;
    match item.sibling() {
        Some((before, data)) => {
            let len = DevExtent::parse(&before, data).map_or(u64::MAX, |extent| extent.len);
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

/// The header of a free space cache (v1): kind 0, under an objectid of its own.
pub(super) fn cache_header(item: &Item<'_>) -> Result<(), Flaw> {
    if item.key.objectid != ObjectId::FREE_SPACE {
        return Ok(());
    }
    let raw: &RawCacheHeader = whole(item.data, "free space cache header has a wrong size")?;
    ensure_max(
        "cache has more bitmaps than entries",
        raw.num_bitmaps.get(),
        raw.num_entries.get(),
    )
}

pub(super) fn qgroup(item: &Item<'_>) -> Result<(), Flaw> {
    const SIZE: &str = "quota item has a wrong size";
    let len = item.data.len();
    let expected = match item.key.kind {
        // Simple quotas made it eight bytes longer.
        Kind::QGROUP_STATUS if len == RawQgroupStatus::SIZE.saturating_add(8) => len,
        Kind::QGROUP_STATUS => RawQgroupStatus::SIZE,
        Kind::QGROUP_INFO => RawQgroupInfo::SIZE,
        Kind::QGROUP_LIMIT => RawQgroupLimit::SIZE,
        _ => 0,
    };
    ensure_eq(SIZE, len64(item.data), size64(expected))
}

pub(super) fn uuid(item: &Item<'_>) -> Result<(), Flaw> {
    let len = len64(item.data);
    ensure(
        len > 0 && len & 7 == 0,
        "UUID item is not a number of ids",
        len,
        8,
    )
}

pub(super) fn temporary(item: &Item<'_>) -> Result<(), Flaw> {
    if item.key.objectid == ObjectId::BALANCE {
        whole::<RawBalance>(item.data, "balance item has a wrong size")?;
    }
    Ok(())
}

pub(super) fn persistent(item: &Item<'_>) -> Result<(), Flaw> {
    if item.key.objectid == ObjectId::DEV_STATS {
        // Old kernels had fewer counters, new ones may have more.
        let len = len64(item.data);
        ensure(
            len > 0 && len & 7 == 0,
            "statistics have a wrong size",
            len,
            size64(RawDevStats::SIZE),
        )?;
    }
    Ok(())
}

pub(super) fn replace(item: &Item<'_>) -> Result<(), Flaw> {
    whole::<RawDevReplace>(item.data, "replace item has a wrong size")?;
    Ok(())
}
