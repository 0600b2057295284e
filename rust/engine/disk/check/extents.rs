// SPDX-License-Identifier: GPL-2.0
//! Items of the extent tree.

use super::item::Item;
use crate::disk::corrupt::{ensure, ensure_eq, ensure_max, Flaw};
use crate::disk::{keyed_ref, ExtentItem, Incompat, InlineRef, Key, Kind, MAX_LEVELS};

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
