// SPDX-License-Identifier: GPL-2.0
//! Free space caches as C leaves them, and as C believes them.

use engine::btree::{Allocate, DataRef, Holder, Tree};
use engine::disk::edit::leaf;
use engine::disk::raw::RawSuperblock;
use engine::disk::{
    write_cache, Bytes, CacheBounds, CacheHeader, CachePages, CompatRo, Compression, ExtentState,
    FileExtent, Generation, InodeFlags, InodeItem, Key, Kind, Leaf, Logical, ObjectId, Physical,
    RegularExtent, SUPERBLOCK_PLACES,
};
use engine::txn::{Access, Handle, Keep, Options, Units};
use harness::checksums::HostChecksums;
use harness::device::Image;
use harness::tools;
use harness::walker::{walk, Walked};
use std::collections::BTreeMap;
use std::vec::Vec;

use crate::mounted::{mount_with, unmount};

/// The options of a mount that is to have no caches.
pub(crate) fn dropping() -> Options {
    let mut options = Options::new(Access::ReadWrite);
    options.keep = Keep::Nowhere;
    options
}

/// The inode of the first cache.
pub(crate) const FIRST_INODE: u64 = 1000;

/// A block group, and what of it has no extent item and is no superblock copy.
pub(crate) struct Group {
    pub start: u64,
    pub len: u64,
    pub free: Vec<(u64, u64)>,
}

impl Group {
    /// The first free piece of a range.
    fn first_in(&self) -> impl Fn(u64, u64) -> Option<(u64, u64)> + '_ {
        |from, to| {
            let cut = |&(start, end): &(u64, u64)| (start.max(from), end.min(to));
            self.free.iter().map(cut).find(|(start, end)| start < end)
        }
    }
}

/// What the extent tree says of each block group.
pub(crate) fn groups(walked: &Walked) -> Vec<Group> {
    let node_size = u64::from(walked.superblock.node_size);
    let tree = ObjectId::EXTENT_TREE;
    let extents = walked.items(tree, Kind::EXTENT_ITEM).into_iter();
    let mut taken: Vec<(u64, u64)> = extents.map(|(k, _)| (k.objectid.get(), k.offset)).collect();
    let blocks = walked.items(tree, Kind::METADATA_ITEM).into_iter();
    taken.extend(blocks.map(|(key, _)| (key.objectid.get(), node_size)));
    let mut groups = Vec::new();
    for (key, _) in walked.items(tree, Kind::BLOCK_GROUP_ITEM) {
        let (start, len) = (key.objectid.get(), key.offset);
        let place = walked.chunks[&start].1;
        let mut inside: Vec<_> = taken
            .iter()
            .copied()
            .filter(|(at, _)| (start..start + len).contains(at))
            .collect();
        let copies = SUPERBLOCK_PLACES.map(Physical::get).into_iter();
        let copies = copies.filter(|copy| (place..place + len).contains(copy));
        inside.extend(copies.map(|copy| (start + (copy - place), 64 << 10)));
        inside.push((start + len, 0));
        inside.sort_unstable();
        let (mut free, mut end) = (Vec::new(), start);
        for (at, len) in inside {
            if end < at {
                free.push((end, at));
            }
            end = end.max(at + len);
        }
        groups.push(Group { start, len, free });
    }
    groups
}

/// The items of a cache's file of 64 KiB.
pub(crate) struct CacheItems {
    pub header: CacheHeader,
    pub inode: InodeItem,
    pub extent: RegularExtent,
}

impl CacheItems {
    pub(crate) fn new(inode: u64, disk_addr: Logical) -> Self {
        Self {
            header: CacheHeader {
                inode: ObjectId::new(inode),
                generation: Generation::new(0),
                entries: 0,
                bitmaps: 0,
            },
            inode: InodeItem {
                nlink: 1,
                mode: 0o100600,
                nbytes: Bytes::new(65536),
                size: Bytes::new(65536),
                flags: InodeFlags::NODATACOW.with(InodeFlags::NODATASUM),
                ..InodeItem::default()
            },
            extent: RegularExtent {
                generation: Generation::new(1),
                state: ExtentState::Written,
                compression: Compression::None,
                ram_bytes: Bytes::new(65536),
                disk_addr,
                disk_len: Bytes::new(65536),
                offset: Bytes::ZERO,
                len: Bytes::new(65536),
            },
        }
    }

    fn key(&self, kind: Kind) -> Key {
        Key::new(self.header.inode.get(), kind, 0)
    }

    /// Inserts the header of a group.
    pub(crate) fn insert_header(&self, root: &Tree, txn: &Handle, group: u64) {
        let mut bytes = [0; CacheHeader::SIZE];
        self.header.write_to(&mut bytes).unwrap();
        let key = CacheHeader::key(Logical::new(group));
        root.insert(txn, &key, &bytes).unwrap();
    }

    /// Inserts the file.
    pub(crate) fn insert_file(&self, root: &Tree, txn: &Handle) {
        let (mut inode, mut extent) = ([0; InodeItem::SIZE], [0; RegularExtent::SIZE]);
        self.inode.write_to(&mut inode).unwrap();
        self.extent.write_to(&mut extent).unwrap();
        root.insert(txn, &self.key(Kind::INODE_ITEM), &inode)
            .unwrap();
        root.insert(txn, &self.key(Kind::EXTENT_DATA), &extent)
            .unwrap();
    }
}

fn reference(inode: ObjectId, addr: Logical) -> DataRef {
    DataRef {
        addr,
        len: Bytes::new(65536),
        holder: Holder::Tree(ObjectId::ROOT_TREE),
        root: ObjectId::ROOT_TREE,
        inode,
        offset: 0,
    }
}

/// The volume with a right cache of each of its block groups, and what `change` makes of the root tree before.
pub(crate) fn with_caches(
    image: Image,
    change: impl FnOnce(&Tree, &Handle, &[CacheItems]),
) -> Image {
    with_strays(image, 0, change)
}

/// An image with free space caches, and with so many of no group.
pub(crate) fn with_strays(
    image: Image,
    strays: u64,
    change: impl FnOnce(&Tree, &Handle, &[CacheItems]),
) -> Image {
    let groups = groups(&walk(&image)).into_iter().map(|group| group.start);
    let starts: Vec<u64> = groups.chain((0..strays).map(|n| n * 4096)).collect();
    // Beside a tree there are none anyway.
    let features = walk(&image).superblock.compat_ro;
    let options = match features.contains(CompatRo::FREE_SPACE_TREE) {
        true => Options::new(Access::ReadWrite),
        false => dropping(),
    };
    let mounted = mount_with(image, options).unwrap();
    let bytes = starts.len() as u64 * 65536;
    let reservation = mounted.txns.reserve_data(Bytes::new(bytes)).unwrap();
    let handle = mounted
        .txns
        .start(Units::inserts(200 + 4 * strays as u32))
        .unwrap();
    let root = mounted.txns.required_tree(ObjectId::ROOT_TREE).unwrap();
    let mut all = Vec::new();
    for (number, &start) in starts.iter().enumerate() {
        let space = mounted.txns.space();
        let extent = space
            .allocate_data(&reservation, Bytes::new(65536), Bytes::new(65536))
            .unwrap();
        let items = CacheItems::new(FIRST_INODE + number as u64, extent.logical);
        let data = reference(items.header.inode, extent.logical);
        handle.add_data(&data).unwrap();
        items.insert_file(&root, &handle);
        items.insert_header(&root, &handle, start);
        all.push(items);
    }
    change(&root, &handle, &all);
    drop((handle, root, reservation));
    let mut image = unmount(mounted);
    write_pages(&mut image);
    image
}

/// Writes the pages of all caches, and the items that say so.
fn write_pages(image: &mut Image) {
    let walked = walk(image);
    let generation = walked.superblock.generation;
    let files = files(&walked);
    let mut items: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    for group in groups(&walked) {
        let Some((header, mut inode, extent)) = files.get(&group.start).copied() else {
            continue;
        };
        let bounds = CacheBounds::new(Logical::new(group.start), group.len, 4096).unwrap();
        let mut pages = vec![0; bounds.file_len() as usize];
        let by = (header.inode, generation);
        let written = write_cache(bounds, by, &group.first_in(), &mut pages, &HostChecksums);
        inode.generation = generation;
        let mut bytes = vec![0; CacheHeader::SIZE];
        written.unwrap().write_to(&mut bytes).unwrap();
        items.insert(CacheHeader::key(Logical::new(group.start)), bytes);
        let mut bytes = vec![0; InodeItem::SIZE];
        inode.write_to(&mut bytes).unwrap();
        items.insert(Key::new(header.inode.get(), Kind::INODE_ITEM, 0), bytes);
        image.pages.write(walked.place(extent.disk_addr), &pages);
    }
    change_items(image, |key, bytes| {
        if let Some(item) = items.get(key) {
            bytes.copy_from_slice(item);
        }
    });
    tools::edit_superblock(image, |raw| raw.cache_generation.set(generation.get()));
}

/// Gives each item of the root tree to `change`.
pub(crate) fn change_items(image: &mut Image, mut change: impl FnMut(&Key, &mut [u8])) {
    let walked = walk(image);
    let blocks = walked.blocks.iter();
    for block in blocks.filter(|b| b.owner == ObjectId::ROOT_TREE && b.level == 0) {
        let mut bytes = block.bytes.clone();
        for slot in 0..Leaf::new(&block.bytes).nritems() {
            let key = Leaf::new(&block.bytes).key(slot).unwrap();
            change(&key, leaf::item_mut(&mut bytes, slot).unwrap());
        }
        walked.write(image, block.addr, &mut bytes);
    }
}

/// Has the cache of a group say that other ranges are free, as if that were so.
pub(crate) fn tell(image: &mut Image, group: &Group) {
    let walked = walk(image);
    let (header, _, extent) = files(&walked)[&group.start];
    let bounds = CacheBounds::new(Logical::new(group.start), group.len, 4096).unwrap();
    let mut pages = vec![0; bounds.file_len() as usize];
    let by = (header.inode, header.generation);
    let told = write_cache(bounds, by, &group.first_in(), &mut pages, &HostChecksums).unwrap();
    image.pages.write(walked.place(extent.disk_addr), &pages);
    change_items(image, |key, bytes| {
        if *key == CacheHeader::key(Logical::new(group.start)) {
            told.write_to(bytes).unwrap();
        }
    });
}

/// The headers in the root tree, by their keys.
pub(crate) fn headers(walked: &Walked) -> Vec<Key> {
    let items = walked.items(ObjectId::ROOT_TREE, Kind::CACHE_HEADER);
    let keys = items.into_iter().map(|(key, _)| key);
    keys.filter(|key| key.objectid == ObjectId::FREE_SPACE)
        .collect()
}

/// The addresses of all extents of caches.
pub(crate) fn extents_of_caches(walked: &Walked) -> Vec<u64> {
    let files = files(walked).into_values();
    files.map(|(_, _, extent)| extent.disk_addr.get()).collect()
}

/// By the address of the group: what leads to pages that have data.
pub(crate) fn files(walked: &Walked) -> BTreeMap<u64, (CacheHeader, InodeItem, RegularExtent)> {
    let root = ObjectId::ROOT_TREE;
    let inodes = walked.items(root, Kind::INODE_ITEM).into_iter();
    let inodes: BTreeMap<_, _> = inodes.map(|(key, item)| (key.objectid, item)).collect();
    let pieces = walked.items(root, Kind::EXTENT_DATA).into_iter();
    let pieces: BTreeMap<_, _> = pieces.map(|(key, item)| (key.objectid, item)).collect();
    let mut files = BTreeMap::new();
    for (key, item) in walked.items(root, Kind::CACHE_HEADER) {
        let Ok(header) = CacheHeader::parse(&item) else {
            continue;
        };
        let (Some(inode), Some(piece)) = (inodes.get(&header.inode), pieces.get(&header.inode))
        else {
            continue;
        };
        let Ok(FileExtent::Regular(extent)) = FileExtent::parse(piece) else {
            continue;
        };
        files.insert(
            key.offset,
            (header, InodeItem::parse(inode).unwrap(), extent),
        );
    }
    files
}

/// Two mounts by C: the first takes caches that are behind for void, but touches none of them, and says in the superblock
/// that they are of its own generation.
pub(crate) fn as_c_catches_up(image: &mut Image) {
    let generation = walk(image).superblock.generation.get();
    tools::edit_superblock(image, |raw: &mut RawSuperblock| {
        if raw.cache_generation.get() != 0 {
            raw.cache_generation.set(generation);
        }
    });
}

/// Which block groups have a cache that C believes, and whether all that it says is free is so.
pub(crate) fn believed(image: &Image) -> Vec<(u64, bool)> {
    let walked = walk(image);
    if walked.superblock.cache_generation != walked.superblock.generation.get() {
        return Vec::new();
    }
    let files = files(&walked);
    let mut believed = Vec::new();
    for group in groups(&walked) {
        let Some((header, inode, extent)) = files.get(&group.start) else {
            continue;
        };
        if inode.generation != header.generation || header.generation.get() == 0 {
            continue;
        }
        let bounds = CacheBounds::new(Logical::new(group.start), group.len, 4096).unwrap();
        let mut pages = vec![0; bounds.file_len() as usize];
        image.pages.read(walked.place(extent.disk_addr), &mut pages);
        let Ok(file) = CachePages::check(bounds, header, &pages, &HostChecksums) else {
            continue;
        };
        let in_all: u64 = group.free.iter().map(|(start, end)| end - start).sum();
        if file.free() != in_all {
            continue;
        }
        let is_free = |start, end| group.free.iter().any(|&(s, e)| s <= start && end <= e);
        let mut is_right = true;
        let told = file.each(|start, end| {
            is_right &= is_free(start, end);
            Ok::<(), ()>(())
        });
        told.unwrap();
        believed.push((group.start, is_right));
    }
    believed
}
