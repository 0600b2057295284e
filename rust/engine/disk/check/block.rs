// SPDX-License-Identifier: GPL-2.0
//! The block around the items: header, order of keys, places of the items' bytes, pointers.

use super::item::{Item, Occasion};
use super::{check_item, BlockContext};
use crate::disk::block::{leaf_area, max_pointers};
use crate::disk::corrupt::{ensure, ensure_aligned, ensure_eq, ensure_max, Corrupt, Flaw};
use crate::disk::ids::{HIGHEST_LEVEL, MAX_LEVELS};
use crate::disk::packing::{len64, size64};
use crate::disk::raw::{RawItem, HEADER_BACKREF_REVISION, HEADER_RELOC, HEADER_WRITTEN};
use crate::disk::{Header, Key, Leaf, Node, ObjectId, HEADER_SIZE};

/// Checks all of a block but its checksum.
pub(super) fn check(
    block: &[u8],
    context: &BlockContext<'_>,
    occasion: Occasion,
) -> Result<(), Corrupt> {
    let in_header = |flaw: Flaw| flaw.in_block(context.addr);
    let header = check_header(block, context, occasion).map_err(in_header)?;
    if header.level > 0 {
        check_node(block, &header, context)
    } else {
        check_leaf(block, &header, context, occasion)
    }
}

fn check_header(
    block: &[u8],
    context: &BlockContext<'_>,
    occasion: Occasion,
) -> Result<Header, Flaw> {
    let format = context.format;
    ensure_eq(
        "block has a wrong size",
        len64(block),
        format.node_size.into(),
    )?;
    let Some(header) = Header::new(block) else {
        return Err(Flaw::new(
            "block has no header",
            len64(block),
            size64(HEADER_SIZE),
        ));
    };
    ensure_eq(
        "block is for another address",
        header.addr.get(),
        context.addr.get(),
    )?;
    let ours = header.fsid == format.metadata_uuid;
    let (found, _) = header.fsid.key_halves();
    let (expected, _) = format.metadata_uuid.key_halves();
    ensure(ours, "block is of another file system", found, expected)?;
    ensure(
        header.level < MAX_LEVELS,
        "block's level is too high",
        header.level.into(),
        HIGHEST_LEVEL.into(),
    )?;
    if let Some(level) = context.level {
        ensure_eq("block has another level", header.level.into(), level.into())?;
    }
    let generation = header.generation.get();
    if let Some(expected) = context.generation {
        ensure_eq("block has another generation", generation, expected.get())?;
    }
    ensure_max(
        "block's generation is in the future",
        generation,
        context.newest.get(),
    )?;
    check_owner(&header, context.owner)?;
    check_flags(&header, occasion)?;
    Ok(header)
}

/// The tree in the header must be the one that led here; only subvolumes share blocks (C: `btrfs_check_eb_owner`).
fn check_owner(header: &Header, expected: Option<ObjectId>) -> Result<(), Flaw> {
    let owner = header.owner;
    ensure(owner.get() != 0, "block has no owner", 0, 1)?;
    let Some(expected) = expected else {
        return Ok(());
    };
    // Blocks of these name their subvolume.
    if matches!(expected, ObjectId::TREE_LOG | ObjectId::TREE_RELOC) {
        return Ok(());
    }
    let same = owner == expected || (owner.is_subvolume() && expected.is_subvolume());
    ensure(
        same,
        "block is of another tree",
        owner.get(),
        expected.get(),
    )
}

fn check_flags(header: &Header, occasion: Occasion) -> Result<(), Flaw> {
    let known = HEADER_WRITTEN | HEADER_RELOC;
    let flags = header.flags & !known;
    ensure_eq("block's flags are unknown", flags, HEADER_BACKREF_REVISION)?;
    let written = header.is_written() || occasion == Occasion::Write;
    ensure(
        written,
        "block is not marked as written",
        header.flags,
        HEADER_WRITTEN,
    )
}

/// The first key must be the one that the pointer names.
fn check_first_key(found: Option<Key>, expected: Option<Key>) -> Result<(), Flaw> {
    match (found, expected) {
        (_, None) => Ok(()),
        (None, Some(key)) => ensure(false, "block has no first key", 0, key.objectid.get()),
        (Some(found), Some(key)) => {
            let (one, other) = (found.objectid.get(), key.objectid.get());
            ensure(found == key, "block has another first key", one, other)
        }
    }
}

fn check_node(block: &[u8], header: &Header, context: &BlockContext<'_>) -> Result<(), Corrupt> {
    let nritems = u64::from(header.nritems);
    let most = max_pointers(context.format.node_size).into();
    let node = Node::new(block);
    let in_header = |flaw: Flaw| flaw.in_block(context.addr);
    ensure(nritems > 0, "node is empty", 0, 1).map_err(in_header)?;
    ensure_max("node has too many pointers", nritems, most).map_err(in_header)?;
    check_first_key(node.key(0), context.first_key).map_err(in_header)?;
    let mut previous: Option<Key> = None;
    for (slot, pointer) in node.raw_pointers().iter().enumerate() {
        let child = pointer.get();
        let at_slot = |flaw: Flaw| flaw.in_slot(context.addr, slot);
        check_order(previous, &child.key).map_err(at_slot)?;
        let addr = child.addr.get();
        ensure(addr != 0, "pointer leads nowhere", addr, 1).map_err(at_slot)?;
        ensure_aligned("pointer is not aligned", addr, context.format.sector_size)
            .map_err(at_slot)?;
        ensure(
            addr != context.addr.get(),
            "pointer leads to its own node",
            addr,
            0,
        )
        .map_err(at_slot)?;
        // To change a child is to change the pointer to it.
        ensure_max(
            "child is newer than its node",
            child.generation.get(),
            header.generation.get(),
        )
        .map_err(at_slot)?;
        previous = Some(child.key);
    }
    Ok(())
}

fn check_order(previous: Option<Key>, key: &Key) -> Result<(), Flaw> {
    match previous {
        Some(before) if before >= *key => Err(Flaw::new(
            "keys are out of order",
            key.objectid.get(),
            before.objectid.get(),
        )),
        _ => Ok(()),
    }
}

fn check_leaf(
    block: &[u8],
    header: &Header,
    context: &BlockContext<'_>,
    occasion: Occasion,
) -> Result<(), Corrupt> {
    let leaf = Leaf::new(block);
    let in_header = |flaw: Flaw| flaw.in_block(context.addr);
    let area = leaf_area(context.format.node_size);
    let most = u64::from(area)
        .checked_div(size64(RawItem::SIZE))
        .unwrap_or(0);
    ensure_max("leaf has too many items", header.nritems.into(), most).map_err(in_header)?;
    if header.nritems == 0 {
        check_may_be_empty(header).map_err(in_header)?;
    }
    check_first_key(leaf.key(0), context.first_key).map_err(in_header)?;
    let items_end = size64(core::mem::size_of_val(leaf.raw_items()));
    let mut data_end = u64::from(area);
    let mut previous = None;
    for (slot, raw) in leaf.raw_items().iter().enumerate() {
        let at_slot = |flaw: Flaw| flaw.in_slot(context.addr, slot);
        let key = raw.key.get();
        check_order(previous.map(|(key, _)| key), &key).map_err(at_slot)?;
        data_end = check_bounds(raw, data_end, items_end).map_err(at_slot)?;
        let Some(data) = leaf.data(slot) else {
            return Err(at_slot(Flaw::new(
                "item is outside of its leaf",
                data_end,
                area.into(),
            )));
        };
        let item = Item {
            format: context.format,
            checksums: context.checksums,
            occasion,
            owner: header.owner,
            newest: context.newest,
            key,
            data,
            previous,
        };
        check_item(&item).map_err(at_slot)?;
        previous = Some((key, data));
    }
    Ok(())
}

/// Data fill the leaf from its end, item after item, without holes, down to the items at most. Returns where the
/// item's data start.
fn check_bounds(raw: &RawItem, expected_end: u64, items_end: u64) -> Result<u64, Flaw> {
    let start = u64::from(raw.offset.get());
    let end = start.saturating_add(raw.size.get().into());
    ensure_eq(
        "item does not end where the one before starts",
        end,
        expected_end,
    )?;
    ensure(
        start >= items_end,
        "item's data reach into the items",
        start,
        items_end,
    )?;
    Ok(start)
}

/// Some trees always have an item.
fn check_may_be_empty(header: &Header) -> Result<(), Flaw> {
    let never = matches!(
        header.owner,
        ObjectId::ROOT_TREE
            | ObjectId::EXTENT_TREE
            | ObjectId::CHUNK_TREE
            | ObjectId::DEV_TREE
            | ObjectId::FS_TREE
            | ObjectId::DATA_RELOC_TREE
    );
    let reloc = header.flags & HEADER_RELOC != 0;
    ensure(
        !never || reloc,
        "tree is empty that never is",
        header.owner.get(),
        0,
    )
}
