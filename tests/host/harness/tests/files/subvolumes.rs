// SPDX-License-Identifier: GPL-2.0
//! Which subvolumes are in memory, and what a snapshot holds that is taken while others change its source.

use crate::files::{Files, SECTOR};
use engine::btree::Allocate;
use engine::disk::{Bytes, Key, Kind, ObjectId, RootItem, Uuid};
use engine::fs::{Inode, NewSubvolume, Rename, RenameMode, Side, Target, Topmost};
use engine::txn::{Keep, Units};
use harness::mount::{DIRECTORY, FILE, NOW};
use harness::random::Random;
use harness::tools;
use kernel::prelude::{EAGAIN, EROFS, ESTALE};
use kernel::sync::Arc;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const FIRST: u64 = 256;

pub(crate) const TOPMOST: Topmost = Topmost {
    mode: 0o040755,
    uid: 1,
    gid: 2,
};

fn root_item(files: &Files, id: ObjectId) -> (RootItem, [u8; RootItem::SIZE]) {
    let root_tree = files.txns().required_tree(ObjectId::ROOT_TREE).unwrap();
    let last = Key::new(id.get(), Kind::ROOT_ITEM, u64::MAX);
    let found = root_tree.floor(&last, |key, bytes| {
        assert_eq!(key.objectid, id);
        (RootItem::parse(bytes).unwrap(), bytes.try_into().unwrap())
    });
    found.unwrap().unwrap()
}

/// Makes subvolumes that have no place and hold what the topmost one does, many with each handle.
fn plant(files: &Files, count: u64) {
    const AT_ONCE: u64 = 50;
    let root_tree = files.txns().required_tree(ObjectId::ROOT_TREE).unwrap();
    let (of_source, mut bytes) = root_item(files, files.top.id());
    for start in (0..count).step_by(AT_ONCE as usize) {
        let handle = files.txns().start(Units::inserts(200)).unwrap();
        for number in start..count.min(start + AT_ONCE) {
            let id = ObjectId::new(FIRST + number);
            let root = files.top.tree().snapshot(&handle, id).unwrap();
            let item = RootItem {
                generation: handle.generation(),
                addr: root.addr,
                level: root.level,
                last_snapshot: handle.generation(),
                ..of_source
            };
            item.write_to(&mut bytes).unwrap();
            let key = Key::new(id.get(), Kind::ROOT_ITEM, handle.generation().get());
            root_tree.insert(&handle, &key, &bytes).unwrap();
        }
    }
    files.txns().commit().unwrap();
}

/// Ten thousand subvolumes are opened one after another, and changed now and then: in memory are the one in use and those
/// that a commit has still to write down.
#[test]
fn many_subvolumes_do_not_stay_in_memory() {
    const COUNT: u64 = 10_000;
    const CHANGED: u64 = 100;
    const COMMITTED: u64 = 1000;
    let files = Files::mount(tools::mkfs(1024 * MIB, &["-n", "4096"]));
    let subvolumes = files.fs.subvolumes();
    let counts = || (files.txns().open_trees(), subvolumes.in_use());
    plant(&files, COUNT);
    let (trees, in_use) = counts();
    assert!(trees < 12 && in_use == 1);
    let mut behind = 0;
    for number in 0..COUNT {
        let id = ObjectId::new(FIRST + number);
        let subvolume = subvolumes.get(id).unwrap();
        assert!(subvolume.is_same(&subvolumes.get(id).unwrap()));
        let root = files.fs.inodes().root(&subvolume).unwrap();
        assert_eq!(counts(), (trees + behind + 1, in_use + 1));
        if number % CHANGED == 0 {
            files.fs.names().create(&root, b"name", &FILE).unwrap();
            behind += 1;
        }
        if number % COMMITTED == COMMITTED - 1 {
            files.txns().commit().unwrap();
            behind = 0;
        }
    }
    assert_eq!(counts(), (trees, in_use));
    for number in (0..COUNT).step_by(CHANGED as usize) {
        let subvolume = subvolumes.get(ObjectId::new(FIRST + number)).unwrap();
        let root = files.fs.inodes().root(&subvolume).unwrap();
        assert!(files.fs.names().lookup(&root, b"name").unwrap().is_some());
    }
}

pub(crate) fn named<'a>(files: &'a Files, name: &'a [u8], number: u8) -> NewSubvolume<'a> {
    NewSubvolume {
        dir: &files.root,
        name,
        uuid: Uuid([number; 16]),
        now: NOW,
    }
}

/// What a file handle tells an inode by is its number and its generation, the transaction: within one, no number is given
/// out twice, not even when the subvolume was out of memory meanwhile.
#[test]
fn a_number_is_not_given_out_again_in_one_transaction() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let subvolumes = files.fs.subvolumes();
    let id = subvolumes
        .create(&named(&files, b"sub", 1), &TOPMOST)
        .unwrap();
    let in_use = subvolumes.in_use();
    let make_and_delete = || {
        let subvolume = subvolumes.get(id).unwrap();
        let root = files.fs.inodes().root(&subvolume).unwrap();
        let inode = files.fs.names().create(&root, b"file", &FILE).unwrap();
        files
            .fs
            .names()
            .unlink(&root, b"file", &inode, NOW)
            .unwrap();
        files.fs.inodes().evict(&inode).unwrap();
        (inode.number(), inode.attributes().generation)
    };
    let first = make_and_delete();
    assert_eq!(subvolumes.in_use(), in_use);
    let second = make_and_delete();
    assert_eq!(first.1, second.1, "not in one transaction");
    assert_ne!(first.0, second.0);
}

/// Makes files in subvolumes that nobody uses before and after.
fn visit(files: &Files, ids: &[ObjectId], locks: &[Mutex<u32>], task: u64) {
    let mut random = Random::new(task);
    for step in 0..150 {
        let at = random.below(ids.len() as u64) as usize;
        let subvolume = files.fs.subvolumes().get(ids[at]).unwrap();
        {
            let mut made = locks[at].lock().unwrap();
            let root = files.fs.inodes().root(&subvolume).unwrap();
            let name = format!("{task}-{step}");
            files
                .fs
                .names()
                .create(&root, name.as_bytes(), &FILE)
                .unwrap();
            *made += 1;
        }
        drop(subvolume);
        if random.one_in(4) {
            std::thread::yield_now();
        }
    }
}

fn count_files(files: &Files, id: ObjectId) -> u32 {
    let subvolume = files.fs.subvolumes().get(id).unwrap();
    let root = files.fs.inodes().root(&subvolume).unwrap();
    let mut count = 0;
    let names = files.fs.names();
    let each = &mut |_: engine::fs::Entry<'_>| {
        count += 1;
        Ok(std::ops::ControlFlow::Continue(()))
    };
    names.read_dir(&root, 0, each).unwrap();
    count
}

/// Subvolumes come into memory, change, and go before, amid and after the commits that write down where their trees are:
/// no change is lost.
#[test]
fn subvolumes_that_come_and_go_lose_nothing() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let subvolumes = files.fs.subvolumes();
    let make = |number: u8| {
        let name = [b'0' + number];
        subvolumes
            .create(&named(&files, &name, number + 1), &TOPMOST)
            .unwrap()
    };
    let ids: Vec<ObjectId> = (0..3).map(make).collect();
    let locks: Vec<Mutex<u32>> = ids.iter().map(|_| Mutex::new(0)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let committer = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                files.txns().commit().unwrap();
            }
        });
        let visit = |task| {
            let (files, ids, locks) = (&files, &ids, &locks);
            scope.spawn(move || visit(files, ids, locks, task))
        };
        let visitors: Vec<_> = (0..3).map(visit).collect();
        visitors.into_iter().for_each(|task| task.join().unwrap());
        done.store(true, Ordering::Relaxed);
        committer.join().unwrap();
    });
    let wanted: Vec<u32> = locks.iter().map(|made| *made.lock().unwrap()).collect();
    let found = |files: &Files| ids.iter().map(|id| count_files(files, *id)).collect();
    assert_eq!(wanted, Vec::from_iter::<Vec<u32>>(found(&files)));
    let image = files.unmount();
    tools::check(&image).unwrap();
    let files = Files::mount(image);
    assert_eq!(wanted, Vec::from_iter::<Vec<u32>>(found(&files)));
}

/// Two names in two directories, and the inodes that they name in turns.
struct Pair {
    dirs: [Arc<Inode>; 2],
    inodes: [Arc<Inode>; 2],
}

const NAME: &[u8] = b"name";
const WANDERER: &[u8] = b"wanderer";

impl Pair {
    fn new(files: &Files) -> Self {
        let names = files.fs.names();
        let dirs = [b"left".as_slice(), b"right"]
            .map(|name| names.create(&files.root, name, &DIRECTORY).unwrap());
        let inodes = [0, 1].map(|side: usize| names.create(&dirs[side], NAME, &FILE).unwrap());
        names.create(&dirs[0], WANDERER, &FILE).unwrap();
        Self { dirs, inodes }
    }

    fn side<'a>(&'a self, at: usize, name: &'a [u8]) -> Side<'a> {
        let dir = &self.dirs[at];
        Side { dir, name }
    }

    /// Both names change hands in one step, and a file goes to the other directory in another, until told to stop.
    fn change(&self, files: &Files, done: &AtomicBool) {
        let names = files.fs.names();
        let Some(Target::Inode(number, _)) = names.lookup(&self.dirs[0], WANDERER).unwrap() else {
            panic!("no wanderer");
        };
        let wanderer = files.fs.inodes().get(&files.top, number).unwrap();
        for round in 0.. {
            let (here, there) = (round % 2, (round + 1) % 2);
            let swap = Rename {
                from: self.side(0, NAME),
                to: self.side(1, NAME),
                moved: &self.inodes[here],
                mode: RenameMode::Exchange(&self.inodes[there]),
                now: &NOW,
            };
            names.rename(&swap).unwrap();
            let walk = Rename {
                from: self.side(here, WANDERER),
                to: self.side(there, WANDERER),
                moved: &wanderer,
                mode: RenameMode::Move {
                    replaced: None,
                    whiteout: None,
                },
                now: &NOW,
            };
            names.rename(&walk).unwrap();
            if done.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// Both names name a file, not the same one, and one directory has the third file.
fn check_whole(files: &Files, snapshot: ObjectId) {
    let subvolume = files.fs.subvolumes().get(snapshot).unwrap();
    let (names, inodes) = (files.fs.names(), files.fs.inodes());
    let root = inodes.root(&subvolume).unwrap();
    let dirs = [b"left".as_slice(), b"right"].map(|name| {
        let Some(Target::Inode(number, _)) = names.lookup(&root, name).unwrap() else {
            panic!("{snapshot:?} has no directory");
        };
        inodes.get(&subvolume, number).unwrap()
    });
    let [left, right] = [0, 1].map(|side: usize| names.lookup(&dirs[side], NAME).unwrap());
    assert!(left.is_some() && right.is_some() && left != right);
    let wanderers = dirs.map(|dir| names.lookup(&dir, WANDERER).unwrap());
    assert_eq!(wanderers.iter().flatten().count(), 1);
}

/// Snapshots are taken while others change their source, two names in one step: each has both or none of a step.
#[test]
fn a_snapshot_holds_no_change_by_half() {
    const SNAPSHOTS: u8 = 16;
    let files = Files::mount(tools::mkfs(256 * MIB, &["-n", "4096"]));
    let pair = Pair::new(&files);
    let snapshots = files
        .fs
        .names()
        .create(&files.root, b"snapshots", &DIRECTORY)
        .unwrap();
    let done = AtomicBool::new(false);
    let ids: Vec<ObjectId> = std::thread::scope(|scope| {
        let changer = scope.spawn(|| pair.change(&files, &done));
        let take = |number: u8| {
            let name = [b'a' + number];
            let new = NewSubvolume {
                dir: &snapshots,
                ..named(&files, &name, number + 1)
            };
            files.fs.subvolumes().snapshot(&files.top, &new).unwrap()
        };
        let ids = (0..SNAPSHOTS).map(take).collect();
        done.store(true, Ordering::Relaxed);
        changer.join().unwrap();
        ids
    });
    ids.iter().for_each(|id| check_whole(&files, *id));
    drop((pair, snapshots));
    let image = files.unmount();
    tools::check(&image).unwrap();
    let files = Files::mount(image);
    ids.iter().for_each(|id| check_whole(&files, *id));
}

/// A snapshot's root item counts the blocks of its source as they are then, committed or not.
#[test]
fn a_snapshot_counts_the_blocks_of_its_source() {
    let files = Files::mount(tools::mkfs(256 * MIB, &["-n", "4096"]));
    for number in 0..200 {
        files.file(format!("{number:0>100}").as_bytes());
    }
    let snapshot = files
        .fs
        .subvolumes()
        .snapshot(&files.top, &named(&files, b"copy", 1))
        .unwrap();
    let (source, _) = root_item(&files, files.top.id());
    let (copy, _) = root_item(&files, snapshot);
    assert!(source.bytes_used > Bytes::new(20 * 4096));
    assert!(copy.bytes_used.get().abs_diff(source.bytes_used.get()) <= 2 * 4096);
    tools::check(&files.unmount()).unwrap();
}

/// Orphans are what a crash left: an inode that has no name because of what was done since is none of them, and may be open,
/// however late they are cleaned.
#[test]
fn an_open_file_is_no_orphan_of_a_crash() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let names = files.fs.names();
    let by_unlink = |root: &Arc<Inode>| {
        let inode = names.create(root, b"file", &FILE).unwrap();
        names.unlink(root, b"file", &inode, NOW).unwrap();
        inode
    };
    let by_rename = |root: &Arc<Inode>| {
        let inode = names.create(root, b"file", &FILE).unwrap();
        let moved = names.create(root, b"other", &FILE).unwrap();
        let side = |name| Side { dir: root, name };
        let rename = Rename {
            from: side(b"other"),
            to: side(b"file"),
            moved: &moved,
            mode: RenameMode::Move {
                replaced: Some(&inode),
                whiteout: None,
            },
            now: &NOW,
        };
        names.rename(&rename).unwrap();
        inode
    };
    let unnamed = |root: &Arc<Inode>| names.create_unnamed(root, &FILE).unwrap();
    type Way<'a> = &'a dyn Fn(&Arc<Inode>) -> Arc<Inode>;
    for (number, way) in (1..).zip([&by_unlink as Way<'_>, &by_rename, &unnamed]) {
        // Nobody has cleaned this one.
        let name = [b'0' + number];
        let place = named(&files, &name, number);
        let id = files.fs.subvolumes().create(&place, &TOPMOST).unwrap();
        let subvolume = files.fs.subvolumes().get(id).unwrap();
        let inode = way(&files.fs.inodes().root(&subvolume).unwrap());
        files.write(&inode, 0, &[7; SECTOR as usize]).unwrap();
        assert_eq!(files.fs.inodes().clean_orphans(&subvolume), Ok(()));
        assert_eq!(files.read(&inode, 0, 1).unwrap(), [7], "{number}");
        files.write(&inode, 0, &[8; SECTOR as usize]).unwrap();
        files.fs.inodes().evict(&inode).unwrap();
    }
    tools::check(&files.unmount()).unwrap();
}

/// An inode without names that leaves memory while nothing may be changed is removed when something may be, as far as there
/// is time, and one that is open stays.
#[test]
fn what_an_eviction_has_left_is_removed_later() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let root = files.fs.inodes().root(&files.mounted.subvolume).unwrap();
    let inodes = files.fs.inodes();
    let unnamed = || {
        let inode = files.fs.names().create_unnamed(&root, &FILE).unwrap();
        files.write(&inode, 0, &[7; SECTOR as usize]).unwrap();
        inode
    };
    let (left, large, open) = (unnamed(), unnamed(), unnamed());
    // More items than one batch removes.
    for index in 1..200 {
        files
            .write(&large, 2 * index * SECTOR, &[7; SECTOR as usize])
            .unwrap();
    }
    files.mounted.volume.pause_writing();
    for gone in [&left, &large] {
        assert_eq!(inodes.evict(gone), Err(EROFS));
    }
    assert_eq!(inodes.clean_left(&|| true), Err(EROFS));
    let numbers = [left.number(), large.number()];
    drop((left, large));
    files.txns().begin_writing(Keep::AsFound).unwrap();
    let there = || {
        numbers.map(|number| {
            let found = inodes.get(&files.mounted.subvolume, number);
            found.map(|inode| inode.attributes().nbytes)
        })
    };
    let before = there();
    assert_eq!(inodes.clean_left(&|| false), Err(EAGAIN));
    assert_eq!(there(), before);
    // Time for two batches: of the one it is all.
    let turns = Cell::new(0);
    let twice = || turns.replace(turns.get() + 1) < 2;
    assert_eq!(inodes.clean_left(&twice), Err(EAGAIN));
    let (after, [_, whole]) = (there(), before);
    assert_eq!(after[0], Err(ESTALE));
    assert!(after[1].unwrap() < whole.unwrap(), "{after:?}");
    inodes.clean_left(&|| true).unwrap();
    assert_eq!(there(), [Err(ESTALE); 2]);
    assert_eq!(files.read(&open, 0, 1).unwrap(), [7]);
    inodes.evict(&open).unwrap();
    drop((root, open));
    let image = files.unmount();
    tools::check(&image).unwrap();
}
