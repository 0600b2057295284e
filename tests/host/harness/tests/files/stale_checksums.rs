// SPDX-License-Identifier: GPL-2.0
//! Checksums of data that is gone, as the log replay of old kernels left them: new data comes to lie there.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset, Key, Kind, Logical, ObjectId};
use engine::fs::Inode;
use engine::txn::Units;
use harness::tools;
use std::ops::Range;

const MIB: u64 = 1 << 20;

/// Where the next data goes: behind those of `inode`, which gets 16 sectors.
fn next_address(player: &Files, inode: &Inode) -> u64 {
    const LEN: u64 = 16 * SECTOR;
    player
        .write_sectors(inode, 0, &[1; LEN as usize], LEN)
        .unwrap();
    player.address(inode, LEN - SECTOR).get() + SECTOR
}

/// Writes 64 KiB at a time, until `range` of the volume has new data. They are what is read, also after a mount.
fn overwrite(player: Files, range: Range<u64>) {
    const PIECE: u64 = 16 * SECTOR;
    let inode = player.file(b"new");
    let (mut end, mut first) = (0, None);
    while first.is_none_or(|first| first + end < range.end) {
        let data = vec![end as u8 | 1; PIECE as usize];
        let mut reservation = player
            .fs
            .data()
            .reserve_write(&inode, FileOffset::new(end), Bytes::new(PIECE))
            .unwrap();
        let ordered = player
            .to_device(&inode, end, &data, end + PIECE, &mut reservation)
            .unwrap();
        assert_eq!(ordered.extent.get().len, Bytes::new(PIECE));
        let first = *first.get_or_insert(ordered.extent.get().logical.get());
        assert_eq!(ordered.extent.get().logical.get(), first + end);
        player.fs.data().finish_ordered(&inode, ordered).unwrap();
        end += PIECE;
    }
    assert!(first.is_some_and(|first| first < range.start));
    player.txns().commit().expect("a commit");
    let number = inode.number();
    drop(inode);
    let image = player.unmount();
    tools::check_with(&image, &["--check-data-csum"]).unwrap();
    let player = Files::mount(image);
    let inode = player.fs.inodes().get(&player.top, number).unwrap();
    for at in (0..end).step_by(PIECE as usize) {
        let read = player.read(&inode, at, PIECE).unwrap();
        assert!(read.iter().all(|byte| *byte == at as u8 | 1), "at {at}");
    }
}

fn overwritten(node_size: &str, stale_sectors: u64, others: Others) {
    let player = Files::mount(tools::mkfs(256 * MIB, &["-n", node_size]));
    let inode = player.file(b"before");
    let start = next_address(&player, &inode) + 2 * SECTOR;
    if others == Others::None {
        player
            .fs
            .file_space()
            .truncate(&inode, Bytes::ZERO, harness::mount::NOW)
            .unwrap();
    }
    drop(inode);
    player.txns().commit().unwrap();
    player
        .mounted
        .leave_stale_sums(Logical::new(start), stale_sectors as usize);
    overwrite(player, start..start + stale_sectors * SECTOR);
}

/// Whether there are checksums in front of the stale ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    InFront,
    None,
}

#[test]
fn new_data_comes_to_lie_over_an_item_of_the_same_leaf() {
    overwritten("16384", 3, Others::InFront);
}

/// The longest item there is has a leaf of its own: that of the checksums before it does not show it.
#[test]
fn new_data_comes_to_lie_over_an_item_that_begins_the_next_leaf() {
    overwritten("4096", 985, Others::InFront);
}

#[test]
fn new_data_comes_to_lie_over_the_first_item_of_all() {
    overwritten("16384", 3, Others::None);
}

/// Whoever reads the last data of a volume goes no further than their checksums.
#[test]
fn what_is_behind_all_checksums_is_not_read() {
    let player = Files::mount(tools::mkfs(256 * MIB, &["-n", "4096"]));
    let inode = player.file(b"f");
    next_address(&player, &inode);
    let unknown = 150;
    let tree = player.txns().required_tree(ObjectId::CSUM_TREE).unwrap();
    for n in 0..100 {
        let handle = player.txns().start(Units::inserts(1)).unwrap();
        let key = Key::new(ObjectId::EXTENT_CSUM.get(), Kind::new(unknown), n);
        tree.insert(&handle, &key, &[0; 1000]).unwrap();
    }
    player.txns().commit().unwrap();
    player.mounted.store.shrink();
    let before = player.mounted.store.counters().reads;
    let logical = player.address(&inode, 0);
    let sums = player
        .fs
        .data()
        .checksums(&inode, logical, Bytes::new(16 * SECTOR));
    assert!(sums.unwrap().unwrap().get(15).is_some());
    assert!(player.mounted.store.counters().reads < before + 10);
}
