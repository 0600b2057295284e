// SPDX-License-Identifier: GPL-2.0
//! Extents and tree blocks that several subvolumes share, and extents that were compressed by others.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset, ObjectId, Uuid};
use engine::fs::{Inode, MappingKind, NewSubvolume, Subvolume, Target, Topmost};
use engine::txn::Sharing;
use harness::device::Image;
use harness::history::{Kind as FileKind, Model, Op, Place, ROOT};
use harness::mount::{FILE, NOW};
use harness::punch::PunchHole;
use harness::random::Random;
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::collections::BTreeMap;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// Makes a snapshot of the top level subvolume with an entry in its root directory, and mounts again.
fn snapshot(files: Files, id: u64, name: &str) -> Files {
    let made = files
        .fs
        .subvolumes()
        .snapshot(&files.top, &named(&files, name));
    assert_eq!(made.unwrap(), ObjectId::new(id));
    Files::mount(files.unmount())
}

/// A subvolume to be made in the topmost directory.
fn named<'a>(files: &'a Files, name: &'a str) -> NewSubvolume<'a> {
    let mut uuid = [7; 16];
    for (to, from) in uuid.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    let dir = &files.root;
    NewSubvolume {
        dir,
        name: name.as_bytes(),
        uuid: Uuid(uuid),
        now: NOW,
    }
}

/// An extent is one file's alone until a snapshot has it too, and again when one of both has written over it: at once, and
/// after a commit.
#[test]
fn an_extent_is_told_to_be_shared() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = files.file(b"f");
    for at in [0, 1] {
        files
            .write(&inode, at * SECTOR, &[1; SECTOR as usize])
            .unwrap();
    }
    // Items enough that leaves are not roots.
    for n in 0..300 {
        files.file(format!("other{n}").as_bytes());
    }
    let is_shared = |files: &Files, inode: &Inode, at: u64| {
        let at = FileOffset::new(at * SECTOR);
        let found = files
            .fs
            .mappings()
            .report(inode, at, Bytes::new(SECTOR))
            .unwrap();
        found.sharing == Sharing::Shared
    };
    assert!(!is_shared(&files, &inode, 0), "as it is written");
    files.txns().commit().unwrap();
    assert!(!is_shared(&files, &inode, 0), "after the commit");
    drop(inode);
    let files = snapshot(files, 256, "snapshot");
    let inside = |files: &Files, subvolume: &Subvolume| {
        let root = files.fs.inodes().root(subvolume).unwrap();
        match files.fs.names().lookup(&root, b"f").unwrap() {
            Some(Target::Inode(number, _)) => files.fs.inodes().get(subvolume, number).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let copy = files.fs.subvolumes().get(ObjectId::new(256)).unwrap();
    let (ours, theirs) = (inside(&files, &files.top), inside(&files, &copy));
    for at in [0, 1] {
        assert!(is_shared(&files, &ours, at), "after the snapshot");
        assert!(is_shared(&files, &theirs, at), "in the snapshot");
    }
    files.write(&ours, 0, &[2; SECTOR as usize]).unwrap();
    for _ in 0..2 {
        assert!(!is_shared(&files, &ours, 0), "written over");
        assert!(!is_shared(&files, &theirs, 0), "the other's alone");
        assert!(is_shared(&files, &ours, 1), "the rest");
        assert!(is_shared(&files, &theirs, 1), "the rest in the snapshot");
        files.txns().commit().unwrap();
    }
    drop((ours, theirs, copy));
    tools::check(&files.unmount()).unwrap();
}

/// The engine's own subvolumes hold files, have snapshots, and are found again.
#[test]
fn a_subvolume_is_made() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let topmost = Topmost {
        mode: 0o040750,
        uid: 7,
        gid: 8,
    };
    let subvolumes = files.fs.subvolumes();
    let id = subvolumes.create(&named(&files, "made"), &topmost).unwrap();
    let taken = subvolumes.create(&named(&files, "made"), &topmost);
    assert_eq!(taken.unwrap_err(), EEXIST);
    let made = subvolumes.get(id).unwrap();
    let root = files.fs.inodes().root(&made).unwrap();
    assert_eq!(root.attributes().uid, 7);
    let inode = files.fs.names().create(&root, b"inside", &FILE).unwrap();
    let data = [5; 3 * SECTOR as usize];
    files.write_sectors(&inode, 0, &data, 3 * SECTOR).unwrap();
    let copy = subvolumes.snapshot(&made, &named(&files, "copy")).unwrap();
    files
        .fs
        .file_space()
        .truncate(&inode, Bytes::ZERO, NOW)
        .unwrap();
    drop((inode, root, made));
    let image = files.unmount();
    tools::check_with(&image, &["--check-data-csum"]).unwrap();
    let files = Files::mount(image);
    let contents = |data: &[u8]| BTreeMap::from([(b"inside".to_vec(), data.to_vec())]);
    Side::new(&files, id, contents(&[])).check(&files);
    Side::new(&files, copy, contents(&data)).check(&files);
    assert_eq!(files.fs.subvolumes().path(copy).unwrap()[..], *b"/copy");
}

/// A subvolume and what its files should hold.
struct Side {
    root: Arc<Inode>,
    subvolume: Subvolume,
    contents: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Side {
    fn new(files: &Files, id: ObjectId, contents: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let subvolume = files.fs.subvolumes().get(id).unwrap();
        let root = files.fs.inodes().root(&subvolume).unwrap();
        Self {
            root,
            subvolume,
            contents,
        }
    }

    fn inode(&self, files: &Files, name: &[u8]) -> Arc<Inode> {
        match files.fs.names().lookup(&self.root, name).unwrap() {
            Some(Target::Inode(number, _)) => {
                files.fs.inodes().get(&self.subvolume, number).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    fn check(&self, files: &Files) {
        for (name, contents) in &self.contents {
            let inode = self.inode(files, name);
            assert_eq!(inode.attributes().size, Bytes::from(contents.len()));
            let found = files.read(&inode, 0, contents.len() as u64).unwrap();
            assert!(found == *contents, "{}", name.escape_ascii());
        }
    }

    /// Cuts, overwrites and removes at random.
    fn change(&mut self, files: &Files, random: &mut Random) {
        let names: Vec<Vec<u8>> = self.contents.keys().cloned().collect();
        let name = random.choose(&names).clone();
        let inode = self.inode(files, &name);
        let contents = self.contents.get_mut(&name).unwrap();
        let sectors = contents.len() as u64 / SECTOR;
        let at = random.below(sectors.max(1)) * SECTOR;
        let len = ((1 + random.below(5)) * SECTOR).min(contents.len() as u64 - at);
        match random.below(8) {
            0..=4 if len > 0 => {
                let data = vec![random.next() as u8; len as usize];
                files.write_sectors(&inode, at, &data, at + len).unwrap();
                contents[at as usize..][..len as usize].copy_from_slice(&data);
            }
            5 if len > 0 => {
                files
                    .fs
                    .file_space()
                    .punch_hole(&inode, FileOffset::new(at), Bytes::new(len), NOW)
                    .unwrap();
                contents[at as usize..][..len as usize].fill(0);
            }
            6 => {
                files
                    .fs
                    .file_space()
                    .truncate(&inode, Bytes::new(at), NOW)
                    .unwrap();
                contents.truncate(at as usize);
            }
            7 if names.len() > 4 => {
                files
                    .fs
                    .names()
                    .unlink(&self.root, &name, &inode, NOW)
                    .unwrap();
                files.fs.inodes().evict(&inode).unwrap();
                self.contents.remove(&name);
            }
            _ => {
                let name = format!("new{}", random.next()).into_bytes();
                let inode = files.fs.names().create(&self.root, &name, &FILE).unwrap();
                files
                    .write_sectors(&inode, 0, &[9; SECTOR as usize], SECTOR)
                    .unwrap();
                self.contents.insert(name, vec![9; SECTOR as usize]);
            }
        }
    }
}

fn share(image: Image, seed: u64) {
    let mut random = Random::new(seed);
    let files = Files::mount(image);
    let mut contents = BTreeMap::new();
    for n in 0..40 {
        let name = format!("file{n:0>50}").into_bytes();
        let inode = files.file(&name);
        let len = (1 + random.below(30)) * SECTOR;
        let data = vec![n as u8 + 1; len as usize];
        files.write_sectors(&inode, 0, &data, len).unwrap();
        contents.insert(name, data);
    }
    let files = snapshot(files, 256, "one");
    let files = snapshot(files, 257, "two");
    let side = |id| Side::new(&files, ObjectId::new(id), contents.clone());
    let mut sides = [side(5), side(256), side(257)];
    let there = files.fs.names().lookup(&sides[0].root, b"one").unwrap();
    assert_eq!(there, Some(Target::Subvolume(ObjectId::new(256))));
    assert_eq!(
        files.fs.names().lookup(&sides[2].root, b"one").unwrap(),
        Some(Target::EmptyPlace)
    );
    assert_eq!(
        files.fs.subvolumes().path(ObjectId::new(257)).unwrap()[..],
        *b"/two"
    );
    for step in 0..500 {
        let at = random.below(3) as usize;
        sides[at].change(&files, &mut random);
        if step % 100 == 99 {
            files.txns().commit().unwrap();
            sides.iter().for_each(|side| side.check(&files));
            tools::check_with(&files.image(), &["--check-data-csum"]).unwrap();
        }
    }
    drop(sides);
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

#[test]
fn subvolumes_share_extents() {
    share(tools::mkfs(512 * MIB, &[]), 1);
}

#[test]
fn subvolumes_share_extents_in_small_nodes() {
    share(
        tools::mkfs(512 * MIB, &["-n", "4096", "-O", "^no-holes"]),
        2,
    );
}

/// Others compressed them: they are cut and replaced as any other, though nobody here can read them.
#[test]
fn compressed_extents_are_cut() {
    for algorithm in ["zlib", "zstd", "lzo"] {
        let mut model = Model::default();
        let at = Place {
            dir: ROOT,
            name: b"file".to_vec(),
        };
        let (id, mode, kind) = (1, 0o644, FileKind::File);
        model.apply(&Op::Create { id, at, kind, mode }).unwrap();
        let (offset, len, seed) = (0, 100 * SECTOR, 0x4101);
        model
            .apply(&Op::Write {
                id,
                offset,
                len,
                seed,
            })
            .unwrap();
        let image = tools::mkfs_with(&model.snapshot(), 256 * MIB, &["--compress", algorithm]);
        let files = Files::mount(image);
        let number = files.entries(&files.root).unwrap()[&b"file"[..]];
        let inode = files.fs.inodes().get(&files.top, number).unwrap();
        let kind = files
            .fs
            .mappings()
            .find(&inode, FileOffset::new(5 * SECTOR), Bytes::new(1))
            .unwrap()
            .kind;
        assert!(matches!(kind, MappingKind::Compressed(_)), "{kind:?}");
        for n in (1..100).step_by(7) {
            let data = [n as u8; SECTOR as usize];
            files.write_sectors(&inode, n * SECTOR, &data, 0).unwrap();
        }
        files
            .fs
            .file_space()
            .punch_hole(
                &inode,
                FileOffset::new(30 * SECTOR),
                Bytes::new(5 * SECTOR),
                NOW,
            )
            .unwrap();
        files
            .fs
            .file_space()
            .truncate(&inode, Bytes::new(77 * SECTOR), NOW)
            .unwrap();
        assert_eq!(inode.attributes().nbytes, Bytes::new(72 * SECTOR));
        drop(inode);
        let image = files.unmount();
        tools::check_with(&image, &["--check-data-csum"]).unwrap();
        // What is left is what was written, as others see it.
        let restored = tools::restore(&image).unwrap();
        let mut wanted = Op::bytes(77 * SECTOR, seed);
        for n in (1..77).step_by(7) {
            wanted[(n * SECTOR) as usize..][..SECTOR as usize].fill(n as u8);
        }
        wanted[30 * SECTOR as usize..35 * SECTOR as usize].fill(0);
        let mut found = vec![0; wanted.len()];
        restored.files[&b"/file"[..]].contents.read(0, &mut found);
        assert!(found == wanted);
    }
}

#[test]
fn what_is_packed_in_the_tree_is_not_cut() {
    let mut model = Model::default();
    let at = Place {
        dir: ROOT,
        name: b"file".to_vec(),
    };
    let (id, mode, kind) = (1, 0o644, FileKind::File);
    model.apply(&Op::Create { id, at, kind, mode }).unwrap();
    let (offset, len, seed) = (0, 2000, 0x4101);
    model
        .apply(&Op::Write {
            id,
            offset,
            len,
            seed,
        })
        .unwrap();
    let image = tools::mkfs_with(&model.snapshot(), 256 * MIB, &["--compress", "zstd"]);
    let files = Files::mount(image);
    let number = files.entries(&files.root).unwrap()[&b"file"[..]];
    let inode = files.fs.inodes().get(&files.top, number).unwrap();
    let kind = files
        .fs
        .mappings()
        .find(&inode, FileOffset::new(0), Bytes::new(1))
        .unwrap()
        .kind;
    assert!(matches!(kind, MappingKind::Compressed(_)), "{kind:?}");
    assert_eq!(
        files
            .fs
            .file_space()
            .truncate(&inode, Bytes::new(1000), NOW),
        Err(EOPNOTSUPP)
    );
    assert_eq!(files.txns().is_aborted(), None);
    files
        .fs
        .file_space()
        .truncate(&inode, Bytes::new(3000), NOW)
        .unwrap();
    files
        .fs
        .file_space()
        .truncate(&inode, Bytes::new(2000), NOW)
        .unwrap();
    files
        .write_sectors(&inode, 0, &[1; SECTOR as usize], 10)
        .unwrap();
    files
        .fs
        .file_space()
        .truncate(&inode, Bytes::new(1000), NOW)
        .unwrap();
    assert_eq!(inode.attributes().nbytes, Bytes::new(SECTOR));
    drop(inode);
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}
