// SPDX-License-Identifier: GPL-2.0
//! What users ask of any file system besides names and data: ways back to a name, flags, properties, the label, trimming.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, InodeFlags, Logical, ObjectId};
use engine::fs::{
    Attributes, Changes, Inode, New, NewKind, NewSubvolume, PropertyChange, Time, Times, Topmost,
    XattrMode,
};
use engine::txn::Trim;
use harness::mount::{DIRECTORY, FILE, NOW};
use harness::random::Random;
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const LATER: Time = Time { sec: 2, nsec: 0 };

fn player() -> (Files, Arc<Inode>) {
    let player = Files::mount(tools::mkfs(256 * MIB, &[]));
    let root = player.root.clone();
    (player, root)
}

fn finish(player: Files) {
    tools::check(&player.unmount()).unwrap();
}

/// A name that takes much room.
fn long(number: usize) -> Vec<u8> {
    format!("{number:0200}").into_bytes()
}

#[test]
fn a_name_is_found_by_its_inode() {
    let (player, root) = player();
    let names = player.fs.names();
    let dir = names.create(&root, b"dir", &DIRECTORY).unwrap();
    let file = player.file(b"first");
    assert_eq!(&names.name_in(&root, &file).unwrap()[..], b"first");
    assert_eq!(&names.name_in(&root, &dir).unwrap()[..], b"dir");
    assert_eq!(names.name_in(&dir, &file).err(), Some(ENOENT));
    assert_eq!(names.name_in(&dir, &dir).err(), Some(ENOENT));
    // More than fit beside one another: those that are left when the first go stand in items of their own.
    for number in 0..300 {
        names.link(&root, &long(number), &file, NOW).unwrap();
    }
    names.link(&dir, b"elsewhere", &file, NOW).unwrap();
    names.unlink(&root, b"first", &file, NOW).unwrap();
    for number in 0..299 {
        names.unlink(&root, &long(number), &file, NOW).unwrap();
        let found = names.name_in(&root, &file).unwrap();
        assert_eq!(found.len(), 200);
        assert!(names.lookup(&root, &found).unwrap().is_some());
    }
    assert_eq!(&names.name_in(&root, &file).unwrap()[..], &long(299)[..]);
    assert_eq!(&names.name_in(&dir, &file).unwrap()[..], b"elsewhere");
    names.unlink(&root, &long(299), &file, NOW).unwrap();
    assert_eq!(names.name_in(&root, &file).err(), Some(ENOENT));
    finish(player);
}

#[test]
fn a_subvolume_is_found_by_its_place() {
    let (player, root) = player();
    let names = player.fs.names();
    let dir = names.create(&root, b"dir", &DIRECTORY).unwrap();
    let new = NewSubvolume {
        dir: &dir,
        name: b"one",
        uuid: engine::disk::Uuid([7; 16]),
        now: NOW,
    };
    let topmost = Topmost {
        mode: 0o040755,
        uid: 0,
        gid: 0,
    };
    let subvolumes = player.fs.subvolumes();
    let id = subvolumes.create(&new, &topmost).unwrap();
    let place = subvolumes.place_of(id).unwrap();
    assert_eq!(
        (place.subvolume, place.dir),
        (ObjectId::FS_TREE, dir.number())
    );
    assert_eq!(&place.name[..], b"one");
    assert_eq!(subvolumes.place_of(ObjectId::FS_TREE).err(), Some(ENOENT));
    assert_eq!(subvolumes.place_of(ObjectId::new(1000)).err(), Some(ENOENT));
    let subvolume = subvolumes.get(id).unwrap();
    let top = player.fs.inodes().root(&subvolume).unwrap();
    assert_eq!(&names.name_in(&dir, &top).unwrap()[..], b"one");
    assert_eq!(names.name_in(&root, &top).err(), Some(ENOENT));
    // The same numbers in another tree are other inodes.
    assert_eq!(names.name_in(&top, &dir).err(), Some(ENOENT));
    drop((top, subvolume));
    finish(player);
}

/// Whenever the power is cut, the mode is that of the ACL that is there.
#[test]
fn an_acl_and_its_mode_go_together() {
    const CHANGES: u64 = 2000;
    let (player, root) = player();
    let inodes = player.fs.inodes();
    let file = player.fs.names().create(&root, b"file", &FILE).unwrap();
    let set = |n: u32| {
        let (value, mode) = ([n as u8], 0o100600 | n);
        let acl = (n > 0).then_some(&value[..]);
        inodes
            .set_acl(&file, b"system.posix_acl_access", acl, |_| Changes {
                mode: Some(mode),
                ..Changes::default()
            })
            .unwrap();
    };
    set(0);
    player.txns().commit().unwrap();
    let changes = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..CHANGES {
                set((n % 8) as u32);
                changes.store(n + 1, Ordering::Relaxed);
            }
        });
        let mut seed = 0;
        while changes.load(Ordering::Relaxed) < CHANGES {
            seed += 1;
            player.txns().commit().unwrap();
            let cut = player.mounted.devices[0].after_power_cut(&mut Random::new(seed));
            let after = Files::mount(cut);
            let inode = after.fs.inodes().get(&after.top, file.number()).unwrap();
            let acl = after
                .fs
                .inodes()
                .get_xattr(&inode, b"system.posix_acl_access");
            let n = acl.unwrap().map_or(0, |acl| u32::from(acl[0]));
            assert_eq!(inode.attributes().mode, 0o100600 | n);
        }
    });
    let too_long = [0; 20000];
    let refused = inodes.set_acl(&file, b"system.posix_acl_access", Some(&too_long), |_| {
        panic!("changed though it is refused")
    });
    assert_eq!(refused, Err(ENOSPC));
    drop(file);
    drop(root);
    finish(player);
}

#[test]
fn flags_and_the_property_go_together() {
    let (player, root) = player();
    let (names, inodes) = (player.fs.names(), player.fs.inodes());
    let property = |inode: &Inode| {
        let value = inodes.get_xattr(inode, b"btrfs.compression").unwrap();
        value.map(|value| value.to_vec())
    };
    let set = |inode: &Inode, value: Option<&[u8]>, mode| {
        inodes.set_property(inode, b"btrfs.compression", value, mode, LATER)
    };
    let dir = names.create(&root, b"dir", &DIRECTORY).unwrap();
    let (none, compress) = (InodeFlags::NONE, InodeFlags::COMPRESS);
    let both = compress.with(InodeFlags::NODUMP);
    inodes
        .set_flags(&dir, none, both, PropertyChange::Named, LATER)
        .unwrap();
    assert_eq!(property(&dir), Some(b"zlib".to_vec()));
    assert_eq!(dir.attributes().flags, both);
    assert_eq!(dir.attributes().ctime, LATER);
    // What it names stays; its level is not told.
    set(&dir, Some(b"zstd:9"), XattrMode::Replace).unwrap();
    inodes
        .set_flags(
            &dir,
            InodeFlags::NODUMP,
            compress,
            PropertyChange::Named,
            LATER,
        )
        .unwrap();
    assert_eq!(property(&dir), Some(b"zstd".to_vec()));
    assert_eq!(dir.attributes().flags, compress);
    // Handed down, but not to what has no data.
    let link = New {
        kind: NewKind::Symlink(b"to"),
        mode: 0o120777,
        ..FILE
    };
    let file = names.create(&dir, b"file", &FILE).unwrap();
    let unnamed = names.create_unnamed(&dir, &FILE).unwrap();
    let sub = names.create(&dir, b"sub", &DIRECTORY).unwrap();
    let link = names.create(&dir, b"link", &link).unwrap();
    for inode in [&file, &unnamed, &sub] {
        assert_eq!(property(inode), Some(b"zstd".to_vec()));
        assert_eq!(inode.attributes().flags, compress);
    }
    assert_eq!(property(&link), None);
    inodes.evict(&unnamed).unwrap();
    // By the property alone.
    for wrong in [&b"gzip"[..], b"nothing", b"Z"] {
        assert_eq!(set(&file, Some(wrong), XattrMode::Any), Err(EINVAL));
    }
    set(&file, Some(b"none"), XattrMode::Any).unwrap();
    assert_eq!(file.attributes().flags, InodeFlags::NOCOMPRESS);
    assert_eq!(set(&file, Some(b"lzo"), XattrMode::Create), Err(EEXIST));
    set(&file, None, XattrMode::Replace).unwrap();
    assert_eq!(file.attributes().flags, none);
    assert_eq!(set(&file, None, XattrMode::Replace), Err(ENODATA));
    set(&file, None, XattrMode::Any).unwrap();
    assert_eq!(
        inodes.set_property(&file, b"btrfs.other", None, XattrMode::Any, NOW),
        Err(EINVAL)
    );
    // What is overwritten in place is not compressed.
    let nocow = InodeFlags::NODATACOW.with(InodeFlags::NODATASUM);
    inodes
        .set_flags(&file, none, nocow, PropertyChange::Kept, LATER)
        .unwrap();
    assert_eq!(set(&file, Some(b"lzo"), XattrMode::Any), Err(EINVAL));
    drop((dir, file, sub, link));
    finish(player);
}

#[test]
fn a_label_is_durable_on_return() {
    let (player, root) = player();
    drop(root);
    let label = |player: &Files| {
        let label = player
            .mounted
            .volume
            .superblocks()
            .read(|bytes| bytes.label().to_vec());
        String::from_utf8(label).unwrap()
    };
    assert_eq!(label(&player), "");
    player.fs.set_label(&[b'x'; 255]).unwrap();
    player.fs.set_label(b"short").unwrap();
    let image = player.mounted.devices[0].after_power_cut(&mut Random::new(3));
    drop(player);
    tools::check(&image).unwrap();
    let player = Files::mount(image);
    assert_eq!(label(&player), "short");
    finish(player);
}

#[test]
fn trimming_takes_only_what_is_unused() {
    let (player, root) = player();
    let kept = player.file(b"kept");
    let data: Vec<u8> = (0..3 * MIB).map(|n| (n / 4093) as u8).collect();
    player.write(&kept, 0, &data).unwrap();
    let gone = player.file(b"gone");
    player.write(&gone, 0, &vec![9; 20 * MIB as usize]).unwrap();
    player.txns().commit().unwrap();
    player
        .fs
        .names()
        .unlink(&root, b"gone", &gone, NOW)
        .unwrap();
    player.fs.inodes().evict(&gone).unwrap();
    let trim_all = |least: u64, go_on: &dyn Fn() -> Result| {
        let mut trim = Trim {
            range: Logical::new(0)..Logical::new(u64::MAX),
            least: Bytes::new(least),
            go_on,
            trimmed: Bytes::ZERO,
        };
        let result = player.txns().trim(&mut trim);
        (result, trim.trimmed.get())
    };
    let trim = |least| {
        let (result, trimmed) = trim_all(least, &|| Ok(()));
        result.unwrap();
        trimmed
    };
    // What the last superblock still leads to is not free.
    let before = trim(SECTOR);
    assert!(before > 128 * MIB, "{before}");
    player.txns().commit().unwrap();
    let after = trim(SECTOR);
    assert!(after >= before + 19 * MIB, "{before} {after}");
    assert!(trim(16 * MIB) <= after);
    assert_eq!(trim(u64::MAX), 0);
    assert_eq!(trim_all(0, &|| Err(EIO)), (Err(EIO), 0));
    assert_eq!(player.read(&kept, 0, 3 * MIB).unwrap(), data);
    // The superblocks are there, all of them, and what they lead to.
    let image = player.mounted.devices[0].after_power_cut(&mut Random::new(1));
    drop((kept, gone, root, player));
    tools::check(&image).unwrap();
    let player = Files::mount(image);
    player.write(&player.file(b"new"), 0, &data).unwrap();
    finish(player);
}

#[test]
fn what_is_noted_is_what_was_shown() {
    let (player, _) = player();
    let file = player.file(b"file");
    let before = file.attributes();
    assert_eq!(file.note_times_by(|| Err(EROFS)).err(), Some(EROFS));
    // A time alone, and a counter that went ahead; a lower one is passed over.
    for (sequence, wanted) in [(7, 7), (3, 7)] {
        let times = Times {
            atime: Some(LATER),
            sequence: Some(sequence),
            ..Times::default()
        };
        file.try_note_times_by(|| Ok(times)).unwrap();
        let noted = file.attributes();
        assert_eq!((noted.atime, noted.ctime), (LATER, before.ctime));
        assert_eq!(noted.sequence, wanted);
    }
    file.show(|attributes| assert_eq!(attributes.sequence, 7));
    let inodes = player.fs.inodes();
    let count_on = |before: &Attributes| Changes {
        ctime: Some(LATER),
        sequence: Some(before.sequence + 1),
        ..Changes::default()
    };
    inodes.set_attributes(&file, count_on).unwrap();
    let kept = file.attributes();
    assert_eq!((kept.sequence, kept.ctime, kept.atime), (8, LATER, LATER));
    let number = file.number();
    drop(file);
    let read = inodes.get(&player.top, number).unwrap().attributes();
    assert_eq!((read.sequence, read.ctime, read.atime), (8, LATER, LATER));
    player.txns().commit().unwrap();
    finish(player);
}
