// SPDX-License-Identifier: GPL-2.0
//! Free space caches (v1) that are not to be kept are gone with the first write, so that C never believes one that has become wrong.

use crate::files::{File, Files};
use crate::mounted::{mount_with, unmount};
use crate::old_caches::{
    as_c_catches_up, believed, dropping, extents_of_caches, headers, with_caches, with_strays,
    CacheItems, FIRST_INODE,
};
use engine::btree::Tree;
use engine::disk::{CompatRo, Key, Kind, Leaf, Logical, ObjectId};
use engine::txn::{Access, Handle, Options, TreeTrust, Units};
use harness::device::{Fate, Image, Recorder};
use harness::mount::{devices, Layers};
use harness::random::Random;
use harness::tools;
use harness::walker::{walk, Found};
use kernel::prelude::{Result, EINVAL, EUCLEAN};
use kernel::print::Capture;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const OLD_FORMAT: &[&str] = &["-O", "^free-space-tree,^block-group-tree", "-m", "single"];

fn mount(image: Image) -> Result<Layers> {
    mount_with(image, dropping())
}

fn volume() -> (Image, File) {
    let mounted = mount(tools::mkfs(256 * MIB, OLD_FORMAT)).unwrap();
    let files = Files::new(&mounted.txns);
    let old = files.create("old", 65536, 65536).unwrap();
    drop(files);
    (unmount(mounted), old)
}

fn no_change(_: &Tree, _: &Handle, _: &[CacheItems]) {}

fn cache_generation(image: &Image) -> u64 {
    walk(image).superblock.cache_generation
}

/// Nothing is left of caches, and C will not say otherwise.
fn is_clean(image: &Image) {
    let walked = walk(image);
    assert_eq!(headers(&walked), [], "headers");
    let of_caches = |key: &&(Key, Vec<u8>)| key.0.objectid.get() >= FIRST_INODE;
    let inodes = walked.items(ObjectId::ROOT_TREE, Kind::INODE_ITEM);
    assert_eq!(inodes.iter().filter(|item| of_caches(item)).count(), 0);
    assert_eq!(walked.superblock.cache_generation, 0);
    tools::check(image).unwrap();
}

/// What is used of a group is the same, and lies elsewhere.
#[test]
fn c_never_believes_a_cache_of_before_our_changes() {
    let (image, old) = volume();
    let image = with_caches(image, no_change);
    let right = believed(&image);
    assert!(
        right.len() >= 3 && right.iter().all(|(_, right)| *right),
        "{right:?}"
    );
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    files.create("new", 65536, 65536).unwrap();
    mounted.txns.commit().unwrap();
    files.remove(&old).unwrap();
    drop(files);
    let mut image = unmount(mounted);
    as_c_catches_up(&mut image);
    assert_eq!(believed(&image), []);
    is_clean(&image);
}

/// Nobody has to write: a mount that could is enough. One that cannot changes nothing.
#[test]
fn caches_go_with_a_mount_that_writes() {
    let image = with_caches(volume().0, no_change);
    let read_only = Options::new(Access::ReadOnly);
    let mounted = mount_with(image.clone(), read_only).unwrap();
    assert!(unmount(mounted).pages == image.pages);
    let log = Capture::new();
    let mounted = mount(image).unwrap();
    assert!(
        log.contains("cleaning free space cache v1"),
        "{:?}",
        log.lines()
    );
    let image = mounted.device().after_power_cut(&mut Random::new(1));
    is_clean(&image);
    drop(mounted);
    // All is done: another mount has nothing to do.
    let log = Capture::new();
    assert!(unmount(mount(image.clone()).unwrap()).pages == image.pages);
    assert_eq!(log.lines(), Vec::<String>::new());
}

/// Without caches C may go on to make some, unless that is unwanted.
#[test]
fn where_there_is_none_they_are_given_up_when_asked() {
    let image = tools::mkfs(256 * MIB, OLD_FORMAT);
    assert_eq!(cache_generation(&image), u64::MAX);
    let mounted = mount(image).unwrap();
    let image = mounted.device().image();
    assert_eq!(cache_generation(&image), u64::MAX);
    mounted.txns.give_up_caches().unwrap();
    assert_eq!(cache_generation(&mounted.device().image()), 0);
    let image = unmount(mounted);
    is_clean(&image);
    let mounted = mount(image.clone()).unwrap();
    mounted.txns.give_up_caches().unwrap();
    assert!(unmount(mounted).pages == image.pages);
}

/// So many headers of no group, before all others, that those go in a later transaction.
fn many_strays(root: &Tree, txn: &Handle, _: &[CacheItems]) {
    for number in 0..40 {
        let items = CacheItems::new(5000 + number, Logical::new(0));
        items.insert_header(root, txn, number * 4096);
    }
}

/// Wherever the power is cut, C believes no cache that is wrong, and the next mount goes on.
#[test]
fn the_power_is_cut_while_caches_are_dropped() {
    let image = with_caches(volume().0, many_strays);
    tools::check(&image).unwrap();
    let devices = devices(vec![image.clone()]).unwrap();
    let recorder = Recorder::default();
    devices[0].record(&recorder, 0);
    drop(Layers::mount(devices, dropping(), Ok).unwrap());
    let mut replay = recorder.replay(vec![image]);
    let (mut random, mut cuts, mut half_way) = (Random::new(3), 0, 0);
    while replay.step() {
        if !replay.is_after_change() {
            continue;
        }
        for fate in Fate::ALL {
            let cut = replay.power_cut_with(fate, &mut random).remove(0);
            tools::check(&cut).unwrap();
            let left = headers(&walk(&cut)).len();
            half_way += usize::from(0 < left && cache_generation(&cut) == 0);
            let mut seen_by_c = cut.clone();
            as_c_catches_up(&mut seen_by_c);
            assert!(believed(&seen_by_c).iter().all(|(_, right)| *right));
            is_clean(&unmount(mount(cut).unwrap()));
            is_clean(&unmount(mount(seen_by_c).unwrap()));
            cuts += 1;
        }
    }
    assert!(cuts > 5 && half_way > 2, "{cuts}, {half_way}");
}

/// Wherever the power is cut in a mount, the volume as it was or one of no caches is left.
fn none_are_left_behind(image: Image, options: Options) {
    let before = walk(&image).superblock;
    assert_ne!(before.cache_generation, 0);
    let devices = devices(vec![image.clone()]).unwrap();
    let recorder = Recorder::default();
    devices[0].record(&recorder, 0);
    drop(Layers::mount(devices, options, Ok).unwrap());
    let mut replay = recorder.replay(vec![image]);
    let (mut random, mut changed) = (Random::new(3), 0);
    while replay.step() {
        let cut = replay.power_cut_with(Fate::ALL[0], &mut random).remove(0);
        let mut found = None;
        tools::edit_superblock(&mut cut.clone(), |raw| {
            found = Some((raw.generation.get(), raw.cache_generation.get()));
        });
        let (generation, of_caches) = found.unwrap();
        if generation != before.generation.get() {
            assert_eq!(of_caches, 0, "{generation}");
            changed += 1;
        }
    }
    assert!(changed > 2, "{changed}");
}

/// Making a free space tree anew takes several commits.
#[test]
fn no_commit_comes_before_caches_are_void_beside_a_stale_tree() {
    let options = ["-O", "^block-group-tree"];
    let mut image = with_caches(tools::mkfs(256 * MIB, &options), no_change);
    tools::edit_superblock(&mut image, |raw| {
        let stale = CompatRo::FREE_SPACE_TREE_VALID.get();
        raw.compat_ro_flags.set(raw.compat_ro_flags.get() & !stale);
    });
    none_are_left_behind(image, Options::new(Access::ReadWrite));
}

/// To void so many caches needs more metadata than there is, and no chunk can be made before an empty block group is gone.
#[test]
fn no_commit_comes_before_caches_are_void_for_want_of_space() {
    let mounted = mount(volume().0).unwrap();
    let files = Files::new(&mounted.txns);
    let for_caches = mounted.txns.reserve(Units::inserts(220)).unwrap();
    let fill = |number| files.create(&format!("file{number}"), 2 * MIB, MIB).ok();
    let filled: Vec<File> = (0..).map_while(fill).collect();
    let gone = filled.iter().rev().take(25);
    gone.for_each(|file| files.remove(file).unwrap());
    drop((files, for_caches));
    let image = with_caches(unmount(mounted), |root, txn, _| {
        for number in 0..8000 {
            let items = CacheItems::new(5000 + number, Logical::new(0));
            items.insert_header(root, txn, number * 64);
        }
    });
    none_are_left_behind(image, dropping());
}

/// A change of the root tree that no driver makes, how often a line says that a file stays, and what it says.
type Damage = (&'static str, usize, fn(&Tree, &Handle, &[CacheItems]));

const DAMAGES: [Damage; 7] = [
    ("leads to no inode", 1, |root, txn, _| {
        CacheItems::new(6, Logical::new(0)).insert_header(root, txn, 4096);
    }),
    ("", 0, |root, txn, all| {
        all[0].insert_header(root, txn, 4096)
    }),
    ("none of a cache", 1, |root, txn, all| {
        let mut items = CacheItems::new(5000, all[0].extent.disk_addr);
        items.inode.mode = 0o040755;
        items.insert_file(root, txn);
        items.insert_header(root, txn, 4096);
    }),
    ("has something else", 1, |root, txn, _| {
        let items = CacheItems::new(5000, Logical::new(0));
        items.insert_file(root, txn);
        items.insert_header(root, txn, 4096);
        let string = Key::new(5000, Kind::STRING_ITEM, 1);
        root.insert(txn, &string, &[1]).unwrap();
    }),
    ("other references", 1, |root, txn, all| {
        let items = CacheItems::new(5000, all[0].extent.disk_addr);
        items.insert_file(root, txn);
        items.insert_header(root, txn, 4096);
    }),
    ("not in a block group of data", 1, |root, txn, _| {
        let items = CacheItems::new(5000, Logical::new(1 << 50));
        items.insert_file(root, txn);
        items.insert_header(root, txn, 4096);
    }),
    ("in many pieces", 1, |root, txn, _| {
        let items = CacheItems::new(5000, Logical::new(0));
        items.insert_file(root, txn);
        items.insert_header(root, txn, 4096);
        let bytes = root.get(&Key::new(5000, Kind::EXTENT_DATA, 0), |item| item.to_vec());
        let bytes = bytes.unwrap().unwrap();
        for number in 1..100 {
            let key = Key::new(5000, Kind::EXTENT_DATA, number * 65536);
            root.insert(txn, &key, &bytes).unwrap();
        }
    }),
];

/// What is wrong with a cache is said, and costs its file alone. Nobody else's data go.
#[test]
fn a_damaged_cache_stops_no_mount() {
    let (base, _) = volume();
    for (what, times, damage) in DAMAGES {
        let image = with_caches(base.clone(), damage);
        let log = Capture::new();
        let mounted = mount(image).unwrap();
        let lines = log.lines();
        let said = lines.iter().filter(|line| line.contains("stays:"));
        assert!(
            said.clone().all(|line| line.contains(what)),
            "{what}: {lines:?}"
        );
        assert_eq!(said.count(), times, "{what}: {lines:?}");
        let image = unmount(mounted);
        assert_eq!(headers(&walk(&image)), [], "{what}");
        assert_eq!(cache_generation(&image), 0);
    }
}

/// A volume with a free space tree, where the last extent of a leaf reaches into that of a cache, the first of the next leaf,
/// which is given, too. In one leaf it would be seen as the leaf is read.
fn with_overlap() -> (Image, u64) {
    let options = ["-n", "4096", "-m", "single", "-O", "^block-group-tree"];
    let mut image = with_strays(tools::mkfs(256 * MIB, &options), 100, no_change);
    let walked = walk(&image);
    let of_caches = extents_of_caches(&walked);
    let first = |block: &Found| Leaf::new(&block.bytes).item(0).unwrap().0;
    let is_leaf = |block: &&Found| block.owner == ObjectId::EXTENT_TREE && block.level == 0;
    let mut leaves: Vec<_> = walked.blocks.iter().filter(is_leaf).collect();
    leaves.sort_unstable_by_key(|block| first(block));
    let starts_with_cache = |pair: &&[&Found]| of_caches.contains(&first(pair[1]).objectid.get());
    let pair = leaves.windows(2).find(starts_with_cache).unwrap();
    let (before, cache) = (pair[0], first(pair[1]).objectid.get());
    let last = Leaf::new(&before.bytes).nritems() - 1;
    let (key, _) = Leaf::new(&before.bytes).item(last).unwrap();
    assert_eq!(
        (key.kind, key.objectid.get() + key.offset),
        (Kind::EXTENT_ITEM, cache)
    );
    let mut bytes = before.bytes.clone();
    let at = 101 + 25 * last + 9;
    bytes[at..at + 8].copy_from_slice(&(key.offset + 4096).to_le_bytes());
    walked.write(&mut image, before.addr, &mut bytes);
    (image, cache)
}

/// What an overlapping extent has is not the cache's alone. It is the extent tree that is damaged, so the volume is given up
/// when its leaves go out; but no file goes before.
#[test]
fn an_extent_that_overlaps_another_stays() {
    let (image, extent) = with_overlap();
    let log = Capture::new();
    let mounted = mount_with(image, Options::new(Access::ReadWrite));
    let line = format!("a cache file's extent overlaps another, found {extent} ");
    assert!(log.contains(&line), "{:?}", log.lines());
    assert_eq!(mounted.err(), Some(EUCLEAN));
}

/// A header whose leaf cannot be read is not found, so C is told to look at none.
#[test]
fn headers_that_cannot_be_read_stop_no_mount() {
    let image = with_caches(volume().0, |root, txn, _| {
        for number in 0..1000 {
            let items = CacheItems::new(5000 + number, Logical::new(0));
            items.insert_header(root, txn, number * 512);
        }
    });
    let walked = walk(&image);
    let is_of_headers = |bytes: &[u8]| {
        let leaf = Leaf::new(bytes);
        let mut all = (0..leaf.nritems()).filter_map(|slot| leaf.item(slot));
        all.all(|(key, _)| key.objectid == ObjectId::FREE_SPACE)
    };
    let mut blocks = walked.blocks.iter().filter(|block| block.level == 0);
    let block =
        blocks.find(|block| block.owner == ObjectId::ROOT_TREE && is_of_headers(&block.bytes));
    let at = walked.place(block.unwrap().addr);
    let mut image = image;
    image.pages.write(at, &[0x5a; 4096]);
    for options in [dropping(), Options::new(Access::ReadWrite)] {
        let log = Capture::new();
        let mounted = mount_with(image.clone(), options).unwrap();
        assert!(log.contains("cannot be cleaned"), "{:?}", log.lines());
        let files = Files::new(&mounted.txns);
        files.create("new", 65536, 65536).unwrap();
        drop(files);
        let mut image = unmount(mounted);
        let mut found = u64::MAX;
        tools::edit_superblock(&mut image, |raw| found = raw.cache_generation.get());
        assert_eq!(found, 0);
    }
}

/// What is left of caches beside a free space tree goes as well.
#[test]
fn caches_beside_a_tree_are_dropped() {
    let image = with_caches(
        tools::mkfs(256 * MIB, &["-O", "^block-group-tree"]),
        no_change,
    );
    assert_eq!(mount(image.clone()).err(), Some(EINVAL));
    let as_found = Options::new(Access::ReadWrite);
    is_clean(&unmount(mount_with(image, as_found).unwrap()));
}

/// A tree that is not believed is made anew, though it says that it is valid.
#[test]
fn a_doubted_tree_is_made_anew() {
    let image = tools::mkfs(256 * MIB, &["-m", "single", "-O", "^block-group-tree"]);
    let mut options = Options::new(Access::ReadWrite);
    options.free_space = TreeTrust::Doubted;
    let log = Capture::new();
    let mounted = mount_with(image.clone(), options.clone()).unwrap();
    assert!(
        log.contains("rebuilding free space tree"),
        "{:?}",
        log.lines()
    );
    let rebuilt = unmount(mounted);
    tools::check(&rebuilt).unwrap();
    let log = Capture::new();
    let as_found = Options::new(Access::ReadWrite);
    tools::check(&unmount(mount_with(rebuilt, as_found).unwrap())).unwrap();
    assert_eq!(log.lines(), Vec::<String>::new());
    options.access = Access::ReadOnly;
    assert!(unmount(mount_with(image.clone(), options).unwrap()).pages == image.pages);
}
