// SPDX-License-Identifier: GPL-2.0
//! File data: extents that are cut, checksums that are missing, writes that end at the same time.

use crate::files::{Files, SECTOR};
use engine::btree::Reach;
use engine::disk::{Bytes, FileOffset, Key, Kind};
use engine::fs::{Inode, MappingKind};
use harness::mount::NOW;
use harness::punch::PunchHole;
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;

const MIB: u64 = 1 << 20;

#[test]
fn small_files_live_in_the_tree() {
    let player = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = player.file(b"f");
    player.write(&inode, 0, &[1; 2048]).unwrap();
    let kind = |player: &Files| {
        player
            .fs
            .mappings()
            .find(&inode, FileOffset::new(0), Bytes::new(10))
            .unwrap()
            .kind
    };
    assert!(matches!(kind(&player), MappingKind::Inline(_)));
    assert_eq!(inode.attributes().nbytes, Bytes::new(2048));
    player
        .fs
        .file_space()
        .truncate(&inode, Bytes::new(100), NOW)
        .unwrap();
    assert_eq!(
        (inode.attributes().nbytes, inode.attributes().size),
        (Bytes::new(100), Bytes::new(100))
    );
    player
        .fs
        .file_space()
        .truncate(&inode, Bytes::new(9000), NOW)
        .unwrap();
    assert_eq!(
        player.read(&inode, 50, 100).unwrap(),
        [[1; 50], [0; 50]].concat()
    );
    player.write(&inode, 2048, &[2; 1]).unwrap();
    assert!(matches!(kind(&player), MappingKind::Data { .. }));
    assert_eq!(
        (inode.attributes().nbytes, inode.attributes().size),
        (Bytes::new(SECTOR), Bytes::new(9000))
    );
    drop(inode);
    tools::check_with(&player.unmount(), &["--check-data-csum"]).unwrap();
}

#[test]
fn who_must_not_wait_is_told_what_is_in_memory() {
    let player = Files::mount(tools::mkfs(256 * MIB, &["-n", "4096"]));
    let inode = player.file(b"f");
    for n in 0..400 {
        // Every other sector: an item for each.
        player
            .write(&inode, 2 * n * SECTOR, &[1; SECTOR as usize])
            .unwrap();
    }
    player.txns().commit().unwrap();
    let at = FileOffset::new(2 * 200 * SECTOR);
    let logical = |kind| match kind {
        MappingKind::Data { logical } => logical,
        other => panic!("{other:?}"),
    };
    let sums = |logical, reach| {
        player
            .fs
            .data()
            .checksums_within(&inode, logical, Bytes::new(SECTOR), reach)
    };
    player.mounted.store.shrink();
    assert_eq!(
        player
            .fs
            .mappings()
            .find_cached(&inode, at, Bytes::new(SECTOR))
            .unwrap_err(),
        EAGAIN
    );
    let found = logical(
        player
            .fs
            .mappings()
            .find(&inode, at, Bytes::new(SECTOR))
            .unwrap()
            .kind,
    );
    let cached = logical(
        player
            .fs
            .mappings()
            .find_cached(&inode, at, Bytes::new(SECTOR))
            .unwrap()
            .kind,
    );
    assert_eq!(found, cached);
    let waited = sums(found, Reach::Device).unwrap().unwrap();
    let at_once = sums(found, Reach::Cache).unwrap().unwrap();
    assert_eq!(waited.get(0), at_once.get(0));
    drop(inode);
    tools::check_with(&player.unmount(), &["--check-data-csum"]).unwrap();
}

#[test]
fn freed_addresses_are_used_again_only_after_saying_so() {
    let player = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = player.file(b"f");
    player.write(&inode, 0, &[1; SECTOR as usize]).unwrap();
    player.txns().commit().unwrap();
    let reuses = player.txns().space().reuses();
    player.write(&inode, 0, &[2; SECTOR as usize]).unwrap();
    assert_eq!(player.txns().space().reuses(), reuses);
    player.txns().commit().unwrap();
    assert!(player.txns().space().reuses() > reuses);
}

#[test]
fn an_extent_is_cut_in_many_places() {
    for options in [&[][..], &["-O", "^no-holes"]] {
        let player = Files::mount(tools::mkfs(256 * MIB, options));
        let inode = player.file(b"f");
        player
            .fs
            .file_space()
            .preallocate(
                &inode,
                FileOffset::new(0),
                Bytes::new(64 * SECTOR),
                None,
                NOW,
            )
            .unwrap();
        assert_eq!(inode.attributes().nbytes, Bytes::new(64 * SECTOR));
        assert_eq!(inode.attributes().size, Bytes::ZERO);
        player
            .write(&inode, 0, &vec![9; 64 * SECTOR as usize])
            .unwrap();
        for n in (1..64).step_by(3) {
            player
                .write(&inode, n * SECTOR, &[n as u8; SECTOR as usize])
                .unwrap();
        }
        for n in (2..64).step_by(9) {
            let at = FileOffset::new(n * SECTOR);
            player
                .fs
                .file_space()
                .punch_hole(&inode, at, Bytes::new(2 * SECTOR), NOW)
                .unwrap();
        }
        player
            .fs
            .file_space()
            .truncate(&inode, Bytes::new(33 * SECTOR), NOW)
            .unwrap();
        let byte = |n: u64| match (n % 9, n % 3) {
            (2 | 3, _) => 0,
            (_, 1) => n as u8,
            _ => 9,
        };
        for n in 0..33 {
            let read = player.read(&inode, n * SECTOR, SECTOR).unwrap();
            assert!(read.iter().all(|b| *b == byte(n)), "sector {n}");
        }
        player.txns().commit().unwrap();
        tools::check_with(&player.image(), &["--check-data-csum"]).unwrap();
        player
            .fs
            .file_space()
            .truncate(&inode, Bytes::ZERO, NOW)
            .unwrap();
        assert_eq!(inode.attributes().nbytes, Bytes::ZERO);
        drop(inode);
        tools::check(&player.unmount()).unwrap();
    }
}

#[test]
fn a_long_file_goes_in_batches() {
    let player = Files::mount(tools::mkfs(512 * MIB, &[]));
    let inode = player.file(b"f");
    for n in 0..1000 {
        player
            .write(&inode, n * 3 * SECTOR, &[n as u8; SECTOR as usize])
            .unwrap();
    }
    let before = player.txns().space().statistics().data.used;
    player
        .fs
        .file_space()
        .truncate(&inode, Bytes::new(1500 * SECTOR + 1), NOW)
        .unwrap();
    assert_eq!(inode.attributes().nbytes, Bytes::new(501 * SECTOR));
    player
        .fs
        .file_space()
        .punch_hole(&inode, FileOffset::new(0), Bytes::new(1400 * SECTOR), NOW)
        .unwrap();
    let root = player.root.clone();
    player.fs.names().unlink(&root, b"f", &inode, NOW).unwrap();
    player.fs.inodes().evict(&inode).unwrap();
    player.txns().commit().unwrap();
    let after = player.txns().space().statistics().data.used;
    assert_eq!(
        before.get() - after.get(),
        before.min(Bytes::new(1000 * SECTOR)).get()
    );
    drop((inode, root));
    tools::check(&player.unmount()).unwrap();
}

/// Pieces of the file that [`scattered`] makes.
const PIECES: u64 = 300;

/// A file of no bytes with many preallocated pieces, and holes before each of them.
fn scattered(player: &Files) -> Arc<Inode> {
    let inode = player.file(b"f");
    for n in 0..PIECES {
        let at = FileOffset::new((2 * n + 1) * SECTOR);
        let space = player.fs.file_space();
        space
            .preallocate(&inode, at, Bytes::new(SECTOR), None, NOW)
            .unwrap();
    }
    assert_eq!(extent_items(player, &inode), PIECES);
    inode
}

fn extent_items(player: &Files, inode: &Inode) -> u64 {
    let key = |offset| Key::new(inode.number().get(), Kind::EXTENT_DATA, offset);
    let mut count = 0;
    let each = |_, _: &[u8]| {
        count += 1;
        Ok(std::ops::ControlFlow::Continue(()))
    };
    let tree = player.top.tree();
    tree.scan(key(0)..=key(u64::MAX), each).unwrap();
    count
}

/// Where holes have items, a size that is raised over many of them finds them filled: its own step pays for one.
#[test]
fn many_holes_get_items_before_the_size_is_raised() {
    let player = Files::mount(tools::mkfs(256 * MIB, &["-O", "^no-holes"]));
    let inode = scattered(&player);
    let items = || extent_items(&player, &inode);
    let size = (2 * PIECES + 8) * SECTOR;
    let asked = player
        .fs
        .file_space()
        .ask_truncate(&inode, Bytes::new(size))
        .unwrap();
    assert_eq!(
        (items(), inode.attributes().size.get()),
        (2 * PIECES + 1, 0)
    );
    player.txns().commit().unwrap();
    asked.run(NOW).unwrap();
    assert_eq!(
        (items(), inode.attributes().size.get()),
        (2 * PIECES + 1, size)
    );
    drop(inode);
    tools::check(&player.unmount()).unwrap();
}

/// A write far behind the end, to a new place or in place, takes batches too: it is finished in one handle, which paid for one. Who
/// must not wait is sent back, and what was not finished leaves a file that is in order.
#[test]
fn many_holes_get_items_before_a_write_behind_them() {
    let player = Files::mount(tools::mkfs(256 * MIB, &["-O", "^no-holes"]));
    let inode = scattered(&player);
    let items = || extent_items(&player, &inode);
    let data = player.fs.data();
    let piece = FileOffset::new((2 * (PIECES / 2) + 1) * SECTOR);
    let far = (2 * PIECES + 8) * SECTOR;
    let refused = data.try_reserve_write(&inode, FileOffset::new(far), Bytes::new(SECTOR));
    assert_eq!((refused.err(), items()), (Some(EAGAIN), PIECES));
    drop(
        data.reserve_in_place(&inode, piece, Bytes::new(SECTOR))
            .unwrap(),
    );
    let before = PIECES + PIECES / 2 + 1;
    assert_eq!((items(), inode.attributes().size.get()), (before, 0));
    player.txns().commit().unwrap();
    tools::check(&player.image()).unwrap();
    let reservation = data.reserve_write(&inode, FileOffset::new(far), Bytes::new(SECTOR));
    let reservation = reservation.unwrap();
    assert_eq!(
        (items(), inode.attributes().size.get()),
        (2 * PIECES + 1, 0)
    );
    let bytes = [7; SECTOR as usize];
    player
        .write_reserved(&inode, far, &bytes, far + SECTOR, reservation)
        .unwrap();
    assert_eq!(items(), 2 * PIECES + 2);
    assert_eq!(inode.attributes().size, Bytes::new(far + SECTOR));
    drop(inode);
    tools::check(&player.unmount()).unwrap();
}

#[test]
fn missing_checksums_are_told() {
    let player = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = player.file(b"f");
    player
        .write(&inode, 0, &vec![5; 3 * SECTOR as usize])
        .unwrap();
    let MappingKind::Data { logical } = player
        .fs
        .mappings()
        .find(&inode, FileOffset::new(0), Bytes::new(1))
        .unwrap()
        .kind
    else {
        panic!();
    };
    let end = logical.checked_add(Bytes::new(1 << 40)).unwrap();
    let sums = player
        .fs
        .data()
        .checksums(&inode, logical, Bytes::new(SECTOR))
        .unwrap()
        .unwrap();
    assert!(sums.get(0).is_some() && sums.get(1).is_none());
    let sums = player
        .fs
        .data()
        .checksums(&inode, end, Bytes::new(2 * SECTOR))
        .unwrap()
        .unwrap();
    assert!(sums.get(0).is_none() && sums.get(1).is_none());
}

/// Writes of one file and of several that are finished at the same time.
#[test]
fn writes_end_at_the_same_time() {
    let player = Files::mount(tools::mkfs(512 * MIB, &["-n", "4096"]));
    let inodes: std::vec::Vec<_> = (0..3)
        .map(|n| player.file(format!("f{n}").as_bytes()))
        .collect();
    let shared = &player;
    std::thread::scope(|scope| {
        for task in 0..4_u64 {
            let inodes = &inodes;
            scope.spawn(move || {
                for n in 0..120_u64 {
                    let at = ((n * 7919) % 120 * 4 + task) * SECTOR;
                    let data = vec![(task * 50 + n % 50) as u8; SECTOR as usize];
                    let inode = &inodes[(n % 3) as usize];
                    shared.write_sectors(inode, at, &data, at + SECTOR).unwrap();
                    if n % 40 == 39 {
                        shared.txns().commit().unwrap();
                    }
                }
            });
        }
    });
    let total: u64 = inodes
        .iter()
        .map(|inode| inode.attributes().nbytes.get())
        .sum();
    assert_eq!(total, 480 * SECTOR);
    drop(inodes);
    tools::check_with(&player.unmount(), &["--check-data-csum"]).unwrap();
}

/// Where the sectors of data that goes are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Going {
    InFront,
    Between,
}

/// Says that it is done when it is dropped.
struct Ending<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Checksums of data that stays are found at every moment, while those in the same item go.
fn checksums_can_always_be_read(going: Going) {
    const SECTORS: u64 = 600;
    let player = Files::mount(tools::mkfs(512 * MIB, &["-n", "4096"]));
    let (stays, goes) = (player.file(b"stays"), player.file(b"goes"));
    let write = |inode: &Inode, at: u64, byte: u64| {
        let data = vec![byte as u8; SECTOR as usize];
        player.write_sectors(inode, at, &data, at + SECTOR).unwrap();
    };
    for n in 0..SECTORS {
        write(&goes, n * SECTOR, n);
        if going == Going::Between {
            write(&stays, n * SECTOR, n);
        }
    }
    for n in (0..SECTORS / 2).filter(|_| going == Going::InFront) {
        write(&stays, n * SECTOR, n);
    }
    player.txns().commit().unwrap();
    let count = stays.attributes().size.get() / SECTOR;
    let places: std::vec::Vec<_> = (0..count)
        .map(|n| {
            let at = FileOffset::new(n * SECTOR);
            match player
                .fs
                .mappings()
                .find(&stays, at, Bytes::new(1))
                .unwrap()
                .kind
            {
                MappingKind::Data { logical } => logical,
                other => panic!("{other:?} in sector {n}"),
            }
        })
        .collect();
    let sum = |n: u64| {
        let sums = player
            .fs
            .data()
            .checksums(&stays, places[n as usize], Bytes::new(SECTOR));
        sums.unwrap().unwrap().get(0).map(<[u8]>::to_vec)
    };
    let wanted: std::vec::Vec<_> = (0..count).map(|n| sum(n).unwrap()).collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (sum, wanted, done) = (&sum, &wanted, &done);
        let read = move |first| {
            for n in (first..count).cycle() {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                assert_eq!(sum(n).as_ref(), wanted.get(n as usize), "sector {n}");
            }
        };
        // Who reads ends with who writes, however that ends.
        let _end = Ending(done);
        // Many, so that one of them waits for each leaf.
        for reader in 0..8 {
            scope.spawn(move || read(reader * count / 8));
        }
        for n in 0..SECTORS {
            write(&goes, n * SECTOR, 3);
            if n % 20 == 19 {
                player.txns().commit().unwrap();
            }
        }
    });
    drop((stays, goes));
    tools::check_with(&player.unmount(), &["--check-data-csum"]).unwrap();
}

#[test]
fn checksums_behind_others_that_go_can_always_be_read() {
    checksums_can_always_be_read(Going::InFront);
}

#[test]
fn checksums_among_others_that_go_can_always_be_read() {
    checksums_can_always_be_read(Going::Between);
}
