// SPDX-License-Identifier: GPL-2.0
//! Joining, commits and the write order under a scheduler that decides at every lock which task goes on: what is searched
//! is who joins which transaction, who leads a commit, and what is written ahead, in the background and by whom.

use engine::btree::{Sought, Store, WriteMode, Writer};
use engine::disk::{Bytes, CompatRo, FileOffset, Key, Kind, Logical, ObjectId};
use engine::fs::{Inode, OrderedExtent};
use engine::space::{Class, NextGroup, Space, Urgency};
use engine::txn::{Keep, Units};
use engine::volume::device::ZoneCondition;
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::mount::{Access, Mounted, DIRECTORY, FILE, NOW};
use harness::tools;
use kernel::prelude::{KVVec, EAGAIN, GFP_KERNEL};
use kernel::print::Capture;
use kernel::sync::Arc;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{thread, Config, Runner};
use std::sync::atomic::{AtomicBool, Ordering};

const MIB: u64 = 1 << 20;
/// How long the extents are.
const LEN: Bytes = Bytes::new(MIB);
/// Bytes of a sector, and of its checksum.
const SECTOR: u64 = 4096;
const SUM: usize = 4;
/// The tasks that change files.
const TASKS: usize = 3;
/// Files that each of them makes.
const FILES: usize = 2;
/// Schedules of each kind that are tried.
const TRIES: usize = 60;

fn directory(task: usize) -> Vec<u8> {
    format!("task{task}").into_bytes()
}

fn file(number: usize) -> Vec<u8> {
    format!("file{number}").into_bytes()
}

/// Makes files and commits each; the devices after a commit have all that was made before it.
fn change(mounted: &Mounted, dir: &Inode, task: usize) {
    for number in 0..FILES {
        mounted
            .fs
            .names()
            .create(dir, &file(number), &FILE)
            .unwrap();
        if (task + number) % 2 == 0 {
            mounted.txns.commit().unwrap();
            let found = Mounted::mount(mounted.images(), Access::ReadOnly).unwrap();
            assert!(has(&found, task, number));
        }
    }
}

fn has(mounted: &Mounted, task: usize, number: usize) -> bool {
    let fs = &mounted.fs;
    let root = fs.inodes().root(&mounted.subvolume).unwrap();
    let Some(engine::fs::Target::Inode(dir, _)) =
        fs.names().lookup(&root, &directory(task)).unwrap()
    else {
        return false;
    };
    let dir = fs.inodes().get(&mounted.subvolume, dir).unwrap();
    fs.names().lookup(&dir, &file(number)).unwrap().is_some()
}

/// What runs beside: writeback of tree blocks, and the periodic work.
fn press(mounted: &Mounted) {
    for _ in 0..2 {
        let (start, len) = (Logical::new(0), Bytes::MAX);
        mounted
            .store
            .write(start, len, WriteMode::Background)
            .unwrap();
        mounted.store.shrink();
        mounted.txns.commit_if_older(0, &|| ()).unwrap();
        mounted.txns.maintain().unwrap();
    }
}

fn once(image: &Image) {
    let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
    let root = mounted.fs.inodes().root(&mounted.subvolume).unwrap();
    let create = |task| {
        mounted
            .fs
            .names()
            .create(&root, &directory(task), &DIRECTORY)
            .unwrap()
    };
    let dirs: Vec<Arc<Inode>> = (0..TASKS).map(create).collect();
    drop(root);
    let mounted = std::sync::Arc::new(mounted);
    let mut tasks: Vec<_> = dirs
        .into_iter()
        .enumerate()
        .map(|(task, dir)| {
            let mounted = mounted.clone();
            thread::spawn(move || change(&mounted, &dir, task))
        })
        .collect();
    let beside = mounted.clone();
    tasks.push(thread::spawn(move || press(&beside)));
    tasks.into_iter().for_each(|task| task.join().unwrap());
    assert_eq!(latch::lockdep::held(), 0);
    assert_eq!(mounted.txns.is_aborted(), None);
    assert_eq!(mounted.violations(), Vec::<String>::new());
    mounted.txns.commit().unwrap();
    let found = Mounted::mount(mounted.images(), Access::ReadOnly).unwrap();
    for task in 0..TASKS {
        (0..FILES).for_each(|number| assert!(has(&found, task, number)));
    }
}

/// Frees an extent and commits, while where groups are free is forgotten and read, and others allocate: what was freed is
/// not allocated before the commit that freed it, and comes back once.
fn forget_and_read(image: &Image) {
    let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
    let space = mounted.txns.space().clone();
    let reservation = mounted.txns.reserve_data(LEN).unwrap();
    let freed = space.allocate_data(&reservation, LEN, LEN).unwrap();
    let tree = mounted.txns.tree(ObjectId::DEV_TREE).unwrap();
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    space.note_allocated(&handle, freed.logical, LEN).unwrap();
    tree.rewrite(&handle, &Key::MIN).unwrap();
    handle.commit().unwrap();
    drop(reservation);
    let before = space.statistics().data;
    let committing = std::sync::Arc::new(AtomicBool::new(false));
    let mounted = std::sync::Arc::new(mounted);
    let free = {
        let (mounted, committing) = (mounted.clone(), committing.clone());
        thread::spawn(move || {
            let space = mounted.txns.space();
            let handle = mounted.txns.start(Units::inserts(1)).unwrap();
            let half = LEN.divided_by(2);
            let second = freed.logical.saturating_add(half);
            space.note_freed(&handle, freed.logical, half).unwrap();
            space.note_freed(&handle, second, half).unwrap();
            tree.rewrite(&handle, &Key::MIN).unwrap();
            committing.store(true, Ordering::SeqCst);
            handle.commit().unwrap();
        })
    };
    let read = {
        let mounted = mounted.clone();
        thread::spawn(move || {
            for _ in 0..12 {
                mounted.txns.space().forget(4);
                let _ = mounted.txns.space().read_next(Class::Data).unwrap();
            }
        })
    };
    let allocate = {
        let (mounted, committing) = (mounted.clone(), committing.clone());
        thread::spawn(move || {
            let space = mounted.txns.space();
            let mut extents = Vec::new();
            for _ in 0..2 {
                let reservation = mounted.txns.reserve_data(LEN).unwrap();
                let extent = space.allocate_data(&reservation, LEN, LEN).unwrap();
                let early = !committing.load(Ordering::SeqCst);
                assert!(!early || extent.logical != freed.logical);
                let handle = mounted.txns.start(Units::inserts(1)).unwrap();
                space.note_allocated(&handle, extent.logical, LEN).unwrap();
                extents.push((extent.logical, extent.logical.saturating_add(LEN)));
            }
            extents
        })
    };
    free.join().unwrap();
    read.join().unwrap();
    let mut taken = allocate.join().unwrap();
    assert_eq!(latch::lockdep::held(), 0);
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 2, "nothing is allocated twice");
    space.audit().unwrap();
    let mut found = Bytes::ZERO;
    space.each_free(|start, len| {
        let end = start.saturating_add(len);
        assert!(taken.iter().all(|&(from, to)| end <= from || to <= start));
        found = found.saturating_add(len);
    });
    space.audit().unwrap();
    let after = space.statistics().data;
    assert_eq!(after.read_only, before.read_only, "all of it could be read");
    assert_eq!(
        (after.used, after.pinned),
        (before.used.saturating_add(LEN), Bytes::ZERO)
    );
    assert!(!found.is_zero());
}

/// A group changes while its items are written: in the end they say what is used, as it was changed last.
fn change_what_is_written(image: &Image) {
    let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
    let mounted = std::sync::Arc::new(mounted);
    let space = mounted.txns.space().clone();
    let reservation = mounted.txns.reserve_data(LEN).unwrap();
    let extent = space.allocate_data(&reservation, LEN, LEN).unwrap();
    let change = {
        let (mounted, space) = (mounted.clone(), space.clone());
        thread::spawn(move || {
            let handle = mounted.txns.start(Units::inserts(1)).unwrap();
            let half = LEN.divided_by(2);
            for start in [extent.logical, extent.logical.saturating_add(half)] {
                space.note_allocated(&handle, start, half).unwrap();
            }
        })
    };
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    for _ in 0..2 {
        space.write_dirty_groups(&handle).unwrap();
    }
    change.join().unwrap();
    let tree = mounted.txns.tree(ObjectId::DEV_TREE).unwrap();
    tree.rewrite(&handle, &Key::MIN).unwrap();
    handle.commit().unwrap();
    let found = Mounted::mount(mounted.images(), Access::ReadOnly).unwrap();
    let used = |space: &Space| space.statistics().data.used;
    assert_eq!(used(found.txns.space()), used(&space));
}

/// Reads where empty groups are free while they are closed, as those are that are to be removed, and opened again:
/// nothing is wrong with them.
fn close_and_read(image: &Image) {
    let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
    let promised = [(); 2].map(|()| mounted.txns.reserve_data(LEN.saturating_mul(8)).unwrap());
    drop(promised);
    let space = mounted.txns.space().clone();
    space.forget(16);
    let log = Capture::new();
    let read = {
        let space = space.clone();
        thread::spawn(move || {
            for _ in 0..3 {
                while space.read_next(Class::Data).unwrap() == NextGroup::Read {}
                space.forget(16);
            }
        })
    };
    (0..9).for_each(|_| drop(space.next_unused().unwrap()));
    read.join().unwrap();
    assert_eq!(log.lines(), Vec::<String>::new());
    space.audit().unwrap();
}

/// Allocates what was promised, while another takes what is free and gives back what was not: it is now in the one group
/// and now in the other.
fn allocate_what_moves(image: &Image) {
    const PIECE: Bytes = Bytes::new(SECTOR);
    let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
    let promised = [(); 2].map(|()| mounted.txns.reserve_data(LEN.saturating_mul(8)).unwrap());
    drop(promised);
    let space = mounted.txns.space().clone();
    let data = space.statistics().data;
    let promise = |bytes| {
        space
            .reserve(Class::Data, bytes, Urgency::Ordinary)
            .unwrap()
    };
    let all = promise(
        data.total
            .saturating_sub(data.used)
            .saturating_sub(data.read_only),
    );
    let mut extents = Vec::new();
    while !all.bytes().is_zero() {
        extents.push(space.allocate_data(&all, all.bytes(), PIECE).unwrap());
    }
    let (first, last) = (extents[0], extents[extents.len() - 1]);
    space.release_unwritten(first.logical, PIECE);
    let promised = promise(PIECE);
    let allocate = {
        let space = space.clone();
        thread::spawn(move || {
            for _ in 0..8 {
                let extent = space.allocate_data(&promised, PIECE, PIECE).unwrap();
                space
                    .take_back_unwritten(extent.logical, PIECE, &promised)
                    .unwrap();
            }
        })
    };
    let (mut held, mut other) = (last.logical, first.logical);
    for _ in 0..16 {
        space.release_unwritten(held, PIECE);
        while space.take(other, PIECE).is_err() {
            core::mem::swap(&mut held, &mut other);
        }
        core::mem::swap(&mut held, &mut other);
    }
    allocate.join().unwrap();
    space.audit().unwrap();
}

/// One makes an item of checksums longer, as data behind it is written; another removes it, as what it was made for is
/// gone. It goes as it was when its remover saw it: what was put into it later stays.
fn remove_what_was_seen(image: &Image) {
    const CHANGES: usize = 3;
    let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
    let tree = mounted.txns.tree(ObjectId::CSUM_TREE).unwrap();
    let key = Key::new(ObjectId::EXTENT_CSUM.get(), Kind::EXTENT_CSUM, 1 << 30);
    let mounted = std::sync::Arc::new(mounted);
    let remover = {
        let (mounted, tree) = (mounted.clone(), tree.clone());
        thread::spawn(move || {
            let handle = mounted.txns.start(Units::inserts(1)).unwrap();
            let mut writer = Writer::new(&tree, &handle);
            let mut removed = 0;
            for _ in 0..CHANGES {
                if writer.seek(&key).unwrap() == Sought::Found {
                    let seen = writer.item().unwrap().unwrap().1.len();
                    match writer.remove_here() {
                        Ok(()) => removed += seen,
                        Err(error) => assert_eq!(error, EAGAIN),
                    }
                }
                writer.release();
            }
            removed
        })
    };
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    let mut writer = Writer::new(&tree, &handle);
    for _ in 0..CHANGES {
        match writer.seek(&key).unwrap() {
            Sought::Found => {
                let len = writer.item().unwrap().unwrap().1.len();
                writer.resize_here(len + SUM).unwrap();
            }
            Sought::Missing => drop(writer.insert_here(&key, SUM).unwrap()),
        }
        writer.release();
    }
    let removed = remover.join().unwrap();
    let left = tree.get(&key, <[u8]>::len).unwrap().unwrap_or(0);
    assert_eq!(removed + left, CHANGES * SUM);
}

/// Data of one file, with room for more: each piece lies behind the one before on the volume.
fn written(mounted: &Mounted, name: &[u8], sectors: u64) -> (Arc<Inode>, OrderedExtent) {
    let root = mounted.fs.inodes().root(&mounted.subvolume).unwrap();
    let inode = mounted.fs.names().create(&root, name, &FILE).unwrap();
    let ordered = ordered(mounted, &inode, name[0], sectors);
    (inode, ordered)
}

/// Data of a file from its beginning on, with checksums of this byte.
fn ordered(mounted: &Mounted, inode: &Arc<Inode>, sum: u8, sectors: u64) -> OrderedExtent {
    let (data, len) = (mounted.fs.data(), Bytes::new(sectors * SECTOR));
    let mut reservation = data.reserve_write(inode, FileOffset::new(0), len).unwrap();
    let extent = data.allocate_write(&mut reservation, len).unwrap();
    let mut checksums = KVVec::new();
    for _ in 0..sectors {
        checksums
            .extend_from_slice(&[sum; SUM], GFP_KERNEL)
            .unwrap();
    }
    OrderedExtent {
        ram_len: len,
        offset: FileOffset::new(0),
        extent,
        checksums,
        new_size: len,
        reservation,
    }
}

/// A file goes while what lies behind it is written, over stale checksums in an item that fills its leaf: where the range
/// is cut out of the item, the new ones stay.
fn write_over_stale_sums(image: &Image) {
    /// The longest item that a leaf of 4 KiB has beside one of a sector.
    const LONGEST: usize = 985;
    let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
    let data = mounted.fs.data();
    let (before, ordered) = written(&mounted, b"b", 16);
    let end = ordered.extent.get().logical.saturating_add(ordered.ram_len);
    data.finish_ordered(&before, ordered).unwrap();
    // The item of what is before is another one.
    let start = end.saturating_add(Bytes::new(SECTOR));
    mounted.leave_stale_sums(start, LONGEST);
    mounted.leave_stale_sums(start.saturating_add(Bytes::new(64 * MIB)), 1);
    let (kept, ordered) = written(&mounted, b"k", 8);
    data.finish_ordered(&kept, ordered).unwrap();
    let (gone, ordered) = written(&mounted, b"g", 1);
    let at = ordered.extent.get().logical;
    data.finish_ordered(&gone, ordered).unwrap();
    mounted.txns.commit().unwrap();
    let (new, ordered) = written(&mounted, b"n", 1);
    let logical = ordered.extent.get().logical;
    assert_eq!(logical, at.saturating_add(Bytes::new(SECTOR)));
    let mounted = std::sync::Arc::new(mounted);
    let cut = {
        let mounted = mounted.clone();
        thread::spawn(move || {
            let space = mounted.fs.file_space();
            space.truncate(&gone, Bytes::ZERO, NOW).unwrap();
            mounted.txns.commit().unwrap();
        })
    };
    mounted.fs.data().finish_ordered(&new, ordered).unwrap();
    cut.join().unwrap();
    let len = Bytes::new(SECTOR);
    let found = mounted.fs.data().checksums(&new, logical, len).unwrap();
    assert_eq!(found.unwrap().get(0), Some(&[b'n'; SUM][..]));
}

/// The free space is kept in another way, or its tree made anew, while data get into files, and others out of them, as they still
/// may after a remount that was forced: what is kept is right.
fn convert(image: &Image, keep: Keep) {
    const SECTORS: u64 = 4;
    let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
    let twice = |task: usize| {
        let (inode, first) = written(&mounted, &directory(task), SECTORS);
        let second = ordered(&mounted, &inode, b'w', SECTORS);
        (inode, [first, second])
    };
    let files: Vec<_> = (0..TASKS).map(twice).collect();
    mounted.txns.commit().unwrap();
    mounted.volume.pause_writing();
    if keep != Keep::InTree {
        mounted.txns.doubt_free_space(keep).unwrap();
    }
    let mounted = std::sync::Arc::new(mounted);
    let change = |(inode, extents): (Arc<Inode>, [OrderedExtent; 2])| {
        let mounted = mounted.clone();
        thread::spawn(move || {
            for extent in extents {
                mounted.fs.data().finish_ordered(&inode, extent).unwrap();
                mounted.txns.commit().unwrap();
            }
        })
    };
    let tasks: Vec<_> = files.into_iter().map(change).collect();
    mounted.txns.begin_writing(keep).unwrap();
    tasks.into_iter().for_each(|task| task.join().unwrap());
    assert_eq!(latch::lockdep::held(), 0);
    mounted.txns.commit().unwrap();
    assert_eq!(mounted.txns.is_aborted(), None);
    mounted.txns.space().audit().unwrap();
    let features = mounted.volume.superblock().compat_ro;
    assert!(!features.has_stale_free_space());
    assert_eq!(
        features.contains(CompatRo::FREE_SPACE_TREE),
        keep != Keep::Nowhere
    );
    tools::check(&mounted.images()[0]).unwrap();
}

/// A commit resets the zone of a group in which nothing is left, while others look for zones that are held for nothing: what
/// is free there can be written.
fn reset_and_relieve(image: &Image) {
    let mounted = Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap();
    let files = [b"a", b"b", b"c"].map(|name| {
        let (inode, ordered) = written(&mounted, name, MIB / SECTOR);
        mounted.fs.data().finish_ordered(&inode, ordered).unwrap();
        inode
    });
    mounted.txns.commit().unwrap();
    for inode in &files {
        let space = mounted.fs.file_space();
        space.truncate(inode, Bytes::ZERO, NOW).unwrap();
    }
    let space = mounted.txns.space().clone();
    let relieve = thread::spawn(move || {
        for _ in 0..3 {
            let _ = space.relieve_zones().unwrap();
            let _ = space.give_up_data_zone().unwrap();
        }
    });
    mounted.txns.commit().unwrap();
    relieve.join().unwrap();
    let (inode, ordered) = written(&mounted, b"d", 1);
    let logical = ordered.extent.get().logical;
    mounted.fs.data().finish_ordered(&inode, ordered).unwrap();
    let mapping = mounted.volume.map(logical, Bytes::new(SECTOR)).unwrap();
    let image = mounted.device().image();
    let zone = image
        .zones
        .as_ref()
        .unwrap()
        .at(mapping.copies()[0].at.get());
    assert_ne!(zone.condition, ZoneCondition::Full);
}

fn search(image: Image) {
    search_in(image, once, TRIES);
}

fn search_in(image: Image, once: fn(&Image), tries: usize) {
    let mut config = Config::new();
    // The engine's own stack fits into the kernel's; this build's frames are larger.
    config.stack_size = 2 << 20;
    let image = std::sync::Arc::new(image);
    let run = |scheduler: Box<dyn Scheduler + Send>, image: std::sync::Arc<Image>| {
        Runner::new(scheduler, config.clone()).run(move || once(&image));
    };
    run(Box::new(RandomScheduler::new(tries)), image.clone());
    run(Box::new(PctScheduler::new(3, tries)), image);
}

#[test]
fn where_groups_are_free_is_read_while_it_changes() {
    // What can go wrong does so between two locks, and needs many steps there.
    search_in(tools::mkfs(256 * MIB, &[]), forget_and_read, 150 * TRIES);
}

#[test]
fn groups_change_while_they_are_written() {
    search_in(
        tools::mkfs(256 * MIB, &[]),
        change_what_is_written,
        10 * TRIES,
    );
}

#[test]
fn groups_are_closed_while_they_are_read() {
    search_in(tools::mkfs(256 * MIB, &[]), close_and_read, 10 * TRIES);
}

#[test]
fn an_item_is_removed_as_it_was_seen() {
    search_in(
        tools::mkfs(256 * MIB, &[]),
        remove_what_was_seen,
        10 * TRIES,
    );
}

#[test]
fn new_sums_stay_where_others_go() {
    search_in(
        tools::mkfs(256 * MIB, &["-n", "4096"]),
        write_over_stale_sums,
        10 * TRIES,
    );
}

#[test]
fn what_is_promised_is_found_wherever_it_moves() {
    search_in(tools::mkfs(256 * MIB, &[]), allocate_what_moves, 50 * TRIES);
}

#[test]
fn a_zone_is_reset_or_finished_but_not_both() {
    let layout = tools::zone_layout(4 * MIB);
    let image = tools::mkfs_zoned(14, &["-m", "single", "-d", "single"], layout);
    search_in(image, reset_and_relieve, 5 * TRIES);
}

#[test]
fn commits_on_a_regular_device() {
    search(tools::mkfs(256 * MIB, &[]));
}

#[test]
fn commits_on_a_zoned_device() {
    let layout = ZoneLayout {
        max_active: Some(14),
        ..tools::zone_layout(64 * MIB)
    };
    search(tools::mkfs_zoned(
        12,
        &["-m", "single", "-d", "single"],
        layout,
    ));
}

#[test]
fn a_free_space_tree_is_made_beside_others() {
    let none = tools::mkfs(256 * MIB, &["-O", "^free-space-tree,^block-group-tree"]);
    search_in(none, |image| convert(image, Keep::InTree), TRIES);
}

#[test]
fn a_free_space_tree_is_made_anew_at_once_beside_others() {
    let both = tools::mkfs(256 * MIB, &["-O", "block-group-tree"]);
    search_in(both, |image| convert(image, Keep::AsFound), TRIES);
}

#[test]
fn a_free_space_tree_goes_beside_others() {
    let tree = tools::mkfs(256 * MIB, &["-O", "^block-group-tree"]);
    search_in(tree, |image| convert(image, Keep::Nowhere), TRIES);
}
