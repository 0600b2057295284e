// SPDX-License-Identifier: GPL-2.0
//! Roots, extents and their references.

use crate::fixture::*;
use engine::disk::raw::*;
use engine::disk::{Format, Incompat, Key, Kind};
use zerocopy::{FromZeros, IntoBytes};

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
    takes(ROOT, std::slice::from_ref(&good));
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
        member(&raw) - std::ptr::from_ref(&raw) as usize
    };
    let level = offset(&|raw| std::ptr::from_ref(&raw.level) as usize);
    let drop_level = offset(&|raw| std::ptr::from_ref(&raw.drop_level) as usize);
    let progress = offset(&|raw| std::ptr::from_ref(&raw.drop_progress) as usize);
    let flags = offset(&|raw| std::ptr::from_ref(&raw.flags) as usize);
    let addr = offset(&|raw| std::ptr::from_ref(&raw.addr) as usize);
    let last_snapshot = offset(&|raw| std::ptr::from_ref(&raw.last_snapshot) as usize);
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
    takes(ROOT, std::slice::from_ref(&reference));
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
    takes(EXTENT, std::slice::from_ref(&block));
    takes(EXTENT, std::slice::from_ref(&data));
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
        judge(leaf(EXTENT, std::slice::from_ref(&block)), &fat),
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
