// SPDX-License-Identifier: GPL-2.0
//! Each rule of the gate, by a leaf or node that breaks it and nothing else.

use engine::disk::raw::*;
use engine::disk::{
    check_block, check_block_to_write, extref_hash, name_hash, seal_block, BlockContext,
    ChecksumKind, Child, CompatRo, Format, Generation, Incompat, Key, Kind, Logical, ObjectId,
    Uuid, HEADER_SIZE,
};
use harness::checksums::HostChecksums;
use zerocopy::{FromZeros, IntoBytes};

const NODE: u32 = 16384;
const ADDR: u64 = 1 << 30;
const FS: u64 = 5;
const EXTENT: u64 = 2;
const CHUNK: u64 = 3;
const DEV: u64 = 4;
const ROOT: u64 = 1;
const CSUM: u64 = 7;
const FREE: u64 = 10;

type Item = (Key, Vec<u8>);

fn format() -> Format {
    Format {
        node_size: NODE,
        sector_size: 4096,
        checksum: ChecksumKind::Crc32c,
        metadata_uuid: Uuid([9; 16]),
        incompat: Incompat::SKINNY_METADATA.with(Incompat::NO_HOLES),
        compat_ro: CompatRo::FREE_SPACE_TREE,
    }
}

fn header(owner: u64, level: u8, nritems: usize) -> Vec<u8> {
    let mut block = vec![0; NODE as usize];
    let (header, _) = RawHeader::split_mut(&mut block).unwrap();
    header.fsid = Uuid([9; 16]);
    header.addr.set(ADDR);
    header.flags.set(HEADER_BACKREF_REVISION);
    header.generation.set(10);
    header.owner.set(owner);
    header.nritems.set(nritems as u32);
    header.level = level;
    block
}

fn leaf(owner: u64, items: &[Item]) -> Vec<u8> {
    let mut block = header(owner, 0, items.len());
    let mut end = block.len() - HEADER_SIZE;
    let (_, area) = RawHeader::split_mut(&mut block).unwrap();
    for (slot, (key, data)) in items.iter().enumerate() {
        end -= data.len();
        area[end..end + data.len()].copy_from_slice(data);
        let (raw, _) = RawItem::slice_mut(area, items.len()).unwrap();
        raw[slot].key = (*key).into();
        raw[slot].offset.set(end as u32);
        raw[slot].size.set(data.len() as u32);
    }
    block
}

fn node(children: &[Child]) -> Vec<u8> {
    let mut block = header(FS, 1, children.len());
    let (_, area) = RawHeader::split_mut(&mut block).unwrap();
    for (raw, child) in RawKeyPtr::slice_mut(area, children.len())
        .unwrap()
        .iter_mut()
        .zip(children)
    {
        *raw = (*child).into();
    }
    block
}

fn judge(mut block: Vec<u8>, format: &Format) -> Result<(), &'static str> {
    let context = BlockContext {
        format,
        checksums: &HostChecksums,
        addr: Logical::new(ADDR),
        owner: None,
        level: None,
        generation: None,
        first_key: None,
        newest: Generation::new(11),
    };
    let write = check_block_to_write(&block, &context);
    seal_block(&mut block, format.checksum, &HostChecksums);
    let read = check_block(&block, &context).map_err(|corrupt| corrupt.what);
    // What may be written can be read, but for rules between items, which are for reading alone.
    assert!(read.is_err() || write.is_ok());
    read
}

#[track_caller]
fn takes(owner: u64, items: &[Item]) {
    assert_eq!(judge(leaf(owner, items), &format()), Ok(()));
}

#[track_caller]
fn refuses(what: &str, owner: u64, items: &[Item]) {
    assert_eq!(judge(leaf(owner, items), &format()), Err(what));
}

/// The item with `bytes` at `at`.
fn with(item: &Item, at: usize, bytes: &[u8]) -> Item {
    let (key, mut data) = item.clone();
    data[at..at + bytes.len()].copy_from_slice(bytes);
    (key, data)
}

/// The item with another length: cut, or longer by zeros.
fn sized(item: &Item, len: usize) -> Item {
    let (key, mut data) = item.clone();
    data.resize(len, 0);
    (key, data)
}

/// The item under another key.
fn keyed(item: &Item, key: Key) -> Item {
    (key, item.1.clone())
}

fn u64s(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn inode(number: u64) -> Item {
    let mut raw = RawInodeItem::new_zeroed();
    raw.generation.set(5);
    raw.nlink.set(1);
    raw.mode.set(0o100644);
    (
        Key::new(number, Kind::INODE_ITEM, 0),
        raw.as_bytes().to_vec(),
    )
}

#[test]
fn inodes() {
    let good = inode(257);
    takes(FS, &[good.clone()]);
    refuses("inode item has a wrong size", FS, &[sized(&good, 159)]);
    refuses("inode's number is out of range", FS, &[inode(255)]);
    let key = Key::new(257, Kind::INODE_ITEM, 1);
    refuses("inode's key has an offset", FS, &[keyed(&good, key)]);
    refuses("generation is in the future", FS, &[with(&good, 0, &[12])]);
    refuses("generation is in the future", FS, &[with(&good, 8, &[12])]);
    refuses(
        "inode size is out of range",
        FS,
        &[with(&good, 23, &[0x80])],
    );
    refuses("inode mode has unknown bits", FS, &[with(&good, 54, &[1])]);
    refuses("inode mode names no type", FS, &[with(&good, 52, &[0, 0])]);
    refuses(
        "inode mode names no type",
        FS,
        &[with(&good, 52, &[0, 0xf0])],
    );
    let directory = with(&good, 52, &0o40755u32.to_le_bytes());
    takes(FS, &[directory.clone()]);
    refuses(
        "directory has several names",
        FS,
        &[with(&directory, 40, &[2])],
    );
    refuses("inode has unknown flags", FS, &[with(&good, 65, &[0x10])]);
    // In the upper half flags are for writers.
    let later = with(&good, 68, &[2]);
    refuses("inode has unknown flags", FS, &[later.clone()]);
    let read_only = Format {
        compat_ro: CompatRo::VERITY,
        ..format()
    };
    assert_eq!(judge(leaf(FS, &[later]), &read_only), Ok(()));
}

fn inode_ref(inode: u64, parent: u64, name: &[u8]) -> Item {
    let head = RawInodeRef {
        index: 2.into(),
        name_len: (name.len() as u16).into(),
    };
    (
        Key::new(inode, Kind::INODE_REF, parent),
        [head.as_bytes(), name].concat(),
    )
}

#[test]
fn names_of_inodes() {
    let good = inode_ref(257, 256, b"name");
    takes(FS, &[inode(257), good.clone()]);
    refuses(
        "item of an inode without it",
        FS,
        &[inode(257), inode_ref(258, 256, b"name")],
    );
    refuses(
        "inode ref's directory is none",
        FS,
        &[inode_ref(257, 5, b"name")],
    );
    refuses("inode ref has no name", FS, &[sized(&good, 0)]);
    refuses("inode ref goes beyond its item", FS, &[sized(&good, 23)]);
    refuses("name is empty", FS, &[with(&good, 8, &[0])]);
    refuses("name is too long", FS, &[with(&good, 9, &[1])]);
    refuses("name goes beyond its item", FS, &[with(&good, 8, &[5])]);

    let extref = |parent: u64| {
        let head = RawInodeExtref {
            parent: parent.into(),
            index: 9.into(),
            name_len: 4.into(),
        };
        let key = Key::new(257, Kind::INODE_EXTREF, extref_hash(parent, b"name"));
        (key, [head.as_bytes(), b"name"].concat())
    };
    takes(FS, &[extref(256)]);
    refuses("inode extref has no name", FS, &[sized(&extref(256), 0)]);
    refuses(
        "inode extref goes beyond its item",
        FS,
        &[sized(&extref(256), 17)],
    );
    refuses("inode extref's directory is none", FS, &[extref(6)]);
    refuses(
        "key is not the name's hash",
        FS,
        &[with(&extref(256), 18, b"m")],
    );
}

fn entry(kind: Kind, file_type: u8, location: Key, name: &[u8], value: &[u8]) -> Item {
    let raw = RawDirItem {
        location: location.into(),
        transid: 5.into(),
        data_len: (value.len() as u16).into(),
        name_len: (name.len() as u16).into(),
        kind: file_type,
    };
    let offset = if kind == Kind::DIR_INDEX {
        2
    } else {
        name_hash(name)
    };
    (
        Key::new(256, kind, offset),
        [raw.as_bytes(), name, value].concat(),
    )
}

#[test]
fn directory_entries() {
    let file = Key::new(257, Kind::INODE_ITEM, 0);
    let none = Key::new(0, Kind::new(0), 0);
    let root = |id| Key::new(id, Kind::ROOT_ITEM, u64::MAX);
    let item = |file_type, location| entry(Kind::DIR_ITEM, file_type, location, b"name", b"");
    let good = item(1, file);
    let attribute = entry(Kind::XATTR_ITEM, 8, none, b"user.a", b"value");
    let index = entry(Kind::DIR_INDEX, 1, file, b"name", b"");
    takes(FS, &[attribute.clone(), good.clone(), index.clone()]);
    takes(FS, &[item(2, root(256))]);
    // Names with one hash stand in one item.
    let twice = (good.0, [&good.1[..], &good.1[..]].concat());
    takes(FS, &[twice]);
    refuses("item has no entry", FS, &[sized(&good, 0)]);
    refuses("entry goes beyond its item", FS, &[sized(&good, 29)]);
    refuses(
        "name is empty",
        FS,
        &[entry(Kind::DIR_INDEX, 1, file, b"", b"")],
    );
    refuses(
        "value goes beyond its item",
        FS,
        &[with(&attribute, 25, &[6])],
    );
    refuses("file type is unknown", FS, &[item(0, file)]);
    refuses("file type is unknown", FS, &[item(0x81, file)]);
    refuses("entry names no subvolume", FS, &[item(2, root(9))]);
    refuses(
        "entry names no inode",
        FS,
        &[item(1, Key::new(255, Kind::INODE_ITEM, 0))],
    );
    refuses(
        "entry's inode key has an offset",
        FS,
        &[item(1, Key::new(257, Kind::INODE_ITEM, 1))],
    );
    let neither = "entry names neither inode nor root";
    refuses(neither, FS, &[item(1, Key::new(257, Kind::new(0), 0))]);
    refuses(
        "entry's type does not fit what it names",
        FS,
        &[item(1, none)],
    );
    refuses(
        "entry's type does not fit what it names",
        FS,
        &[item(8, file)],
    );
    refuses(
        "subvolume's entry is no directory",
        FS,
        &[item(1, root(256))],
    );
    let valued = entry(Kind::DIR_ITEM, 1, file, b"name", b"value");
    refuses("directory entry has a value", FS, &[valued]);
    let slash = entry(Kind::DIR_ITEM, 1, file, b"na/me", b"");
    refuses("name is not one that a file can have", FS, &[slash]);
    let wrong = entry(Kind::DIR_ITEM, 8, none, b"user.a", b"");
    refuses("entry's type does not fit its key", FS, &[wrong]);
    refuses("key is not the name's hash", FS, &[with(&good, 30, b"m")]);
    refuses("generation is in the future", FS, &[with(&good, 17, &[12])]);
    let twice = (index.0, [&index.1[..], &index.1[..]].concat());
    refuses("index has several entries", FS, &[twice]);
    refuses(
        "item of an inode without it",
        FS,
        &[
            inode(255 + 1),
            keyed(&index, Key::new(300, Kind::DIR_INDEX, 2)),
        ],
    );
}

fn file_extent(offset: u64, kind: u8, addr: u64, disk_len: u64, at: u64, len: u64) -> Item {
    let mut raw = RawFileExtent::new_zeroed();
    raw.head.generation.set(5);
    raw.head.ram_bytes.set(disk_len);
    raw.head.kind = kind;
    raw.tail.disk_addr.set(addr);
    raw.tail.disk_len.set(disk_len);
    raw.tail.offset.set(at);
    raw.tail.len.set(len);
    (
        Key::new(257, Kind::EXTENT_DATA, offset),
        raw.as_bytes().to_vec(),
    )
}

#[test]
fn pieces_of_files() {
    let good = file_extent(4096, 1, 1 << 20, 8192, 4096, 4096);
    takes(FS, &[inode(257), good.clone()]);
    takes(
        FS,
        &[
            file_extent(0, 2, 1 << 20, 8192, 0, 8192),
            file_extent(8192, 1, 0, 0, 0, 1 << 40),
        ],
    );
    refuses("file extent is too short", FS, &[sized(&good, 20)]);
    refuses("file extent has a wrong size", FS, &[sized(&good, 52)]);
    refuses("file extent is encrypted", FS, &[with(&good, 17, &[1])]);
    refuses(
        "file extent has an unknown encoding",
        FS,
        &[with(&good, 18, &[1])],
    );
    refuses(
        "file extent's type is unknown",
        FS,
        &[with(&good, 20, &[3])],
    );
    refuses("compression is unknown", FS, &[with(&good, 16, &[4])]);
    refuses("generation is in the future", FS, &[with(&good, 0, &[12])]);
    let at = |offset| keyed(&good, Key::new(257, Kind::EXTENT_DATA, offset));
    refuses("file extent's position is not aligned", FS, &[at(100)]);
    refuses("file extent goes beyond all files", FS, &[at(1 << 63)]);
    refuses(
        "file extent is empty",
        FS,
        &[file_extent(0, 1, 1 << 20, 8192, 0, 0)],
    );
    refuses(
        "extent's address is not aligned",
        FS,
        &[file_extent(0, 1, 512, 8192, 0, 4096)],
    );
    refuses(
        "extent's length is not aligned",
        FS,
        &[with(&good, 29, &[1])],
    );
    refuses(
        "position in the extent is not aligned",
        FS,
        &[file_extent(0, 1, 1 << 20, 8192, 512, 4096)],
    );
    refuses(
        "file extent's length is not aligned",
        FS,
        &[file_extent(0, 1, 1 << 20, 8192, 0, 512)],
    );
    refuses(
        "file extent's ram_bytes are not aligned",
        FS,
        &[with(&good, 8, &[1])],
    );
    refuses(
        "piece goes beyond its extent",
        FS,
        &[file_extent(0, 1, 1 << 20, 8192, 4096, 8192)],
    );
    refuses(
        "piece goes beyond its extent",
        FS,
        &[file_extent(
            0,
            1,
            1 << 20,
            8192,
            0u64.wrapping_sub(4096),
            8192,
        )],
    );
    refuses(
        "extent goes beyond all addresses",
        FS,
        &[file_extent(0, 1, 0u64.wrapping_sub(4096), 8192, 0, 4096)],
    );
    refuses(
        "file extent overlaps the one before",
        FS,
        &[file_extent(0, 1, 1 << 20, 8192, 0, 8192), good.clone()],
    );
    let compressed = with(&good, 16, &[3]);
    takes(FS, &[compressed.clone()]);
    refuses(
        "compressed extent is too long",
        FS,
        &[with(&compressed, 8, &(1u64 << 18).to_le_bytes())],
    );
    let hole = with(&file_extent(0, 1, 0, 0, 0, 4096), 16, &[1]);
    refuses("nothing is there that could be compressed", FS, &[hole]);

    let inline = |len: u64, data: &[u8]| {
        let head = [&u64s(&[5, len])[..], &[0; 5]].concat();
        (
            Key::new(257, Kind::EXTENT_DATA, 0),
            [&head[..], data].concat(),
        )
    };
    takes(FS, &[inline(3, b"abc"), good.clone()]);
    refuses(
        "inline extent's length is not its data's",
        FS,
        &[inline(4, b"abc")],
    );
    let moved = keyed(&inline(3, b"abc"), Key::new(257, Kind::EXTENT_DATA, 4096));
    refuses("inline extent is not at the file's start", FS, &[moved]);
    refuses(
        "file extent overlaps the one before",
        FS,
        &[inline(4097, &[1; 4097]), good],
    );
    refuses(
        "inline extent is too long",
        FS,
        &[with(&inline(1 << 20, b"abc"), 16, &[2])],
    );
}

#[test]
fn checksums_of_data() {
    let good = |addr, count: usize| {
        (
            Key::new(u64::MAX - 9, Kind::EXTENT_CSUM, addr),
            vec![1; count * 4],
        )
    };
    takes(CSUM, &[good(0, 2), good(8192, 1)]);
    let key = Key::new(1, Kind::EXTENT_CSUM, 0);
    refuses(
        "checksums' key has another objectid",
        CSUM,
        &[keyed(&good(0, 1), key)],
    );
    refuses("checksums' address is not aligned", CSUM, &[good(100, 1)]);
    refuses(
        "item is not a number of checksums",
        CSUM,
        &[sized(&good(0, 1), 5)],
    );
    refuses(
        "item is not a number of checksums",
        CSUM,
        &[sized(&good(0, 1), 0)],
    );
    refuses(
        "checksums overlap those before",
        CSUM,
        &[good(0, 3), good(8192, 1)],
    );
    refuses(
        "checksums go beyond all addresses",
        CSUM,
        &[good(0u64.wrapping_sub(4096), 2)],
    );
}

#[test]
fn smaller_items_of_files() {
    let orphan = (Key::new(u64::MAX - 4, Kind::ORPHAN_ITEM, 257), vec![]);
    takes(FS, &[orphan.clone()]);
    refuses("orphan item has bytes", FS, &[sized(&orphan, 1)]);
    let key = Key::new(257, Kind::ORPHAN_ITEM, 257);
    refuses(
        "orphan's key has another objectid",
        FS,
        &[keyed(&orphan, key)],
    );
    let log = |end| (Key::new(257, Kind::DIR_LOG_INDEX, 5), u64s(&[end]));
    takes(FS, &[log(5)]);
    refuses("directory log range ends early", FS, &[log(4)]);
    refuses(
        "directory log item has a wrong size",
        FS,
        &[sized(&log(5), 9)],
    );
    let verity = (Key::new(257, Kind::VERITY_DESC_ITEM, 0), vec![0; 25]);
    takes(FS, &[verity.clone()]);
    refuses("verity item has a wrong size", FS, &[sized(&verity, 24)]);
    refuses(
        "verity descriptor is encrypted",
        FS,
        &[with(&verity, 24, &[1])],
    );
    refuses(
        "item needs a feature that is not set",
        FS,
        &[(Key::new(0, Kind::RAID_STRIPE, 4096), vec![])],
    );
    // A kind from the future, of a feature that only hinders writers.
    takes(FS, &[(Key::new(257, Kind::new(99), 0), vec![1, 2, 3])]);
}

fn root(id: u64) -> Item {
    let mut raw = RawRootItem::new_zeroed();
    raw.generation.set(5);
    raw.generation_v2.set(5);
    raw.addr.set(1 << 20);
    raw.refs.set(1);
    (Key::new(id, Kind::ROOT_ITEM, 0), raw.as_bytes().to_vec())
}

#[test]
fn roots() {
    let good = root(256);
    takes(ROOT, &[good.clone()]);
    takes(ROOT, &[sized(&good, OLD_ROOT_ITEM_SIZE)]);
    refuses("root item has a wrong size", ROOT, &[sized(&good, 240)]);
    refuses(
        "root has no id",
        ROOT,
        &[keyed(&good, Key::new(0, Kind::ROOT_ITEM, 1))],
    );
    let reloc = Key::new(u64::MAX - 7, Kind::ROOT_ITEM, 7);
    refuses(
        "relocation tree is of no subvolume",
        ROOT,
        &[keyed(&good, reloc)],
    );
    let offset = |member: &dyn Fn(&RawRootItem) -> usize| {
        let raw = RawRootItem::new_zeroed();
        member(&raw) - &raw as *const _ as usize
    };
    let level = offset(&|raw| &raw.level as *const _ as usize);
    let drop_level = offset(&|raw| &raw.drop_level as *const _ as usize);
    let progress = offset(&|raw| &raw.drop_progress as *const _ as usize);
    let flags = offset(&|raw| &raw.flags as *const _ as usize);
    let addr = offset(&|raw| &raw.addr as *const _ as usize);
    let last_snapshot = offset(&|raw| &raw.last_snapshot as *const _ as usize);
    refuses(
        "root's level is too high",
        ROOT,
        &[with(&good, level, &[8])],
    );
    refuses(
        "root's drop level is too high",
        ROOT,
        &[with(&good, drop_level, &[8])],
    );
    refuses(
        "root is dropped at level 0",
        ROOT,
        &[with(&good, progress, &[1])],
    );
    refuses("root has unknown flags", ROOT, &[with(&good, flags, &[2])]);
    refuses(
        "root's address is not aligned",
        ROOT,
        &[with(&good, addr, &[1])],
    );
    refuses(
        "generation is in the future",
        ROOT,
        &[with(&good, 160, &[12])],
    );
    refuses(
        "generation is in the future",
        ROOT,
        &[with(&good, last_snapshot, &[12])],
    );
    refuses(
        "generation is in the future",
        ROOT,
        &[with(&good, OLD_ROOT_ITEM_SIZE, &[12])],
    );

    let head = RawRootRef {
        dir: 256.into(),
        sequence: 2.into(),
        name_len: 3.into(),
    };
    let reference = (
        Key::new(5, Kind::ROOT_REF, 256),
        [head.as_bytes(), b"sub"].concat(),
    );
    takes(ROOT, &[reference.clone()]);
    refuses("root ref is too short", ROOT, &[sized(&reference, 17)]);
    refuses(
        "root ref has bytes behind its name",
        ROOT,
        &[sized(&reference, 22)],
    );
    refuses(
        "root ref's directory is none",
        ROOT,
        &[with(&reference, 0, &[0xff; 8])],
    );
    let key = Key::new(5, Kind::ROOT_REF, 6);
    refuses(
        "root ref names no subvolume",
        ROOT,
        &[keyed(&reference, key)],
    );
}

fn extent(key: Key, refs: u64, flags: u64, inline: &[u8]) -> Item {
    (key, [&u64s(&[refs, 5, flags])[..], inline].concat())
}

fn tree_ref(kind: u8, offset: u64) -> Vec<u8> {
    [&[kind][..], &u64s(&[offset])].concat()
}

fn data_ref(root: u64, inode: u64, offset: u64, count: u32) -> Vec<u8> {
    [
        &[178][..],
        &u64s(&[root, inode, offset]),
        &count.to_le_bytes(),
    ]
    .concat()
}

fn shared_ref(parent: u64, count: u32) -> Vec<u8> {
    [&tree_ref(184, parent)[..], &count.to_le_bytes()].concat()
}

const BLOCK: Key = Key::new(1 << 20, Kind::METADATA_ITEM, 0);
const DATA: Key = Key::new(1 << 20, Kind::EXTENT_ITEM, 8192);

#[test]
fn extents() {
    let block = extent(BLOCK, 1, 2, &tree_ref(176, 5));
    let data = extent(DATA, 1, 1, &data_ref(5, 257, 0, 1));
    takes(EXTENT, &[block.clone()]);
    takes(EXTENT, &[data.clone()]);
    refuses("extent item is too short", EXTENT, &[sized(&block, 23)]);
    refuses(
        "extent has no references",
        EXTENT,
        &[extent(BLOCK, 0, 2, &[])],
    );
    refuses(
        "extent is not one of data and tree block",
        EXTENT,
        &[extent(BLOCK, 1, 3, &[])],
    );
    refuses(
        "extent has unknown flags",
        EXTENT,
        &[extent(BLOCK, 1, 6, &[])],
    );
    refuses(
        "data extent has a key for tree blocks",
        EXTENT,
        &[extent(BLOCK, 1, 1, &[])],
    );
    refuses(
        "data extent has full backrefs",
        EXTENT,
        &[extent(DATA, 1, 0x101, &[])],
    );
    refuses(
        "generation is in the future",
        EXTENT,
        &[with(&block, 8, &[12])],
    );
    let at = |objectid, offset| keyed(&data, Key::new(objectid, Kind::EXTENT_ITEM, offset));
    refuses("extent's address is not aligned", EXTENT, &[at(1, 8192)]);
    refuses("extent's length is not aligned", EXTENT, &[at(4096, 1)]);
    refuses("extent is empty", EXTENT, &[at(4096, 0)]);
    refuses(
        "extent goes beyond all addresses",
        EXTENT,
        &[at(0u64.wrapping_sub(4096), 8192)],
    );
    let high = keyed(&block, Key::new(1 << 20, Kind::METADATA_ITEM, 8));
    refuses("block's level is too high", EXTENT, &[high]);
    let fat = Format {
        incompat: Incompat::NONE,
        ..format()
    };
    assert_eq!(
        judge(leaf(EXTENT, &[block.clone()]), &fat),
        Err("skinny metadata without its feature")
    );
    let info = |level| [&[0; 17][..], &[level], &tree_ref(176, 5)].concat();
    let fat_key = Key::new(1 << 20, Kind::EXTENT_ITEM, NODE.into());
    takes(EXTENT, &[extent(fat_key, 1, 2, &info(7))]);
    refuses(
        "block's level is too high",
        EXTENT,
        &[extent(fat_key, 1, 2, &info(8))],
    );
    refuses(
        "block's extent has another length",
        EXTENT,
        &[extent(DATA, 1, 2, &info(0))],
    );
    let next = keyed(&data, Key::new((1 << 20) + 4096, Kind::EXTENT_ITEM, 4096));
    refuses(
        "extent overlaps the one before",
        EXTENT,
        &[data.clone(), next.clone()],
    );
    refuses("extent overlaps the one before", EXTENT, &[block, next]);
}

#[test]
fn references_inside_extents() {
    let block = |refs, inline: &[Vec<u8>]| extent(BLOCK, refs, 2, &inline.concat());
    let data = |refs, inline: &[Vec<u8>]| extent(DATA, refs, 1, &inline.concat());
    takes(
        EXTENT,
        &[block(
            9,
            &[tree_ref(176, 300), tree_ref(176, 5), tree_ref(182, 4096)],
        )],
    );
    takes(
        EXTENT,
        &[data(
            5,
            &[
                data_ref(5, 257, 0, 2),
                shared_ref(8192, 1),
                shared_ref(4096, 2),
            ],
        )],
    );
    refuses(
        "inline reference is of a wrong kind",
        EXTENT,
        &[block(1, &[data_ref(5, 257, 0, 1)])],
    );
    refuses(
        "inline reference is of a wrong kind",
        EXTENT,
        &[data(1, &[tree_ref(176, 5)])],
    );
    refuses(
        "inline reference is of a wrong kind",
        EXTENT,
        &[data(1, &[tree_ref(172, 5)])],
    );
    refuses(
        "inline reference goes beyond its item",
        EXTENT,
        &[sized(&block(1, &[tree_ref(176, 5)]), 32)],
    );
    refuses(
        "inline reference goes beyond its item",
        EXTENT,
        &[sized(&data(1, &[data_ref(5, 257, 0, 1)]), 52)],
    );
    refuses(
        "inline references are more than all",
        EXTENT,
        &[data(1, &[data_ref(5, 257, 0, 2)])],
    );
    refuses(
        "inline references are out of order",
        EXTENT,
        &[block(9, &[tree_ref(182, 4096), tree_ref(176, 5)])],
    );
    refuses(
        "inline references are out of order",
        EXTENT,
        &[block(9, &[tree_ref(176, 5), tree_ref(176, 6)])],
    );
    refuses(
        "inline reference stands twice",
        EXTENT,
        &[block(9, &[tree_ref(176, 5), tree_ref(176, 5)])],
    );
    refuses(
        "reference of no tree",
        EXTENT,
        &[block(9, &[tree_ref(176, 0)])],
    );
    refuses(
        "reference's parent is not aligned",
        EXTENT,
        &[block(9, &[tree_ref(182, 1)])],
    );
    refuses(
        "reference's offset is not aligned",
        EXTENT,
        &[data(9, &[data_ref(5, 257, 1, 1)])],
    );
    refuses(
        "reference of a tree without files",
        EXTENT,
        &[data(9, &[data_ref(4, 257, 0, 1)])],
    );
    refuses(
        "reference of no inode",
        EXTENT,
        &[data(9, &[data_ref(5, 255, 0, 1)])],
    );
    refuses(
        "reference counts nothing",
        EXTENT,
        &[data(9, &[data_ref(5, 257, 0, 0)])],
    );
    refuses(
        "reference counts nothing",
        EXTENT,
        &[data(9, &[shared_ref(4096, 0)])],
    );
}

#[test]
fn references_with_keys() {
    let key = |kind, offset| Key::new(1 << 20, kind, offset);
    let data = (
        key(Kind::EXTENT_DATA_REF, 7),
        data_ref(5, 257, 0, 1)[1..].to_vec(),
    );
    let shared = (key(Kind::SHARED_DATA_REF, 4096), vec![1, 0, 0, 0]);
    let block = (key(Kind::TREE_BLOCK_REF, 5), vec![]);
    let parent = (key(Kind::SHARED_BLOCK_REF, 4096), vec![]);
    takes(
        EXTENT,
        &[block.clone(), data.clone(), parent.clone(), shared.clone()],
    );
    refuses(
        "data reference has a wrong size",
        EXTENT,
        &[sized(&data, 56)],
    );
    for item in [&shared, &block, &parent] {
        refuses("reference has a wrong size", EXTENT, &[sized(item, 5)]);
    }
    refuses(
        "reference counts nothing",
        EXTENT,
        &[with(&shared, 0, &[0])],
    );
    refuses(
        "reference's parent is not aligned",
        EXTENT,
        &[keyed(&parent, key(Kind::SHARED_BLOCK_REF, 1))],
    );
    let odd = Key::new(1, Kind::TREE_BLOCK_REF, 5);
    refuses(
        "extent's address is not aligned",
        EXTENT,
        &[keyed(&block, odd)],
    );
}

fn group(start: u64, len: u64, flags: u64) -> Item {
    (
        Key::new(start, Kind::BLOCK_GROUP_ITEM, len),
        u64s(&[4096, 256, flags]),
    )
}

#[test]
fn block_groups() {
    let good = group(1 << 20, 1 << 20, 1);
    takes(EXTENT, &[good.clone(), group(2 << 20, 1 << 20, 0x24)]);
    refuses(
        "block group item has a wrong size",
        EXTENT,
        &[sized(&good, 23)],
    );
    refuses("block group is empty", EXTENT, &[group(1 << 20, 0, 1)]);
    refuses(
        "block group goes beyond all addresses",
        EXTENT,
        &[group(1 << 63, 1 << 63, 1)],
    );
    refuses(
        "block group names no chunk",
        EXTENT,
        &[with(&good, 8, &[1])],
    );
    refuses(
        "block group uses more than it has",
        EXTENT,
        &[with(&good, 3, &[1])],
    );
    refuses(
        "block group has unknown flags",
        EXTENT,
        &[group(1 << 20, 1 << 20, 1 << 13)],
    );
    refuses(
        "block group has not one type",
        EXTENT,
        &[group(1 << 20, 1 << 20, 0)],
    );
    refuses(
        "block group has not one type",
        EXTENT,
        &[group(1 << 20, 1 << 20, 5)],
    );
    refuses(
        "block group has several profiles",
        EXTENT,
        &[group(1 << 20, 1 << 20, 0x31)],
    );
    refuses(
        "block group overlaps the one before",
        EXTENT,
        &[good, group((1 << 20) + 4096, 1 << 20, 1)],
    );
}

fn chunk(addr: u64, len: u64, flags: u64, stripes: u16) -> Item {
    let raw = RawChunk::new(
        len,
        engine::disk::BlockGroupFlags::new(flags),
        4096,
        stripes,
    );
    let stripe = RawStripe {
        devid: 1.into(),
        offset: (1 << 20).into(),
        dev_uuid: Uuid([1; 16]),
    };
    let mut bytes = raw.as_bytes().to_vec();
    for _ in 0..stripes {
        bytes.extend_from_slice(stripe.as_bytes());
    }
    (Key::new(256, Kind::CHUNK_ITEM, addr), bytes)
}

#[test]
fn chunks() {
    let mib = 1 << 20;
    let good = chunk(mib, mib, 1, 1);
    takes(CHUNK, &[good.clone(), chunk(2 * mib, mib, 0x24, 2)]);
    refuses("chunk item is too short", CHUNK, &[sized(&good, 47)]);
    refuses(
        "chunk has too few bytes for its stripes",
        CHUNK,
        &[sized(&good, 79)],
    );
    refuses(
        "chunk item has bytes behind its stripes",
        CHUNK,
        &[sized(&good, 81)],
    );
    refuses(
        "chunk's stripe length is unknown",
        CHUNK,
        &[with(&good, 16, &[1])],
    );
    refuses(
        "chunk has another sector size",
        CHUNK,
        &[with(&good, 40, &[1])],
    );
    refuses("chunk is empty", CHUNK, &[chunk(mib, 0, 1, 1)]);
    refuses(
        "chunk's address is not aligned",
        CHUNK,
        &[chunk(1, mib, 1, 1)],
    );
    refuses(
        "chunk's length is not aligned",
        CHUNK,
        &[chunk(mib, 1, 1, 1)],
    );
    refuses("chunk is too long", CHUNK, &[chunk(mib, 1 << 48, 1, 1)]);
    refuses(
        "chunk goes beyond all addresses",
        CHUNK,
        &[chunk(0u64.wrapping_sub(mib), 2 * mib, 1, 1)],
    );
    refuses(
        "chunk overlaps the one before",
        CHUNK,
        &[good.clone(), chunk(mib + 4096, mib, 1, 1)],
    );
    let key = Key::new(1, Kind::CHUNK_ITEM, mib);
    refuses(
        "chunk's key has another objectid",
        CHUNK,
        &[keyed(&good, key)],
    );
    refuses("stripe is on no device", CHUNK, &[with(&good, 48, &[0])]);
    refuses("stripe is not aligned", CHUNK, &[with(&good, 56, &[1])]);
    refuses(
        "stripe goes beyond all addresses",
        CHUNK,
        &[with(&good, 56, &[0, 0xf0, 255, 255, 255, 255, 255, 255])],
    );
    // Type and profile; the number of stripes for each.
    let raid = |flags, stripes, sub: u8| with(&chunk(mib, mib, flags, stripes), 46, &[sub]);
    let profiles = [
        (0x0, 1),
        (0x8, 1),
        (0x8, 5),
        (0x10, 2),
        (0x20, 2),
        (0x80, 2),
        (0x100, 3),
        (0x200, 3),
        (0x400, 4),
    ];
    for (profile, stripes) in profiles {
        takes(CHUNK, &[raid(profile | 4, stripes, 1)]);
    }
    takes(CHUNK, &[raid(0x44, 4, 2)]);
    let wrong = [
        (0x0, 2),
        (0x0, 0),
        (0x8, 0),
        (0x10, 3),
        (0x20, 1),
        (0x80, 1),
        (0x100, 2),
        (0x200, 4),
        (0x400, 3),
    ];
    for (profile, stripes) in wrong {
        refuses(
            "chunk's stripes do not fit its profile",
            CHUNK,
            &[raid(profile | 4, stripes, 1)],
        );
    }
    refuses(
        "chunk's stripes do not fit its profile",
        CHUNK,
        &[raid(0x44, 3, 2)],
    );
    refuses(
        "chunk's sub-stripes do not fit its profile",
        CHUNK,
        &[raid(0x44, 4, 1)],
    );
    refuses(
        "block group has not one type",
        CHUNK,
        &[chunk(mib, mib, 5, 1)],
    );
}

#[test]
fn devices() {
    let mut raw = RawDevItem::new_zeroed();
    raw.devid.set(1);
    raw.total_bytes.set(1 << 30);
    let good = (Key::new(1, Kind::DEV_ITEM, 1), raw.as_bytes().to_vec());
    takes(CHUNK, &[good.clone()]);
    refuses("device item has a wrong size", CHUNK, &[sized(&good, 97)]);
    refuses("device has no number", CHUNK, &[with(&good, 0, &[0])]);
    refuses(
        "device uses more than it has",
        CHUNK,
        &[with(&good, 20, &[1])],
    );
    refuses(
        "device's key has another objectid",
        CHUNK,
        &[keyed(&good, Key::new(2, Kind::DEV_ITEM, 1))],
    );
    refuses(
        "device's key has another number",
        CHUNK,
        &[keyed(&good, Key::new(1, Kind::DEV_ITEM, 2))],
    );

    let extent = |at, len| {
        let key = Key::new(1, Kind::DEV_EXTENT, at);
        (key, [&u64s(&[3, 256, 1 << 20, len])[..], &[0; 16]].concat())
    };
    let good = extent(1 << 20, 1 << 20);
    takes(DEV, &[good.clone(), extent(2 << 20, 4096)]);
    refuses("device extent has a wrong size", DEV, &[sized(&good, 47)]);
    refuses(
        "device extent names another chunk tree",
        DEV,
        &[with(&good, 0, &[2])],
    );
    refuses("device extent names no chunk", DEV, &[with(&good, 8, &[2])]);
    refuses(
        "device extent's chunk is not aligned",
        DEV,
        &[with(&good, 16, &[2])],
    );
    refuses(
        "device extent's length is not aligned",
        DEV,
        &[extent(1 << 20, 1)],
    );
    refuses("device extent is empty", DEV, &[extent(1 << 20, 0)]);
    refuses("device extent is not aligned", DEV, &[extent(1, 4096)]);
    refuses(
        "device extent is too long",
        DEV,
        &[extent(1 << 63, 1 << 63)],
    );
    refuses(
        "device extent is on no device",
        DEV,
        &[keyed(&good, Key::new(0, Kind::DEV_EXTENT, 4096))],
    );
    refuses(
        "device extent overlaps the one before",
        DEV,
        &[good, extent((1 << 20) + 4096, 4096)],
    );
}

#[test]
fn free_space() {
    let mib = 1 << 20;
    let info = |start, len, count: u32, flags: u32| {
        let key = Key::new(start, Kind::FREE_SPACE_INFO, len);
        (key, [count.to_le_bytes(), flags.to_le_bytes()].concat())
    };
    let free = |start, len| (Key::new(start, Kind::FREE_SPACE_EXTENT, len), vec![]);
    let bitmap = |start, len, bytes| {
        (
            Key::new(start, Kind::FREE_SPACE_BITMAP, len),
            vec![0; bytes],
        )
    };
    takes(
        FREE,
        &[
            info(mib, mib, 2, 0),
            free(mib, 4096),
            free(mib + 8192, 4096),
            info(2 * mib, mib, 1, 1),
            bitmap(2 * mib, mib, 32),
        ],
    );
    refuses(
        "free space info has a wrong size",
        FREE,
        &[sized(&info(mib, mib, 2, 0), 7)],
    );
    refuses(
        "free space info has unknown flags",
        FREE,
        &[info(mib, mib, 2, 2)],
    );
    refuses(
        "free space has too many ranges",
        FREE,
        &[info(mib, mib, 257, 0)],
    );
    refuses("free space is not aligned", FREE, &[free(1, 4096)]);
    refuses("free space's length is not aligned", FREE, &[free(4096, 1)]);
    refuses("free space is empty", FREE, &[free(4096, 0)]);
    refuses(
        "free space goes beyond all addresses",
        FREE,
        &[free(1 << 63, 1 << 63)],
    );
    refuses(
        "free space extent has bytes",
        FREE,
        &[sized(&free(4096, 4096), 1)],
    );
    refuses(
        "free space bitmap has a wrong size",
        FREE,
        &[bitmap(mib, mib, 31)],
    );
    refuses(
        "free space bitmap is too long",
        FREE,
        &[bitmap(0, 16 * mib, 512)],
    );
    refuses(
        "free space overlaps that before",
        FREE,
        &[free(mib, 8192), free(mib + 4096, 4096)],
    );
    refuses(
        "free space overlaps that before",
        FREE,
        &[free(mib, 8192), info(mib + 4096, mib, 0, 0)],
    );
    refuses(
        "free space goes beyond its block group",
        FREE,
        &[info(mib, mib, 1, 0), free(mib, 2 * mib)],
    );
    refuses(
        "free space is not of its info's kind",
        FREE,
        &[info(mib, mib, 1, 1), free(mib, mib)],
    );
    refuses(
        "free space is not of its info's kind",
        FREE,
        &[info(mib, mib, 1, 0), bitmap(mib, mib, 32)],
    );
    refuses(
        "free space is of two kinds",
        FREE,
        &[free(mib, mib), bitmap(2 * mib, mib, 32)],
    );
    let header = (
        Key::new(u64::MAX - 10, Kind::CACHE_HEADER, mib),
        vec![0; 41],
    );
    takes(ROOT, &[header.clone()]);
    refuses(
        "free space cache header has a wrong size",
        ROOT,
        &[sized(&header, 40)],
    );
    refuses(
        "cache has more bitmaps than entries",
        ROOT,
        &[with(&header, 33, &[1])],
    );
}

#[test]
fn state_of_the_volume() {
    let item = |objectid, kind, len| (Key::new(objectid, kind, 0), vec![0; len]);
    for (kind, len) in [
        (Kind::QGROUP_STATUS, 32),
        (Kind::QGROUP_STATUS, 40),
        (Kind::QGROUP_INFO, 40),
        (Kind::QGROUP_LIMIT, 40),
        (Kind::QGROUP_RELATION, 0),
    ] {
        takes(8, &[item(0, kind, len)]);
        refuses("quota item has a wrong size", 8, &[item(0, kind, len + 1)]);
    }
    takes(9, &[item(1, Kind::UUID_SUBVOL, 16)]);
    refuses(
        "UUID item is not a number of ids",
        9,
        &[item(1, Kind::UUID_SUBVOL, 0)],
    );
    refuses(
        "UUID item is not a number of ids",
        9,
        &[item(1, Kind::UUID_RECEIVED_SUBVOL, 9)],
    );
    takes(ROOT, &[item(u64::MAX - 3, Kind::TEMPORARY_ITEM, 448)]);
    refuses(
        "balance item has a wrong size",
        ROOT,
        &[item(u64::MAX - 3, Kind::TEMPORARY_ITEM, 447)],
    );
    takes(DEV, &[(Key::new(0, Kind::PERSISTENT_ITEM, 1), vec![0; 40])]);
    refuses(
        "statistics have a wrong size",
        DEV,
        &[(Key::new(0, Kind::PERSISTENT_ITEM, 1), vec![0; 39])],
    );
    takes(DEV, &[item(0, Kind::DEV_REPLACE, 72)]);
    refuses(
        "replace item has a wrong size",
        DEV,
        &[item(0, Kind::DEV_REPLACE, 71)],
    );
}

#[test]
fn the_block_around_the_items() {
    let judge = |block| judge(block, &format());
    let edit = |mut block: Vec<u8>, change: &dyn Fn(&mut RawHeader)| {
        change(RawHeader::split_mut(&mut block).unwrap().0);
        judge(block)
    };
    let good = || leaf(FS, &[inode(257), inode(258)]);
    assert_eq!(judge(good()), Ok(()));
    assert_eq!(
        judge(good()[..8192].to_vec()),
        Err("block has a wrong size")
    );
    assert_eq!(
        edit(good(), &|h| h.fsid = Uuid([1; 16])),
        Err("block is of another file system")
    );
    assert_eq!(
        edit(good(), &|h| h.level = 8),
        Err("block's level is too high")
    );
    assert_eq!(edit(good(), &|h| h.owner.set(0)), Err("block has no owner"));
    assert_eq!(
        edit(good(), &|h| h.flags.set(1)),
        Err("block's flags are unknown")
    );
    assert_eq!(
        edit(good(), &|h| h.generation.set(12)),
        Err("block's generation is in the future")
    );
    assert_eq!(
        edit(good(), &|h| h.nritems.set(652)),
        Err("leaf has too many items")
    );
    assert_eq!(edit(leaf(9, &[]), &|_| ()), Ok(()));
    for owner in [1, 2, 3, 4, 5, u64::MAX - 8] {
        assert_eq!(
            edit(leaf(owner, &[]), &|_| ()),
            Err("tree is empty that never is")
        );
        assert_eq!(
            edit(leaf(owner, &[]), &|h| h.flags.set(h.flags.get() | 2)),
            Ok(())
        );
    }
    let order = [inode(258), inode(257)];
    refuses("keys are out of order", FS, &order);
    refuses("keys are out of order", FS, &[inode(257), inode(257)]);
    let place = |change: &dyn Fn(&mut [RawItem])| {
        let mut block = good();
        let (_, area) = RawHeader::split_mut(&mut block).unwrap();
        change(RawItem::slice_mut(area, 2).unwrap().0);
        judge(block)
    };
    let hole = "item does not end where the one before starts";
    assert_eq!(
        place(&|items| items[0].offset.set(items[0].offset.get() - 1)),
        Err(hole)
    );
    assert_eq!(place(&|items| items[1].size.set(159)), Err(hole));
    assert_eq!(place(&|items| items[1].size.set(u32::MAX)), Err(hole));
    let into = place(&|items| {
        items[1]
            .size
            .set(items[1].size.get() + items[1].offset.get() - 49);
        items[1].offset.set(49);
    });
    assert_eq!(into, Err("item's data reach into the items"));

    let child = |objectid, addr, generation| Child {
        key: Key::new(objectid, Kind::INODE_ITEM, 0),
        addr: Logical::new(addr),
        generation: Generation::new(generation),
    };
    assert_eq!(
        judge(node(&[child(256, 4096, 10), child(300, 8192, 3)])),
        Ok(())
    );
    assert_eq!(judge(node(&[])), Err("node is empty"));
    assert_eq!(
        edit(node(&[]), &|h| h.nritems.set(494)),
        Err("node has too many pointers")
    );
    assert_eq!(
        judge(node(&[child(300, 4096, 10), child(300, 8192, 3)])),
        Err("keys are out of order")
    );
    // The last pointer is checked like the others.
    for (last, what) in [
        (child(300, 0, 3), "pointer leads nowhere"),
        (child(300, 4097, 3), "pointer is not aligned"),
        (child(300, ADDR, 3), "pointer leads to its own node"),
        (child(300, 4096, 11), "child is newer than its node"),
    ] {
        assert_eq!(judge(node(&[child(256, 4096, 10), last])), Err(what));
    }
    let mut block = good();
    seal_block(&mut block, ChecksumKind::Crc32c, &HostChecksums);
    block[5000] ^= 1;
    let format = format();
    let context = BlockContext {
        format: &format,
        checksums: &HostChecksums,
        addr: Logical::new(ADDR),
        owner: Some(ObjectId::new(300)),
        level: Some(0),
        generation: Some(Generation::new(10)),
        first_key: Some(Key::new(257, Kind::INODE_ITEM, 0)),
        newest: Generation::new(11),
    };
    assert_eq!(
        check_block(&block, &context).unwrap_err().what,
        "checksum is wrong"
    );
    block[5000] ^= 1;
    // A subvolume finds blocks of another one.
    check_block(&block, &context).unwrap();
    let (header, _) = RawHeader::split_mut(&mut block).unwrap();
    header.flags.set(HEADER_BACKREF_REVISION);
    engine::disk::seal(&mut block, ChecksumKind::Crc32c, &HostChecksums);
    assert_eq!(
        check_block(&block, &context).unwrap_err().what,
        "block is not marked as written"
    );
}
