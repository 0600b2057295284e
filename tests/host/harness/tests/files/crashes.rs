// SPDX-License-Identifier: GPL-2.0
//! Power cuts: what a commit made durable is there, and orphans go at the next mount.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset, Key, Kind, ObjectId};
use engine::fs::{MappingKind, New};
use engine::txn::Units;
use harness::mount::{FILE, NOW};
use harness::random::Random;
use harness::tools;
use kernel::prelude::*;

const MIB: u64 = 1 << 20;

fn cut(player: Files, seed: u64) -> Files {
    let image = player.mounted.devices[0].after_power_cut(&mut Random::new(seed));
    drop(player);
    tools::check(&image).unwrap();
    Files::mount(image)
}

fn orphans(player: &Files) -> usize {
    let first = Key::new(ObjectId::ORPHAN.get(), Kind::ORPHAN_ITEM, 0);
    let last = Key::new(ObjectId::ORPHAN.get(), Kind::ORPHAN_ITEM, u64::MAX);
    let mut count = 0;
    let each = |_, _: &[u8]| {
        count += 1;
        Ok(std::ops::ControlFlow::Continue(()))
    };
    player.top.tree().scan(first..=last, each).unwrap();
    count
}

#[test]
fn an_open_file_without_a_name_goes_after_a_crash() {
    let player = Files::mount(tools::mkfs(256 * MIB, &[]));
    let root = player.root.clone();
    let inode = player.file(b"f");
    player
        .write(&inode, 0, &vec![3; 300 * SECTOR as usize])
        .unwrap();
    player.fs.names().unlink(&root, b"f", &inode, NOW).unwrap();
    let unnamed = New {
        mode: 0o100600,
        ..FILE
    };
    let unnamed = player.fs.names().create_unnamed(&root, &unnamed).unwrap();
    // It can still be read and written.
    player.write(&inode, 0, &vec![4; SECTOR as usize]).unwrap();
    assert_eq!(player.read(&inode, 0, 2).unwrap(), [4, 4]);
    player.txns().commit().unwrap();
    assert_eq!(orphans(&player), 2);
    let numbers = [inode.number(), unnamed.number()];
    drop((root, inode, unnamed));
    let player = cut(player, 1);
    for number in numbers {
        assert_eq!(
            player.fs.inodes().get(&player.top, number).err(),
            Some(ESTALE)
        );
    }
    assert_eq!(orphans(&player), 0);
    player.txns().commit().unwrap();
    assert_eq!(player.txns().space().statistics().data.used, Bytes::ZERO);
    tools::check(&player.unmount()).unwrap();
}

/// Old kernels left such notes: of a truncate, or of an inode that had the number before. What is behind the end stays.
#[test]
fn a_note_of_a_file_that_has_a_name_goes_alone() {
    let player = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = player.file(b"f");
    player.write(&inode, 0, &[3; SECTOR as usize]).unwrap();
    let space = player.fs.file_space();
    let behind = FileOffset::new(8 * SECTOR);
    space
        .preallocate(&inode, behind, Bytes::new(4 * SECTOR), None, NOW)
        .unwrap();
    let number = inode.number();
    let key = Key::new(ObjectId::ORPHAN.get(), Kind::ORPHAN_ITEM, number.get());
    let handle = player.txns().start(Units::inserts(1)).unwrap();
    player.top.tree().insert(&handle, &key, &[]).unwrap();
    drop((handle, inode));
    player.txns().commit().unwrap();
    assert_eq!(orphans(&player), 1);
    let player = cut(player, 1);
    assert_eq!(orphans(&player), 0);
    let inode = player.fs.inodes().get(&player.top, number).unwrap();
    assert_eq!(inode.attributes().nbytes, Bytes::new(5 * SECTOR));
    let piece = player
        .fs
        .mappings()
        .find(&inode, behind, Bytes::new(SECTOR))
        .unwrap();
    assert!(matches!(piece.kind, MappingKind::Prealloc { .. }));
    drop(inode);
    tools::check(&player.unmount()).unwrap();
}

#[test]
fn an_unnamed_file_gets_a_name() {
    let player = Files::mount(tools::mkfs(256 * MIB, &[]));
    let root = player.root.clone();
    let new = New {
        mode: 0o100600,
        ..FILE
    };
    let inode = player.fs.names().create_unnamed(&root, &new).unwrap();
    player
        .fs
        .names()
        .link(&root, b"named", &inode, NOW)
        .unwrap();
    assert_eq!((orphans(&player), inode.attributes().nlink), (0, 1));
    assert_eq!(player.fs.inodes().evict(&inode), Err(EINVAL));
    drop((inode, root));
    tools::check(&player.unmount()).unwrap();
}

/// Whatever the cut finds, the file ends between the old and the new size, and what is left is as it was.
#[test]
fn a_truncate_is_cut() {
    for options in [&[][..], &["-O", "^no-holes"]] {
        let player = Files::mount(tools::mkfs(256 * MIB, options));
        let inode = player.file(b"f");
        for n in 0..600 {
            player
                .write(&inode, n * SECTOR, &[n as u8; SECTOR as usize])
                .unwrap();
        }
        player.txns().commit().unwrap();
        let number = inode.number();
        // Commits while the truncate goes on: each leaves a state that a crash may find.
        let states = std::sync::Mutex::new(std::vec::Vec::new());
        let done = std::sync::atomic::AtomicBool::new(false);
        let shared = &player;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    shared.txns().commit().unwrap();
                    states.lock().unwrap().push(shared.image());
                }
            });
            shared
                .fs
                .file_space()
                .truncate(&inode, Bytes::new(10 * SECTOR), NOW)
                .unwrap();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        drop(inode);
        drop(player);
        for image in states.into_inner().unwrap() {
            tools::check(&image).unwrap();
            let player = Files::mount(image);
            let inode = player.fs.inodes().get(&player.top, number).unwrap();
            let size = inode.attributes().size.get();
            assert!((10 * SECTOR..=600 * SECTOR).contains(&size) && size % SECTOR == 0);
            for n in [0, 5, 9, size / SECTOR - 1] {
                assert_eq!(player.read(&inode, n * SECTOR, 1).unwrap(), [n as u8]);
            }
            let behind = player
                .fs
                .mappings()
                .find(&inode, FileOffset::new(size), Bytes::new(1 << 30))
                .unwrap();
            assert!(
                matches!(behind.kind, engine::fs::MappingKind::Hole)
                    && behind.len == Bytes::new(1 << 30)
            );
        }
    }
}

/// An fsync of a file keeps it and what was done before; the rest may be lost, but not half.
#[test]
fn what_was_synced_is_there() {
    for seed in 0..3 {
        let player = Files::mount(tools::mkfs(256 * MIB, &[]));
        let root = player.root.clone();
        let mut kept = std::vec::Vec::new();
        for n in 0..20_u64 {
            let name = format!("f{n}").into_bytes();
            let inode = player.file(&name);
            player
                .write(&inode, 0, &vec![n as u8; 5000 * (n as usize + 1)])
                .unwrap();
            if n == 12 + seed {
                player.fs.sync(&inode).unwrap();
                kept = (0..=n).collect();
            }
        }
        drop(root);
        let player = cut(player, seed);
        let root = player.root.clone();
        let entries = player.entries(&root).unwrap();
        for n in kept {
            let number = entries[format!("f{n}").as_bytes()];
            let inode = player.fs.inodes().get(&player.top, number).unwrap();
            assert_eq!(inode.attributes().size, Bytes::new(5000 * (n + 1)));
            let all = player.read(&inode, 0, 5000 * (n + 1)).unwrap();
            assert!(all.iter().all(|byte| *byte == n as u8));
        }
    }
}
