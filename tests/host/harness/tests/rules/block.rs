// SPDX-License-Identifier: GPL-2.0
//! The volume's own items, and the block around all items.

use crate::fixture::*;
use engine::disk::raw::*;
use engine::disk::{
    check_block, seal_block, BlockContext, ChecksumKind, Child, Generation, Key, Kind, Logical,
    ObjectId, Uuid,
};
use harness::checksums::HostChecksums;

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
    let flaw = check_block(&block, &context).unwrap_err().flaw;
    assert_eq!(flaw.what, "checksum is wrong");
    let stored = u32::from_le_bytes(*block.first_chunk().unwrap());
    assert_eq!(flaw.found, u64::from(stored));
    assert_ne!(flaw.found, flaw.expected);
    block[5000] ^= 1;
    // A subvolume finds blocks of another one.
    check_block(&block, &context).unwrap();
    let (header, _) = RawHeader::split_mut(&mut block).unwrap();
    header.flags.set(HEADER_BACKREF_REVISION);
    engine::disk::seal(&mut block, ChecksumKind::Crc32c, &HostChecksums);
    assert_eq!(
        check_block(&block, &context).unwrap_err().flaw.what,
        "block is not marked as written"
    );
}
