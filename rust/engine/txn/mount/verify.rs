// SPDX-License-Identifier: GPL-2.0
//! What a mount does not believe: each of these items is well-formed, and says what another denies.
//!
//! Who makes a chunk looks for room among the device extents, and who writes goes by the chunks. Where they differ, the
//! next chunk is laid over what another holds. One pass over the device tree compares them (C: `btrfs_verify_dev_extents`).

use crate::btree::Tree;
use crate::disk::{
    Bytes, DevExtent, DevItem, DeviceId, Flaw, Key, Kind, Logical, ObjectId, Physical, Site,
};
use crate::txn::roots::OpenTrees;
use crate::volume::{Chunk, Volume};
use core::ops::ControlFlow;
use latch::prelude::*;

/// How much of a device may be used, as its item has it.
struct Size {
    devid: DeviceId,
    bytes: Bytes,
}

/// What the superblock says of the sizes of the volume's devices.
#[derive(Clone, Copy)]
pub(in crate::txn) enum InSuperblock {
    /// What it says now: bytes of all devices, and of each, by which chunks are planned.
    Current,
    /// What one of its backups says: bytes of all devices, which may have had other sizes then.
    Backup(Bytes),
}

/// Compares the device items with the devices that were given, and with what the superblock says of them.
pub(in crate::txn) fn devices(
    volume: &Volume,
    chunk_tree: &Tree,
    superblock: InSuperblock,
) -> Result {
    let sizes = read_sizes(chunk_tree)?;
    let given = volume.devices();
    if sizes.len() != given {
        pr_err!(
            "the volume has {} devices, {given} were given\n",
            sizes.len()
        );
        return Err(ENXIO);
    }
    let total = sizes
        .iter()
        .fold(Bytes::ZERO, |sum, size| sum.saturating_add(size.bytes));
    let given = volume.device_ids().filter_map(|id| volume.device(id));
    let given = given.fold(Bytes::ZERO, |sum, device| sum.saturating_add(device.size()));
    if total > given {
        pr_err!("the devices have {given} bytes, the volume was made for {total}\n");
        return Err(EINVAL);
    }
    let in_superblock = match superblock {
        InSuperblock::Current => volume.superblock().total_bytes,
        InSuperblock::Backup(total_bytes) => total_bytes,
    };
    if in_superblock < total {
        pr_err!("the superblock has {in_superblock} bytes, its devices {total}: btrfs rescue fix-device-size may help\n");
        return Err(EINVAL);
    }
    match superblock {
        InSuperblock::Current => sizes
            .iter()
            .try_for_each(|size| device(volume, chunk_tree, size)),
        InSuperblock::Backup(_) => Ok(()),
    }
}

/// Compares a device item with what the superblock says of its device. Where they differ, chunks would be made where the item
/// denies that there is anything, or nothing could be committed any more.
fn device(volume: &Volume, chunk_tree: &Tree, size: &Size) -> Result {
    let bytes = volume
        .superblocks()
        .device_bytes(size.devid)
        .unwrap_or(Bytes::ZERO);
    if bytes != size.bytes {
        let what = "superblock has another size of its device";
        let flaw = Flaw::new(what, bytes.get(), size.bytes.get());
        return Err(flaw.at(Site::Tree(chunk_tree.id())).report());
    }
    Ok(())
}

fn read_sizes(chunk_tree: &Tree) -> Result<KVec<Size>> {
    let mut sizes = KVec::new();
    chunk_tree.scan(
        DevItem::key(DeviceId::new(0))..=DevItem::key(DeviceId::new(u64::MAX)),
        |key, bytes| {
            let item = DevItem::parse(bytes).map_err(|flaw| broken(chunk_tree, &key, flaw))?;
            let (devid, bytes) = (item.devid, item.total_bytes);
            sizes.push(Size { devid, bytes }, GFP_KERNEL)?;
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(sizes)
}

/// Compares all device extents with all chunks.
pub(in crate::txn) fn device_extents(volume: &Volume, trees: &OpenTrees) -> Result {
    let sizes = read_sizes(trees.chunk())?;
    let tree = trees.required(ObjectId::DEV_TREE)?;
    let mut found = 0u64;
    let mut before = (DeviceId::new(0), Physical::new(0));
    // Of device 0 there is nothing but statistics.
    tree.scan(
        DevExtent::key(DeviceId::new(1), Physical::new(0))..=Key::MAX,
        |key, bytes| {
            if key.kind != Kind::DEV_EXTENT {
                return Ok(ControlFlow::Continue(()));
            }
            let flawed = |flaw| broken(&tree, &key, flaw);
            let extent = DevExtent::parse(&key, bytes).map_err(flawed)?;
            let devid = DeviceId::new(key.objectid.get());
            let size = sizes.iter().find(|size| size.devid == devid);
            check_extent(
                volume,
                devid,
                &extent,
                size.map_or(Bytes::ZERO, |size| size.bytes),
            )
            .map_err(flawed)?;
            if before.0 == devid && extent.start < before.1 {
                let what = "device extent overlaps another";
                let flaw = Flaw::new(what, extent.start.get(), before.1.get());
                return Err(flawed(flaw));
            }
            before = (devid, extent.start.saturating_add(extent.len));
            found = found.saturating_add(1);
            Ok(ControlFlow::Continue(()))
        },
    )?;
    // Each of those is one copy of one chunk, and no two are the same.
    let mut copies = 0u64;
    each_chunk(volume, |chunk| {
        copies = copies.saturating_add(u64::try_from(chunk.stripes.len())?);
        Ok(())
    })?;
    match found == copies {
        true => Ok(()),
        false => Err(name_missing(
            volume,
            &tree,
            Flaw::new("chunks lack device extents", found, copies),
        )),
    }
}

/// An extent is what its chunk has there, and within its device.
fn check_extent(
    volume: &Volume,
    devid: DeviceId,
    extent: &DevExtent,
    size: Bytes,
) -> Result<(), Flaw> {
    let chunk = volume.chunk_from(extent.chunk);
    let chunk = chunk.filter(|chunk| chunk.logical == extent.chunk);
    let Some(chunk) = chunk else {
        return Err(Flaw::new(
            "device extent is of no chunk",
            extent.chunk.get(),
            0,
        ));
    };
    let mut stripes = chunk.stripes.iter();
    if !stripes.any(|stripe| stripe.devid == devid && stripe.at == extent.start) {
        let first = chunk.stripes.first().map_or(0, |stripe| stripe.at.get());
        let what = "device extent is not where its chunk is";
        return Err(Flaw::new(what, extent.start.get(), first));
    }
    let len = chunk.stripe_len().unwrap_or(Bytes::ZERO);
    if extent.len != len {
        let what = "device extent is not as long as its chunk";
        return Err(Flaw::new(what, extent.len.get(), len.get()));
    }
    let end = extent.start.saturating_add(extent.len);
    match end > Physical::after(size) {
        true => Err(Flaw::new(
            "device extent goes beyond its device",
            end.get(),
            size.get(),
        )),
        false => Ok(()),
    }
}

/// Says which chunk has fewer device extents than copies.
#[cold]
fn name_missing(volume: &Volume, tree: &Tree, sums: Flaw) -> Error {
    let named = each_chunk(volume, |chunk| {
        for stripe in chunk.stripes.iter() {
            if tree
                .get(&DevExtent::key(stripe.devid, stripe.at), |_| ())?
                .is_none()
            {
                let flaw = Flaw::missing("chunk has no device extent");
                return Err(flaw.at(Site::Chunk(chunk.logical)).report());
            }
        }
        Ok(())
    });
    match named {
        Err(error) => error,
        // Two copies of one chunk are in the same place.
        Ok(()) => sums.at(Site::Tree(tree.id())).report(),
    }
}

/// Nothing of the block groups' tree lies outside of chunks: what would be there is not looked at again. That each
/// chunk has a block group is seen when it is loaded.
pub(in crate::txn) fn block_groups(volume: &Volume, tree: &Tree) -> Result {
    let mut from = Logical::new(0);
    each_chunk(volume, |chunk| {
        check_gap(tree, from, chunk.logical)?;
        from = chunk.logical.saturating_add(chunk.len);
        Ok(())
    })?;
    check_gap(tree, from, Logical::new(u64::MAX))
}

fn check_gap(tree: &Tree, start: Logical, end: Logical) -> Result {
    if start >= end {
        return Ok(());
    }
    let first = Key::new(start.get(), Kind::new(0), 0);
    let found = tree.ceiling(&first, |key, _| key)?;
    let Some(key) = found.filter(|key| key.objectid.get() < end.get()) else {
        return Ok(());
    };
    let addr = Logical::new(key.objectid.get());
    let corrupt = match key.kind {
        Kind::BLOCK_GROUP_ITEM => {
            Flaw::missing("block group has no chunk").at(Site::BlockGroup(addr))
        }
        _ => Flaw::missing("extent lies in no chunk").at(Site::Extent(addr)),
    };
    Err(corrupt.report())
}

/// All chunks, ascending.
fn each_chunk(volume: &Volume, mut each: impl FnMut(&Chunk) -> Result) -> Result {
    let mut next = volume.chunk_from(Logical::new(0));
    while let Some(chunk) = next {
        each(&chunk)?;
        let end = chunk.logical.checked_add(chunk.len);
        next = end.and_then(|end| volume.chunk_from(end));
    }
    Ok(())
}

/// A balance that C has begun is left as it is, paused (C: `skip_balance`). One that was interrupted while it moved
/// something has trees that share blocks with those of subvolumes in a way of their own: C merges them.
pub(in crate::txn) fn balance(volume: &Volume, root: &Tree) -> Result {
    let paused = Key::new(ObjectId::BALANCE.get(), Kind::TEMPORARY_ITEM, 0);
    if root.get(&paused, |_| ())?.is_some() {
        pr_warn!("a balance is paused and stays so, as with skip_balance: C btrfs can resume or cancel it\n");
    }
    let first = Key::new(ObjectId::TREE_RELOC.get(), Kind::ROOT_ITEM, 0);
    let found = root.ceiling(&first, |key, _| key)?;
    let is_relocation =
        |key: &Key| (key.objectid, key.kind) == (ObjectId::TREE_RELOC, Kind::ROOT_ITEM);
    if found.filter(is_relocation).is_none() {
        return Ok(());
    }
    if volume.writes() == crate::volume::Writes::Later {
        pr_warn!("a relocation was interrupted: the volume can only be read until C btrfs has ended it\n");
        volume.forbid_writing();
        return Ok(());
    }
    pr_err!("a relocation was interrupted: mount read-only, or let C btrfs end it\n");
    Err(EROFS)
}

/// An item that passed the gate and that its parser does not take.
#[cold]
pub(in crate::txn) fn broken(tree: &Tree, key: &Key, flaw: Flaw) -> Error {
    flaw.in_item(tree.id(), key).report()
}
