// SPDX-License-Identifier: GPL-2.0
//! The rules of names: what is refused, and what many links do.

use crate::files::Files;
use crate::subvolumes::{named, TOPMOST};
use engine::disk::{crc32c, name_hash, Bytes, InodeItem, Key, Kind, ObjectId};
use engine::fs::{Inode, New, NewKind, Rename, RenameMode, Side, Target, XattrMode};
use engine::txn::Units;
use harness::mount::{DIRECTORY, FILE, NOW};
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

fn player() -> (Files, Arc<Inode>) {
    let player = Files::mount(tools::mkfs(256 * MIB, &[]));
    let root = player.root.clone();
    (player, root)
}

fn finish(player: Files) {
    tools::check(&player.unmount()).unwrap();
}

#[test]
fn names_are_checked() {
    let (player, root) = player();
    let fs = &player.fs;
    assert_eq!(
        fs.names().create(&root, &[b'x'; 256], &FILE).err(),
        Some(ENAMETOOLONG)
    );
    assert_eq!(fs.names().lookup(&root, &[b'x'; 256]), Err(ENAMETOOLONG));
    assert_eq!(fs.names().create(&root, b"", &FILE).err(), Some(EINVAL));
    let inode = fs.names().create(&root, &[b'x'; 255], &FILE).unwrap();
    assert_eq!(
        fs.names().create(&root, &[b'x'; 255], &FILE).err(),
        Some(EEXIST)
    );
    assert_eq!(
        fs.names().link(&root, &[b'x'; 255], &inode, NOW),
        Err(EEXIST)
    );
    assert_eq!(fs.names().unlink(&root, b"other", &inode, NOW), Err(ENOENT));
    assert_eq!(root.attributes().size, Bytes::new(510));
    let dir = fs.names().create(&root, b"dir", &DIRECTORY).unwrap();
    assert_eq!(fs.names().link(&root, b"dir2", &dir, NOW), Err(EPERM));
    fs.names().create(&dir, b"a", &FILE).unwrap();
    assert_eq!(fs.names().rmdir(&root, b"dir", &dir, NOW), Err(ENOTEMPTY));
    assert_eq!(
        fs.names().rmdir(&root, &[b'x'; 255], &inode, NOW),
        Err(ENOTDIR)
    );
    drop((inode, dir, root));
    finish(player);
}

#[test]
fn a_directory_is_replaced_only_when_empty() {
    let (player, root) = player();
    let fs = &player.fs;
    let a = fs.names().create(&root, b"a", &DIRECTORY).unwrap();
    let b = fs.names().create(&root, b"b", &DIRECTORY).unwrap();
    let inner = fs.names().create(&b, b"inner", &FILE).unwrap();
    let rename = |moved, from: &'static [u8], to: &'static [u8], replaced| {
        fs.names().rename(&Rename {
            from: Side {
                dir: &root,
                name: from,
            },
            to: Side {
                dir: &root,
                name: to,
            },
            moved,
            mode: RenameMode::Move {
                replaced,
                whiteout: None,
            },
            now: &NOW,
        })
    };
    assert_eq!(rename(&a, b"a", b"b", Some(&b)), Err(ENOTEMPTY));
    assert_eq!(rename(&a, b"a", b"b", None), Err(EEXIST));
    fs.names().unlink(&b, b"inner", &inner, NOW).unwrap();
    fs.inodes().evict(&inner).unwrap();
    rename(&a, b"a", b"b", Some(&b)).unwrap();
    assert_eq!(b.attributes().nlink, 0);
    fs.inodes().evict(&b).unwrap();
    assert_eq!(fs.inodes().get(&player.top, b.number()).err(), Some(ESTALE));
    assert_eq!(fs.names().lookup(&root, b"a"), Ok(None));
    assert!(
        matches!(fs.names().lookup(&root, b"b"), Ok(Some(Target::Inode(n, _))) if n == a.number())
    );
    drop((a, b, inner, root));
    finish(player);
}

/// More names in one directory than an INODE_REF holds: they go on as INODE_EXTREF.
#[test]
fn many_links() {
    let (player, root) = player();
    let fs = &player.fs;
    let inode = fs.names().create(&root, b"first", &FILE).unwrap();
    let name = |n: u32| format!("{n:0>200}").into_bytes();
    for n in 0..300 {
        fs.names().link(&root, &name(n), &inode, NOW).unwrap();
    }
    assert_eq!(inode.attributes().nlink, 301);
    player.txns().commit().unwrap();
    tools::check(&player.image()).unwrap();
    for n in (0..300).rev() {
        fs.names().unlink(&root, &name(n), &inode, NOW).unwrap();
    }
    assert_eq!(fs.inodes().parent(&inode), Ok(Some(ObjectId::new(256))));
    fs.names().unlink(&root, b"first", &inode, NOW).unwrap();
    fs.inodes().evict(&inode).unwrap();
    drop((inode, root));
    finish(player);
}

#[test]
fn link_limits_without_extended_references() {
    let image = tools::mkfs(256 * MIB, &["-O", "^extref", "-n", "4096"]);
    let player = Files::mount(image);
    let root = player.root.clone();
    let inode = player.fs.names().create(&root, b"first", &FILE).unwrap();
    let name = |n: u32| format!("{n:0>200}").into_bytes();
    let made = (0..).take_while(
        |n| match player.fs.names().link(&root, &name(*n), &inode, NOW) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error, EMLINK);
                false
            }
        },
    );
    assert_eq!(made.count() as u32 + 1, inode.attributes().nlink);
    // No room for a short name either. Nor for that of a subvolume that it is exchanged with, of which nothing is noted.
    for n in 0..100 {
        let _ = player.fs.names().link(&root, &[b'a' + n], &inode, NOW);
    }
    let id = player
        .fs
        .subvolumes()
        .create(&named(&player, b"subvolume", 1), &TOPMOST)
        .unwrap();
    let subvolume = player.fs.subvolumes().get(id).unwrap();
    let top = player.fs.inodes().root(&subvolume).unwrap();
    let side = |name| Side { dir: &root, name };
    let exchange = Rename {
        from: side(b"subvolume"),
        to: side(b"first"),
        moved: &top,
        mode: RenameMode::Exchange(&inode),
        now: &NOW,
    };
    assert_eq!(player.fs.names().rename(&exchange), Err(EMLINK));
    player.txns().commit().unwrap();
    drop((inode, root, top, subvolume));
    finish(player);
}

#[test]
fn attributes_of_all_sizes() {
    let (player, root) = player();
    let fs = &player.fs;
    let inode = fs.names().create(&root, b"f", &FILE).unwrap();
    let longest = 16384 - 101 - 25 - 30;
    let set = |name: &[u8], len: usize, mode| {
        fs.inodes()
            .set_xattr(&inode, name, &vec![7; len], mode, NOW)
    };
    for len in [0, 1, 100, 4000, longest - 6, 3, longest - 6, 200] {
        set(b"user.a", len, XattrMode::Any).unwrap();
        assert_eq!(
            fs.inodes()
                .get_xattr(&inode, b"user.a")
                .unwrap()
                .unwrap()
                .len(),
            len
        );
    }
    assert_eq!(set(b"user.a", longest - 5, XattrMode::Any), Err(ENOSPC));
    assert_eq!(set(b"user.a", 1, XattrMode::Create), Err(EEXIST));
    assert_eq!(set(b"user.b", 1, XattrMode::Replace), Err(ENODATA));
    assert_eq!(
        fs.inodes().remove_xattr(&inode, b"user.b", NOW),
        Err(ENODATA)
    );
    assert_eq!(
        fs.inodes()
            .get_xattr(&inode, b"user.b")
            .unwrap()
            .map(|v| v.len()),
        None
    );
    set(b"user.b", 5, XattrMode::Create).unwrap();
    fs.inodes().remove_xattr(&inode, b"user.a", NOW).unwrap();
    let born = [(&b"user.x"[..], &b"1"[..]), (b"security.y", &[1; 3000])];
    let born = fs
        .names()
        .create(
            &root,
            b"g",
            &New {
                xattrs: &born,
                ..FILE
            },
        )
        .unwrap();
    assert_eq!(
        fs.inodes()
            .get_xattr(&born, b"security.y")
            .unwrap()
            .unwrap()
            .len(),
        3000
    );
    drop((inode, born, root));
    finish(player);
}

#[test]
fn symbolic_links() {
    let (player, root) = player();
    let fs = &player.fs;
    let long = vec![b'l'; 4095];
    for (name, target) in [(&b"s"[..], &b"to"[..]), (b"l", &long)] {
        let kind = NewKind::Symlink(target);
        let inode = fs
            .names()
            .create(
                &root,
                name,
                &New {
                    kind,
                    mode: 0o120777,
                    ..FILE
                },
            )
            .unwrap();
        assert_eq!(&fs.inodes().read_link(&inode).unwrap()[..], target);
    }
    let long = vec![b'l'; 4096];
    let new = New {
        kind: NewKind::Symlink(&long),
        mode: 0o120777,
        ..FILE
    };
    assert_eq!(
        fs.names().create(&root, b"t", &new).err(),
        Some(ENAMETOOLONG)
    );
    let wrong = New {
        mode: 0o040755,
        ..FILE
    };
    assert_eq!(fs.names().create(&root, b"w", &wrong).err(), Some(EINVAL));
    drop(root);
    finish(player);
}

#[test]
fn directories_are_read_from_anywhere() {
    let (player, root) = player();
    let fs = &player.fs;
    for n in 0..400 {
        fs.names()
            .create(&root, format!("{n:0>60}").as_bytes(), &FILE)
            .unwrap();
    }
    let all = player.entries(&root).unwrap();
    assert_eq!(all.len(), 400);
    let mut positions = Vec::new();
    let mut position = 0;
    loop {
        let mut seen = 0;
        fs.names()
            .read_dir(&root, position, &mut |entry| {
                positions.push(entry.position);
                position = entry.position + 1;
                seen += 1;
                Ok(if seen == 7 {
                    std::ops::ControlFlow::Break(())
                } else {
                    std::ops::ControlFlow::Continue(())
                })
            })
            .unwrap();
        if seen < 7 {
            break;
        }
    }
    assert_eq!(positions.len(), 400);
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
    drop(root);
    finish(player);
}

/// Names that all have the hash of `like`: a chosen prefix, and four bytes that bend the checksum.
fn forged(like: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
    let mut state = name_hash(like) as u32;
    for _ in 0..4 {
        let step = |byte: &u8| crc32c(0, &[*byte]) >> 24 == state >> 24;
        let byte = (0..=255_u8).find(step)?;
        state = (state ^ crc32c(0, &[byte])) << 8 | u32::from(byte);
    }
    let suffix = (state ^ crc32c(!1, prefix)).to_le_bytes();
    let name = [prefix, &suffix].concat();
    assert_eq!(name_hash(&name), name_hash(like));
    (!suffix.contains(&0) && !suffix.contains(&b'/')).then_some(name)
}

/// An item holds only so many names of one hash: the next is refused, and nothing else goes wrong.
#[test]
fn too_many_names_of_one_hash() {
    let (player, root) = player();
    let fs = &player.fs;
    let names: Vec<Vec<u8>> = (0..)
        .filter_map(|n| forged(b"victim", format!("{n:0>190}").as_bytes()))
        .take(90)
        .collect();
    let mut made = Vec::new();
    for name in &names {
        match fs.names().create(&root, name, &FILE) {
            Ok(inode) => made.push((name, inode)),
            Err(error) => {
                assert_eq!(error, EOVERFLOW);
                break;
            }
        }
    }
    assert_eq!(made.len(), (16384 - 101 - 25) / (30 + 194));
    let other = fs.names().create(&root, b"other", &FILE).unwrap();
    let refused = &names[made.len()];
    assert_eq!(fs.names().link(&root, refused, &other, NOW), Err(EOVERFLOW));
    let rename = |to| {
        fs.names().rename(&Rename {
            from: Side {
                dir: &root,
                name: b"other",
            },
            to: Side {
                dir: &root,
                name: to,
            },
            moved: &other,
            mode: RenameMode::Move {
                replaced: None,
                whiteout: None,
            },
            now: &NOW,
        })
    };
    assert_eq!(rename(refused), Err(EOVERFLOW));
    assert_eq!(player.entries(&root).unwrap().len(), made.len() + 1);
    player.txns().commit().unwrap();
    tools::check(&player.image()).unwrap();
    for (name, inode) in &made[10..] {
        fs.names().unlink(&root, name, inode, NOW).unwrap();
        fs.inodes().evict(inode).unwrap();
    }
    rename(refused).unwrap();
    assert_eq!(player.entries(&root).unwrap().len(), 11);
    drop((made, other, root));
    finish(player);
}

/// No entry can be made behind it, but those that are there are shown.
#[test]
fn a_directory_whose_last_position_is_taken_can_be_read() {
    let player = Files::mount(tools::mkfs(256 * MIB, &[]));
    let file = player.file(b"f");
    let index = |offset| Key::new(player.root.number().get(), Kind::DIR_INDEX, offset);
    let tree = player.top.tree();
    let bytes = tree.get(&index(2), |bytes| bytes.to_vec()).unwrap();
    let handle = player.txns().start(Units::inserts(2)).unwrap();
    tree.remove(&handle, &index(2)).unwrap();
    tree.insert(&handle, &index(u64::MAX), &bytes.unwrap())
        .unwrap();
    drop((handle, file));
    let player = Files::mount(player.unmount());
    let names = player.fs.names();
    assert_eq!(names.dir_end(&player.root), Ok(u64::MAX));
    assert!(player
        .entries(&player.root)
        .unwrap()
        .contains_key(&b"f"[..]));
    let made = names.create(&player.root, b"g", &FILE);
    assert_eq!(made.err(), Some(ENOSPC));
}

/// Old drivers let it fall below zero. C takes a directory for empty by its size alone.
#[test]
fn a_directory_with_names_has_a_size_above_zero() {
    let below_zero = |by: u64| {
        let player = Files::mount(tools::mkfs(256 * MIB, &[]));
        let dir = player.fs.names().create(&player.root, b"dir", &DIRECTORY);
        let dir = dir.unwrap();
        player.fs.names().create(&dir, b"old", &FILE).unwrap();
        let key = Key::new(dir.number().get(), Kind::INODE_ITEM, 0);
        let tree = player.top.tree();
        let handle = player.txns().start(Units::updates(1)).unwrap();
        let updated = tree.update(&handle, &key, |bytes| {
            let mut item = InodeItem::parse(bytes).unwrap();
            item.size = Bytes::new(by.wrapping_neg());
            item.write_to(bytes).unwrap();
        });
        updated.unwrap();
        drop((handle, dir));
        (Files::mount(player.unmount()), key)
    };
    let size = |player: &Files, key: &Key| {
        let read = |bytes: &[u8]| InodeItem::parse(bytes).unwrap().size;
        player.top.tree().get(key, read).unwrap().unwrap()
    };
    for by in [1, 6, 1000, 1 << 63] {
        let (player, key) = below_zero(by);
        let names = player.fs.names();
        let (number, top) = (key.objectid, &player.top);
        let dir = player.fs.inodes().get(top, number).unwrap();
        names.create(&dir, b"0123456789", &FILE).unwrap();
        assert_eq!(size(&player, &key), Bytes::new(20), "{by}");
        names.create(&dir, b"a", &FILE).unwrap();
        assert_eq!(size(&player, &key), Bytes::new(22), "{by}");
    }
    // Nor does a name that goes leave it there.
    let (player, key) = below_zero(1000);
    let dir = player.fs.inodes().get(&player.top, key.objectid).unwrap();
    let names = player.fs.names();
    let Some(Target::Inode(old, _)) = names.lookup(&dir, b"old").unwrap() else {
        panic!("no file");
    };
    let old = player.fs.inodes().get(&player.top, old).unwrap();
    names.unlink(&dir, b"old", &old, NOW).unwrap();
    assert_eq!(size(&player, &key), Bytes::ZERO);
}
