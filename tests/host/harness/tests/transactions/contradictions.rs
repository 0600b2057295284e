// SPDX-License-Identifier: GPL-2.0
//! What a mount does not believe: each item passes the gate, and another says something else.
//!
//! The images are made by the engine itself, in a transaction that changes one side and leaves the other.

use crate::files::Files;
use crate::mounted::{mount, mount_with, unmount, zoned_image};
use crate::mounting::edit;
use core::ops::ControlFlow;
use engine::disk::raw::RawBalance;
use engine::disk::{
    BlockGroupFlags, BlockGroupItem, Bytes, DevExtent, DevItem, DeviceId, Key, Kind, ObjectId,
    Physical, RootItem,
};
use engine::fs::{FileSystem, Target};
use engine::txn::{Access, Handle, Keep, Options, Roots, Units};
use engine::volume::Writes;
use harness::device::Image;
use harness::mount::{devices, Layers, Mounted};
use harness::tools;
use kernel::prelude::*;
use kernel::print::Capture;
use std::vec::Vec;
use zerocopy::{FromZeros, IntoBytes};

const MIB: u64 = 1 << 20;
const DEVICE: DeviceId = DeviceId::new(1);
const SECOND: DeviceId = DeviceId::new(2);

/// The image with one transaction's worth of changes.
pub(crate) fn rewritten(image: Image, change: impl FnOnce(&Layers, &Handle)) -> Image {
    let mounted = mount(image).unwrap();
    let handle = mounted.txns.start(Units::inserts(4)).unwrap();
    change(&mounted, &handle);
    handle.commit().unwrap();
    unmount(mounted)
}

/// The first item of `kind` in a tree, from `from` on: its key and bytes.
pub(crate) fn first_of(mounted: &Layers, tree: ObjectId, kind: Kind, from: Key) -> (Key, Vec<u8>) {
    let tree = mounted.txns.required_tree(tree).unwrap();
    let mut found = None;
    tree.scan(from..=Key::MAX, |key, bytes| {
        if key.kind == kind {
            found = Some((key, bytes.to_vec()));
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    found.unwrap()
}

fn first_extent(mounted: &Layers) -> (Key, DevExtent) {
    let from = DevExtent::key(DEVICE, Physical::new(0));
    let (key, bytes) = first_of(mounted, ObjectId::DEV_TREE, Kind::DEV_EXTENT, from);
    let extent = DevExtent::parse(&key, &bytes).unwrap();
    (key, extent)
}

pub(crate) fn remove(mounted: &Layers, handle: &Handle, tree: ObjectId, key: &Key) {
    let tree = mounted.txns.required_tree(tree).unwrap();
    tree.remove(handle, key).unwrap();
}

pub(crate) fn insert(mounted: &Layers, handle: &Handle, tree: ObjectId, key: &Key, bytes: &[u8]) {
    let tree = mounted.txns.required_tree(tree).unwrap();
    tree.insert(handle, key, bytes).unwrap();
}

fn extent_bytes(extent: &DevExtent) -> Vec<u8> {
    let mut bytes = vec![0; DevExtent::SIZE];
    extent.write_to(&mut bytes).unwrap();
    bytes
}

/// Both kinds of mount are refused, for one reason that is said once.
fn refused(image: &Image, error: Error, line: &str) {
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let log = Capture::new();
        let mounted = mount_with(image.clone(), Options::new(access));
        assert_eq!(mounted.err(), Some(error), "{access:?}: {line}");
        assert!(log.contains(line), "{:?}", log.lines());
        assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
    }
}

fn images() -> [Image; 2] {
    [tools::mkfs(256 * MIB, &[]), zoned_image(12, 16 * MIB)]
}

/// The next chunk would be laid over what the chunk has.
#[test]
fn a_chunk_without_its_device_extent() {
    for image in images() {
        let image = rewritten(image, |mounted, handle| {
            let (key, _) = first_extent(mounted);
            remove(mounted, handle, ObjectId::DEV_TREE, &key);
        });
        refused(&image, EUCLEAN, "chunk has no device extent");
    }
}

#[test]
fn a_device_extent_of_no_chunk() {
    for image in images() {
        let size = image.pages.size();
        let image = rewritten(image, |mounted, handle| {
            let (key, extent) = first_extent(mounted);
            let start = Physical::new(size - extent.len.get());
            let stray = DevExtent { start, ..extent };
            let key = DevExtent::key(DeviceId::new(key.objectid.get()), start);
            insert(
                mounted,
                handle,
                ObjectId::DEV_TREE,
                &key,
                &extent_bytes(&stray),
            );
        });
        refused(&image, EUCLEAN, "device extent is not where its chunk is");
    }
}

#[test]
fn a_device_extent_that_names_another_chunk() {
    for image in images() {
        let image = rewritten(image, |mounted, handle| {
            let (key, mut extent) = first_extent(mounted);
            extent.chunk = extent.chunk.saturating_add(Bytes::new(4096));
            let tree = mounted.txns.required_tree(ObjectId::DEV_TREE).unwrap();
            tree.replace(handle, &key, &extent_bytes(&extent)).unwrap();
        });
        refused(&image, EUCLEAN, "device extent is of no chunk");
    }
}

#[test]
fn a_device_extent_of_another_length() {
    for image in images() {
        let image = rewritten(image, |mounted, handle| {
            let (key, mut extent) = first_extent(mounted);
            extent.len = extent.len.saturating_sub(Bytes::new(65536));
            let tree = mounted.txns.required_tree(ObjectId::DEV_TREE).unwrap();
            tree.replace(handle, &key, &extent_bytes(&extent)).unwrap();
        });
        refused(&image, EUCLEAN, "device extent is not as long as its chunk");
    }
}

/// What a device's item says is all that may be used of it.
#[test]
fn a_device_extent_beyond_its_device() {
    let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
        let chunks = mounted.txns.required_tree(ObjectId::CHUNK_TREE).unwrap();
        let key = DevItem::key(DEVICE);
        let shrunk = chunks.update(handle, &key, |bytes| {
            let mut item = DevItem::parse(bytes).unwrap();
            item.total_bytes = item.bytes_used;
            item.write_to(bytes).unwrap();
        });
        shrunk.unwrap();
    });
    let mut image = image;
    edit(&mut image, |raw| {
        let used = raw.dev_item.bytes_used;
        raw.dev_item.total_bytes = used;
    });
    refused(&image, EUCLEAN, "device extent goes beyond its device");
}

/// A device more than was given, or one less, whatever the superblock says of their number.
#[test]
fn another_number_of_device_items() {
    let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
        let chunks = mounted.txns.required_tree(ObjectId::CHUNK_TREE).unwrap();
        let bytes = chunks
            .get(&DevItem::key(DEVICE), |bytes| bytes.to_vec())
            .unwrap();
        let mut bytes = bytes.unwrap();
        let mut item = DevItem::parse(&bytes).unwrap();
        item.devid = SECOND;
        item.write_to(&mut bytes).unwrap();
        chunks
            .insert(handle, &DevItem::key(SECOND), &bytes)
            .unwrap();
    });
    refused(&image, ENXIO, "the volume has 2 devices, 1 were given");
    let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
        remove(mounted, handle, ObjectId::CHUNK_TREE, &DevItem::key(DEVICE));
    });
    refused(&image, ENXIO, "the volume has 0 devices, 1 were given");
}

/// What lies there would be read from, and written to, another device.
#[test]
fn a_chunk_on_a_device_that_is_not_there() {
    // Where the one stripe of the item has the number of its device, and its UUID.
    for at in [48, 64] {
        let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
            let (_, group, _) = data_group(mounted);
            let chunks = mounted.txns.required_tree(ObjectId::CHUNK_TREE).unwrap();
            let key = Key::new(256, Kind::CHUNK_ITEM, group.objectid.get());
            let moved = chunks.update(handle, &key, |bytes| bytes[at] ^= 2);
            moved.unwrap();
        });
        let line = "chunk lies on a device that the volume does not have";
        refused(&image, EUCLEAN, line);
    }
}

/// A chunk would be made where the item denies that there is a device, or none at all.
#[test]
fn a_superblock_that_has_another_size_of_the_device() {
    for more in [true, false] {
        let mut image = tools::mkfs(256 * MIB, &[]);
        if more {
            image = rewritten(image, |mounted, handle| {
                let chunks = mounted.txns.required_tree(ObjectId::CHUNK_TREE).unwrap();
                let shrunk = chunks.update(handle, &DevItem::key(DEVICE), |bytes| {
                    let mut item = DevItem::parse(bytes).unwrap();
                    item.total_bytes = item.total_bytes.saturating_sub(Bytes::new(MIB));
                    item.write_to(bytes).unwrap();
                });
                shrunk.unwrap();
            });
        } else {
            edit(&mut image, |raw| raw.dev_item.total_bytes.set(200 * MIB));
        }
        refused(&image, EUCLEAN, "superblock has another size of its device");
    }
}

#[test]
fn a_superblock_of_fewer_bytes_than_the_devices() {
    let mut image = tools::mkfs(256 * MIB, &[]);
    edit(&mut image, |raw| {
        let less = raw.total_bytes.get() - MIB;
        raw.total_bytes.set(less);
    });
    refused(&image, EINVAL, "the superblock has");
    // Older roots are of a time when it had as many.
    let mut options = Options::new(Access::ReadOnly);
    options.roots = Roots::OrBackup;
    mount_with(image, options).unwrap();
}

/// The item of the block group of data, which no commit here touches, and the tree that it is in.
fn data_group(mounted: &Layers) -> (ObjectId, Key, Vec<u8>) {
    group_of(mounted, BlockGroupFlags::DATA)
}

/// The item of a block group of this type, and the tree that it is in. Those of system, too, no commit here touches.
fn group_of(mounted: &Layers, flags: BlockGroupFlags) -> (ObjectId, Key, Vec<u8>) {
    let trees = [ObjectId::BLOCK_GROUP_TREE, ObjectId::EXTENT_TREE];
    let found = |&tree: &ObjectId| mounted.txns.tree(tree).is_ok();
    let tree = trees.into_iter().find(found).unwrap();
    let items = mounted.txns.required_tree(tree).unwrap();
    let mut data = None;
    let scanned = items.scan(Key::MIN..=Key::MAX, |key, bytes| {
        let item = (key.kind == Kind::BLOCK_GROUP_ITEM).then(|| BlockGroupItem::parse(&key, bytes));
        if item.is_some_and(|item| item.unwrap().flags.contains(flags)) {
            data = Some((key, bytes.to_vec()));
        }
        Ok(ControlFlow::Continue(()))
    });
    scanned.unwrap();
    let (key, bytes) = data.unwrap();
    (tree, key, bytes)
}

fn with_and_without_group_tree() -> [Image; 2] {
    let without = tools::mkfs(256 * MIB, &["-O", "^block-group-tree"]);
    [tools::mkfs(256 * MIB, &["-O", "block-group-tree"]), without]
}

#[test]
fn a_chunk_without_its_block_group() {
    for image in with_and_without_group_tree() {
        let image = rewritten(image, |mounted, handle| {
            let (tree, key, _) = data_group(mounted);
            remove(mounted, handle, tree, &key);
        });
        refused(&image, EUCLEAN, "chunk has no block group item");
    }
}

/// Behind all chunks, and before them.
#[test]
fn a_block_group_without_its_chunk() {
    for image in with_and_without_group_tree() {
        for behind in [true, false] {
            let image = rewritten(image.clone(), |mounted, handle| {
                let (tree, data, bytes) = data_group(mounted);
                let start = if behind { 1 << 50 } else { 0 };
                let key = Key::new(start, Kind::BLOCK_GROUP_ITEM, MIB);
                let mut item = BlockGroupItem::parse(&data, &bytes).unwrap();
                item.used = Bytes::ZERO;
                let mut bytes = vec![0; BlockGroupItem::SIZE];
                item.write_to(&mut bytes).unwrap();
                insert(mounted, handle, tree, &key, &bytes);
            });
            refused(&image, EUCLEAN, "block group has no chunk");
        }
    }
}

#[test]
fn a_tree_that_is_missing() {
    let trees = [ObjectId::DEV_TREE, ObjectId::CSUM_TREE];
    for id in trees {
        let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
            remove(mounted, handle, ObjectId::ROOT_TREE, &root_item(id));
        });
        refused(&image, EUCLEAN, "tree has no root item");
    }
}

const fn root_item(id: ObjectId) -> Key {
    Key::new(id.get(), Kind::ROOT_ITEM, 0)
}

/// The superblock leads to a good block, of another tree.
#[test]
fn a_superblock_that_leads_to_another_tree() {
    let image = tools::mkfs(256 * MIB, &[]);
    let mounted = mount_with(image.clone(), Options::new(Access::ReadOnly)).unwrap();
    let files = mounted.txns.tree(ObjectId::FS_TREE).unwrap().root_pointer();
    drop(mounted);
    let mut image = image;
    edit(&mut image, |raw| {
        raw.root.set(files.addr.get());
        raw.generation.set(files.generation.get());
    });
    let log = Capture::new();
    let mounted = mount_with(image, Options::new(Access::ReadOnly));
    assert_eq!(mounted.err(), Some(EUCLEAN), "{:?}", log.lines());
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
}

/// C goes on with it, or with `skip_balance` leaves it for later. Nothing goes on with it here.
#[test]
fn a_paused_balance_stays_paused() {
    let balance = Key::new(ObjectId::BALANCE.get(), Kind::TEMPORARY_ITEM, 0);
    let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
        let item = RawBalance::new_zeroed();
        insert(
            mounted,
            handle,
            ObjectId::ROOT_TREE,
            &balance,
            item.as_bytes(),
        );
    });
    let log = Capture::new();
    let mounted = mount(image).unwrap();
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
    assert!(log.contains("a balance is paused"), "{:?}", log.lines());
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    handle.note_superblock();
    handle.commit().unwrap();
    let image = unmount(mounted);
    drop(log);
    let mounted = mount_with(image, Options::new(Access::ReadOnly)).unwrap();
    let root = mounted.txns.required_tree(ObjectId::ROOT_TREE).unwrap();
    assert!(root.get(&balance, |_| ()).unwrap().is_some());
}

/// Its trees share blocks with those of subvolumes in a way of their own, until C has merged them.
#[test]
fn an_interrupted_relocation_can_only_be_read() {
    let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
        let from = root_item(ObjectId::FS_TREE);
        let (_, bytes) = first_of(mounted, ObjectId::ROOT_TREE, Kind::ROOT_ITEM, from);
        let fs_tree = ObjectId::FS_TREE.get();
        let key = Key::new(ObjectId::TREE_RELOC.get(), Kind::ROOT_ITEM, fs_tree);
        insert(mounted, handle, ObjectId::ROOT_TREE, &key, &bytes);
    });
    let log = Capture::new();
    let mounted = mount_with(image.clone(), Options::new(Access::ReadWrite));
    assert_eq!(mounted.err(), Some(EROFS));
    assert!(log.contains("relocation"), "{:?}", log.lines());
    let reads = [
        (Writes::Never, Access::ReadOnly),
        (Writes::Later, Access::ReadWrite),
    ];
    for (writes, access) in reads {
        let devices = devices(vec![image.clone()]).unwrap();
        let mounted = Layers::mount_opened(devices, writes, Options::new(access), Ok).unwrap();
        assert_eq!(
            mounted.txns.begin_writing(Keep::AsFound),
            Err(EROFS),
            "{writes:?}"
        );
    }
}

/// A subvolume that nobody refers to any more is being deleted; the topmost one cannot be.
#[test]
fn the_topmost_subvolume_without_references() {
    let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
        let root = mounted.txns.required_tree(ObjectId::ROOT_TREE).unwrap();
        let key = root_item(ObjectId::FS_TREE);
        root.update(handle, &key, without_references).unwrap();
    });
    let log = Capture::new();
    let mounted = Mounted::mount(vec![image], Access::ReadWrite);
    assert_eq!(mounted.err(), Some(EUCLEAN));
    assert!(
        log.contains("default subvolume is missing"),
        "{:?}",
        log.lines()
    );
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
}

/// Whoever mounts goes there first, whatever is the default.
#[test]
fn the_topmost_subvolume_is_missing() {
    let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
        let root = mounted.txns.required_tree(ObjectId::ROOT_TREE).unwrap();
        let key = root_item(ObjectId::FS_TREE);
        root.update(handle, &key, without_references).unwrap();
    });
    let mounted = mount_with(image, Options::new(Access::ReadOnly)).unwrap();
    let options = engine::fs::Options::new();
    let fs = FileSystem::open(mounted.txns.clone(), options).unwrap();
    let log = Capture::new();
    assert_eq!(fs.subvolumes().topmost().err(), Some(EUCLEAN));
    let line = "topmost subvolume is missing";
    assert!(log.contains(line), "{:?}", log.lines());
}

/// Its number is the same in all subvolumes. C does not ask the item of the topmost one for it.
#[test]
fn a_topmost_directory_of_another_number() {
    let id = ObjectId::new(256);
    let mounted = Mounted::mount(vec![tools::mkfs(256 * MIB, &[])], Access::ReadWrite).unwrap();
    Files::new(&mounted.txns).snapshot(id, "snapshot").unwrap();
    let root = mounted.txns.required_tree(ObjectId::ROOT_TREE).unwrap();
    let handle = mounted.txns.start(Units::updates(2)).unwrap();
    for id in [id, ObjectId::FS_TREE] {
        let last = Key::new(id.get(), Kind::ROOT_ITEM, u64::MAX);
        let key = root.floor(&last, |key, _| key).unwrap().unwrap();
        let changed = root.update(&handle, &key, |bytes| {
            let mut item = RootItem::parse(bytes).unwrap();
            item.root_dir = ObjectId::new(257);
            item.write_to(bytes).unwrap();
        });
        changed.unwrap();
    }
    drop((handle, root));
    mounted.txns.commit().unwrap();
    let image = mounted.unmount().unwrap().remove(0);
    let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
    mounted.fs.inodes().root(&mounted.subvolume).unwrap();
    let log = Capture::new();
    let found = mounted.fs.subvolumes().get(id);
    assert_eq!(found.err(), Some(EUCLEAN));
    let line = "subvolume's topmost directory has another number";
    assert!(log.contains(line), "{:?}", log.lines());
}

#[test]
fn a_topmost_directory_that_is_missing() {
    let image = rewritten(tools::mkfs(256 * MIB, &[]), |mounted, handle| {
        let tree = mounted.txns.tree(ObjectId::FS_TREE).unwrap();
        let key = Key::new(256, Kind::INODE_ITEM, 0);
        tree.remove(handle, &key).unwrap();
    });
    let mounted = Mounted::mount(vec![image], Access::ReadOnly).unwrap();
    let log = Capture::new();
    let top = mounted.fs.inodes().root(&mounted.subvolume);
    assert_eq!(top.err(), Some(EUCLEAN));
    let line = "topmost directory of a subvolume is missing";
    assert!(log.contains(line), "{:?}", log.lines());
}

/// Its name is still there: an empty directory is seen, as with C.
#[test]
fn a_subvolume_without_references() {
    let id = ObjectId::new(256);
    let mounted = Mounted::mount(vec![tools::mkfs(256 * MIB, &[])], Access::ReadWrite).unwrap();
    let files = Files::new(&mounted.txns);
    files.snapshot(id, "snapshot").unwrap();
    let top = mounted.fs.inodes().root(&mounted.subvolume).unwrap();
    let look = || mounted.fs.names().lookup(&top, b"snapshot").unwrap();
    assert_eq!(look(), Some(Target::Subvolume(id)));
    let root = mounted.txns.required_tree(ObjectId::ROOT_TREE).unwrap();
    let last = Key::new(id.get(), Kind::ROOT_ITEM, u64::MAX);
    let key = root.floor(&last, |key, _| key).unwrap().unwrap();
    let handle = mounted.txns.start(Units::updates(1)).unwrap();
    root.update(&handle, &key, without_references).unwrap();
    drop(handle);
    assert_eq!(look(), Some(Target::EmptyPlace));
}

/// Without a free space tree the extent tree tells what is free, all of it at the mount.
const FREE_BY_EXTENTS: &[&str] = &["-O", "^free-space-tree,^block-group-tree"];

/// More is used of a group than has extents, by a sector.
pub(crate) fn with_wrong_use(flags: BlockGroupFlags) -> Image {
    with_wrong_use_in(FREE_BY_EXTENTS, flags)
}

pub(crate) fn with_wrong_use_in(format: &[&str], flags: BlockGroupFlags) -> Image {
    rewritten(tools::mkfs(256 * MIB, format), |mounted, handle| {
        let (tree, key, bytes) = group_of(mounted, flags);
        let mut item = BlockGroupItem::parse(&key, &bytes).unwrap();
        item.used = item.used.saturating_add(Bytes::new(4096));
        let mut bytes = vec![0; BlockGroupItem::SIZE];
        item.write_to(&mut bytes).unwrap();
        let tree = mounted.txns.required_tree(tree).unwrap();
        tree.replace(handle, &key, &bytes).unwrap();
    })
}

/// Where new data go.
fn place_of_data(mounted: &Layers) -> u64 {
    let reservation = mounted.txns.reserve_data(Bytes::new(4096)).unwrap();
    let space = mounted.txns.space();
    let extent = space
        .allocate_data(&reservation, Bytes::new(4096), Bytes::new(4096))
        .unwrap();
    let at = extent.logical.get();
    space.release_unwritten(extent.logical, Bytes::new(4096));
    at
}

fn is_given_up(image: Image, line: &str) {
    let reads = mount_with(image.clone(), Options::new(Access::ReadOnly));
    reads.unwrap();
    let log = Capture::new();
    let mounted = mount(image).unwrap();
    assert!(log.contains(line), "{:?}", log.lines());
    assert!(log.contains("stays unused"), "{:?}", log.lines());
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
    let (_, group, _) = data_group(&mounted);
    let (start, end) = (group.objectid.get(), group.objectid.get() + group.offset);
    assert!(!(start..end).contains(&place_of_data(&mounted)));
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    handle.note_superblock();
    handle.commit().unwrap();
    unmount(mounted);
}

/// C goes on with either.
#[test]
fn a_group_of_which_more_is_used_than_has_extents() {
    let image = with_wrong_use(BlockGroupFlags::DATA);
    is_given_up(image, "free ranges are not what is unused");
}

/// Nothing but reading is possible: no tree block has another place.
fn is_only_read(image: Image, line: &str) {
    let reads = mount_with(image.clone(), Options::new(Access::ReadOnly));
    reads.unwrap();
    let log = Capture::new();
    let mounted = mount(image.clone());
    assert_eq!(mounted.err(), Some(EUCLEAN));
    assert!(log.contains(line), "{:?}", log.lines());
    let words = "the volume can only be read";
    assert!(log.contains(words), "{:?}", log.lines());
    let devices = devices(vec![image]).unwrap();
    let options = Options::new(Access::ReadWrite);
    let mounted = Layers::mount_opened(devices, Writes::Later, options, Ok).unwrap();
    assert_eq!(mounted.txns.begin_writing(Keep::AsFound), Err(EROFS));
}

#[test]
fn the_only_group_of_system_chunks_with_a_wrong_use() {
    let image = with_wrong_use(BlockGroupFlags::SYSTEM);
    is_only_read(image, "free ranges are not what is unused");
}

/// It takes the group behind along, which is that of system chunks.
#[test]
fn an_extent_that_goes_beyond_its_group() {
    let image = rewritten(
        tools::mkfs(256 * MIB, FREE_BY_EXTENTS),
        |mounted, handle| {
            let (tree, group, _) = data_group(mounted);
            let end = group.objectid.get() + group.offset;
            let (_, system, _) = group_of(mounted, BlockGroupFlags::SYSTEM);
            assert_eq!(system.objectid.get(), end);
            let key = Key::new(end - 4096, Kind::EXTENT_ITEM, 8192);
            // One reference, made by the first transaction, to data.
            let item = [1u64, 1, 1].map(u64::to_le_bytes).concat();
            insert(mounted, handle, tree, &key, &item);
        },
    );
    let line = "extent overlaps another, or lies in two block groups";
    is_only_read(image, line);
}

fn without_references(bytes: &mut [u8]) {
    let mut item = RootItem::parse(bytes).unwrap();
    item.refs = 0;
    item.write_to(bytes).unwrap();
}
