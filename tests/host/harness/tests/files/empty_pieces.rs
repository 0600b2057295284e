// SPDX-License-Identifier: GPL-2.0
//! File extents of no bytes: what old kernels left of a hole that they had no space to punch.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, Compression, FileExtent, Generation, Key, Logical, RegularExtent};
use engine::disk::{ExtentState, FileOffset, Kind};
use engine::fs::Inode;
use engine::txn::Units;
use harness::mount::NOW;
use harness::punch::PunchHole;
use harness::tools;
use kernel::sync::Arc;

const MIB: u64 = 1 << 20;

/// Puts an item of no bytes at a sector of a file, in place of the item that stands there.
fn leave_empty(player: &Files, inode: &Inode, sector: u64) {
    let piece = RegularExtent {
        generation: Generation::new(1),
        state: ExtentState::Written,
        compression: Compression::None,
        ram_bytes: Bytes::ZERO,
        disk_addr: Logical::new(0),
        disk_len: Bytes::ZERO,
        offset: Bytes::ZERO,
        len: Bytes::ZERO,
    };
    let mut bytes = [0; RegularExtent::SIZE];
    piece.write_to(&mut bytes).unwrap();
    let tree = player.txns().tree(inode.subvolume().id()).unwrap();
    let key = Key::new(inode.number().get(), Kind::EXTENT_DATA, sector * SECTOR);
    let handle = player.txns().start(Units::inserts(2)).unwrap();
    let is_there = tree.get(&key, |_| ()).unwrap().is_some();
    if is_there {
        tree.remove(&handle, &key).unwrap();
    }
    tree.insert(&handle, &key, &bytes).unwrap();
}

fn empty_items(player: &Files, inode: &Inode) -> usize {
    let tree = player.txns().tree(inode.subvolume().id()).unwrap();
    let (mut count, number) = (0, inode.number().get());
    let key = |offset| Key::new(number, Kind::EXTENT_DATA, offset);
    let scanned = tree.scan(key(0)..=key(u64::MAX), |_, bytes| {
        let extent = FileExtent::parse(bytes).unwrap();
        count +=
            usize::from(matches!(extent, FileExtent::Regular(piece) if piece.len == Bytes::ZERO));
        Ok(std::ops::ControlFlow::Continue(()))
    });
    scanned.unwrap();
    count
}

/// A file with data in sectors 0, 1, 4 and 5 and an empty item at the sectors 2 and 4, mounted anew.
fn with_empty_items(options: &[&str]) -> (Files, Arc<Inode>) {
    let player = Files::mount(tools::mkfs(256 * MIB, options));
    let inode = player.file(b"f");
    let (data, len) = ([7; 2 * SECTOR as usize], 2 * SECTOR);
    player.write_sectors(&inode, 0, &data, len).unwrap();
    player
        .write_sectors(&inode, 5 * SECTOR, &data, 7 * SECTOR)
        .unwrap();
    leave_empty(&player, &inode, 2);
    leave_empty(&player, &inode, 4);
    let number = inode.number();
    drop(inode);
    let player = Files::mount(player.unmount());
    let inode = player.fs.inodes().get(&player.top, number).unwrap();
    assert_eq!(empty_items(&player, &inode), 2);
    (player, inode)
}

fn sectors(player: &Files, inode: &Inode, count: u64) -> Vec<u8> {
    let read = player.read(inode, 0, count * SECTOR).unwrap();
    read.chunks(SECTOR as usize)
        .map(|sector| sector[0])
        .collect()
}

/// All empty items are gone, and nothing else is wrong.
fn is_well(player: Files, inode: Arc<Inode>) {
    assert_eq!(empty_items(&player, &inode), 0);
    drop(inode);
    tools::check_with(&player.unmount(), &["--check-data-csum"]).unwrap();
}

fn both(case: impl Fn(Files, Arc<Inode>)) {
    for options in [&[][..], &["-O", "^no-holes"]] {
        let (player, inode) = with_empty_items(options);
        assert_eq!(sectors(&player, &inode, 8), [7, 7, 0, 0, 0, 7, 7, 0]);
        case(player, inode);
    }
}

#[test]
fn a_write_over_them_removes_them() {
    both(|player, inode| {
        let data = [9; 3 * SECTOR as usize];
        player
            .write_sectors(&inode, 2 * SECTOR, &data, 5 * SECTOR)
            .unwrap();
        assert_eq!(sectors(&player, &inode, 8), [7, 7, 9, 9, 9, 7, 7, 0]);
        assert_eq!(inode.attributes().nbytes, Bytes::new(7 * SECTOR));
        is_well(player, inode);
    });
}

#[test]
fn a_hole_over_them_removes_them() {
    both(|player, inode| {
        let space = player.fs.file_space();
        space
            .punch_hole(&inode, FileOffset::new(SECTOR), Bytes::new(5 * SECTOR), NOW)
            .unwrap();
        assert_eq!(sectors(&player, &inode, 8), [7, 0, 0, 0, 0, 0, 7, 0]);
        assert_eq!(inode.attributes().nbytes, Bytes::new(2 * SECTOR));
        is_well(player, inode);
    });
}

#[test]
fn space_that_is_given_before_replaces_them() {
    both(|player, inode| {
        let space = player.fs.file_space();
        let at = FileOffset::new(0);
        space
            .preallocate(&inode, at, Bytes::new(8 * SECTOR), None, NOW)
            .unwrap();
        assert_eq!(sectors(&player, &inode, 8), [7, 7, 0, 0, 0, 7, 7, 0]);
        is_well(player, inode);
    });
}

/// Cut before them, they are removed; those behind the end of the file are in the way of none that make it longer.
#[test]
fn a_file_is_cut_and_made_longer_over_them() {
    both(|player, inode| {
        let space = player.fs.file_space();
        space.truncate(&inode, Bytes::new(SECTOR), NOW).unwrap();
        assert_eq!(empty_items(&player, &inode), 0);
        leave_empty(&player, &inode, 1);
        leave_empty(&player, &inode, 3);
        space.truncate(&inode, Bytes::new(6 * SECTOR), NOW).unwrap();
        assert_eq!(sectors(&player, &inode, 8), [7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(inode.attributes().nbytes, Bytes::new(SECTOR));
        space
            .punch_hole(&inode, FileOffset::new(SECTOR), Bytes::new(5 * SECTOR), NOW)
            .unwrap();
        is_well(player, inode);
    });
}
