// SPDX-License-Identifier: GPL-2.0
//! Inodes, names, directory entries, file extents, checksums.

use crate::fixture::*;
use engine::disk::raw::*;
use engine::disk::{extref_hash, name_hash, CompatRo, Format, Key, Kind};
use zerocopy::{FromZeros, IntoBytes};

#[test]
fn inodes() {
    let good = inode(257);
    takes(FS, std::slice::from_ref(&good));
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
    takes(FS, std::slice::from_ref(&directory));
    refuses(
        "directory has several names",
        FS,
        &[with(&directory, 40, &[2])],
    );
    refuses("inode has unknown flags", FS, &[with(&good, 65, &[0x10])]);
    // In the upper half flags are for writers.
    let later = with(&good, 68, &[2]);
    refuses("inode has unknown flags", FS, std::slice::from_ref(&later));
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
    let merged = [inode(257), inode_ref(258, 256, b"name")];
    refuses("item of an inode without it", FS, &merged);
    // Each is good in a leaf of its own.
    refuses_to_write("item of an inode without it", FS, &merged);
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
    // Old kernels left such ones.
    let empty = |offset| file_extent(offset, 1, 0, 0, 0, 0);
    takes(FS, &[empty(0), good.clone(), empty(8192)]);
    refuses(
        "file extent overlaps the one before",
        FS,
        &[file_extent(0, 1, 1 << 20, 8192, 0, 8192), empty(4096)],
    );
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
    takes(FS, std::slice::from_ref(&compressed));
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
    takes(FS, std::slice::from_ref(&orphan));
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
    takes(FS, std::slice::from_ref(&verity));
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
