// SPDX-License-Identifier: GPL-2.0
//! Between a free space tree, caches (v1) and neither: before the first write of a mount, or of a remount. `btrfs check` compares a
//! tree that is valid, and caches, with the extent tree.

use crate::files::{File, Files};
use crate::kept_caches::are_right;
use crate::mounted::{mount, mount_with, unmount};
use crate::old_caches::with_caches;
use engine::disk::raw::RawSuperblock;
use engine::disk::{BlockGroupFlags, CompatRo, Key, Kind, Logical, ObjectId};
use engine::txn::{Access, Keep, Options, TreeTrust, Units};
use engine::volume::Writes;
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::mount::{devices, free_ranges, Layers};
use harness::random::Random;
use harness::tools;
use kernel::prelude::{EINVAL, ENOSPC};
use kernel::print::Capture;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::vec::Vec;
use zerocopy::FromZeros;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const OLD_FORMAT: &[&str] =
    &["-O", "^free-space-tree,^block-group-tree", "-m", "single"];
pub(crate) const WITH_TREE: &[&str] = &["-O", "^block-group-tree", "-m", "single"];
pub(crate) const WITH_BOTH: &[&str] = &["-O", "block-group-tree", "-m", "single"];
const OF_TREE: u64 = CompatRo::FREE_SPACE_TREE.get() | CompatRo::FREE_SPACE_TREE_VALID.get();

pub(crate) fn options(keep: Keep) -> Options {
    let mut options = Options::new(Access::ReadWrite);
    options.keep = keep;
    options
}

/// The options of a mount that believes no free space tree.
pub(crate) fn doubting(keep: Keep) -> Options {
    let mut options = options(keep);
    options.free_space = TreeTrust::Doubted;
    options
}

pub(crate) fn superblock(image: &Image) -> RawSuperblock {
    let mut raw = RawSuperblock::new_zeroed();
    tools::edit_superblock(&mut image.clone(), |found| raw = *found);
    raw
}

/// What the superblock says of a free space tree.
pub(crate) fn features(image: &Image) -> u64 {
    superblock(image).compat_ro_flags.get() & OF_TREE
}

fn root_tree(image: &Image) -> String {
    tools::dump_tree(image, &["-t", "root"]).unwrap()
}

pub(crate) fn without_word(mut image: Image) -> Image {
    tools::edit_superblock(&mut image, |raw| raw.cache_generation.set(0));
    image
}

/// The log has such a line.
#[track_caller]
pub(crate) fn tells(log: &Capture, line: &str) {
    assert!(log.contains(line), "{:?}", log.lines());
}

/// A volume with files, every second of them removed again.
pub(crate) fn used(image: Image) -> (Image, Vec<File>) {
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    let make = |number| files.create(&format!("file{number}"), 16384, 4096).unwrap();
    let all: Vec<File> = (0..600).map(make).collect();
    mounted.txns.commit().unwrap();
    let (kept, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|file| file.inode % 2 == 0);
    gone.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    (unmount(mounted), kept)
}

/// There is a tree, it is right, and there are no caches.
pub(crate) fn has_tree(image: &Image) {
    assert_eq!(features(image), OF_TREE);
    let roots = root_tree(image);
    assert!(roots.contains("(FREE_SPACE_TREE ROOT_ITEM"));
    assert!(!roots.contains("(FREE_SPACE UNTYPED"));
    assert_eq!(superblock(image).cache_generation.get(), 0);
    tools::check(image).unwrap();
}

/// The tree lacks some of what it should have of groups of data, says something else of the rest, and is valid.
pub(crate) fn made_wrong(image: Image) -> Image {
    let mounted = mount(image).unwrap();
    let tree = mounted
        .txns
        .required_tree(ObjectId::FREE_SPACE_TREE)
        .unwrap();
    let mut keys = Vec::new();
    let scanned = tree.scan(Key::MIN..=Key::MAX, |key, _| {
        keys.push(key);
        Ok(core::ops::ControlFlow::Continue(()))
    });
    scanned.unwrap();
    let handle = mounted.txns.start(Units::inserts(20)).unwrap();
    // Those of metadata are changed by the commit, which would find out.
    let is_of_data = |key: &&Key| {
        let chunk = mounted.volume.chunk(Logical::new(key.objectid.get()));
        chunk.unwrap().flags.contains(BlockGroupFlags::DATA)
    };
    let mut wrong = 0;
    for key in keys.iter().filter(is_of_data) {
        match key.kind {
            Kind::FREE_SPACE_BITMAP => tree.update(&handle, key, |bits| bits.fill(0x5a)).unwrap(),
            Kind::FREE_SPACE_EXTENT => tree.remove(&handle, key).unwrap(),
            _ => continue,
        }
        wrong += 1;
    }
    assert!(wrong > 0);
    handle.commit().unwrap();
    mounted.device().image()
}

/// There is no tree, nothing of one, and all is well.
pub(crate) fn has_no_tree(image: &Image) {
    assert_eq!(features(image), 0);
    assert!(!root_tree(image).contains("(FREE_SPACE_TREE ROOT_ITEM"));
    tools::check(image).unwrap();
}

/// All of `kept` is there; every second goes, and something else comes.
pub(crate) fn goes_on(mounted: Layers, kept: &[File]) -> Image {
    let files = Files::new(&mounted.txns);
    assert!(kept.iter().all(|file| files.has(file)));
    let gone = kept.iter().step_by(2);
    gone.for_each(|file| files.remove(file).unwrap());
    files.create("another", 3 * MIB, MIB).unwrap();
    drop(files);
    unmount(mounted)
}

/// The next mount has nothing to do, and finds free what this one does.
pub(crate) fn stays(image: &Image) {
    let log = Capture::new();
    let mounted = mount(image.clone()).unwrap();
    let found = free_ranges(mounted.txns.space());
    let next = unmount(mounted);
    assert_eq!(log.lines(), Vec::<String>::new());
    tools::check(&next).unwrap();
    // By the extent tree alone.
    let mut bare = image.clone();
    tools::edit_superblock(&mut bare, |raw| {
        let features = raw.compat_ro_flags.get();
        raw.compat_ro_flags.set(features & !OF_TREE);
        raw.cache_generation.set(0);
    });
    let devices = devices(vec![bare]).unwrap();
    let later = Options::new(Access::ReadWrite);
    let mounted = Layers::mount_opened(devices, Writes::Later, later, Ok).unwrap();
    assert!(found == free_ranges(mounted.txns.space()));
}

fn sources() -> Vec<Image> {
    let old = || tools::mkfs(256 * MIB, OLD_FORMAT);
    let small_nodes = ["-n", "4096", OLD_FORMAT[0], OLD_FORMAT[1]];
    vec![
        old(),
        without_word(old()),
        with_caches(old(), |_, _, _| {}),
        tools::mkfs(256 * MIB, &small_nodes),
    ]
}

/// With so many zones, and a tree that nothing else needs.
pub(crate) fn zoned(zones: u64, capacity: u64) -> Image {
    let layout = ZoneLayout {
        max_active: Some(14),
        ..tools::zone_layout(capacity)
    };
    let options = ["-m", "single", "-d", "single", "-O", "^block-group-tree"];
    tools::mkfs_zoned(zones, &options, layout)
}

pub(crate) fn zoned_without(zones: u64, capacity: u64) -> Image {
    let mounted = mount_with(zoned(zones, capacity), doubting(Keep::Nowhere)).unwrap();
    unmount(mounted)
}

#[test]
fn a_tree_is_made_where_it_is_wanted() {
    for image in sources() {
        let (image, kept) = used(image);
        let log = Capture::new();
        let mounted = mount_with(image, options(Keep::InTree)).unwrap();
        tells(&log, "creating free space tree");
        has_tree(&mounted.device().after_power_cut(&mut Random::new(1)));
        let image = goes_on(mounted, &kept);
        has_tree(&image);
        stays(&image);
        // It is wanted, and there.
        let log = Capture::new();
        let mounted = mount_with(image.clone(), options(Keep::InTree)).unwrap();
        assert!(unmount(mounted).pages == image.pages);
        assert_eq!(log.lines(), Vec::<String>::new());
    }
}

/// Caches that cannot be there are not said to be, by a mount that writes: `btrfs check --clear-space-cache v1` leaves such a
/// superblock beside a tree.
#[test]
fn a_number_of_caches_goes_where_there_can_be_none() {
    for mut image in [
        tools::mkfs(256 * MIB, WITH_TREE),
        tools::mkfs(256 * MIB, &["-O", "block-group-tree"]),
        zoned_without(12, 64 * MIB),
    ] {
        tools::edit_superblock(&mut image, |raw| raw.cache_generation.set(u64::MAX));
        let generation = |mounted: &Layers| {
            assert!(!mounted.volume.superblock().has_caches());
            let left = mounted.device().after_power_cut(&mut Random::new(1));
            superblock(&left).cache_generation.get()
        };
        assert_eq!(generation(&mount(image.clone()).unwrap()), 0);
        let mounted = mount_to_write_later(image, options(Keep::AsFound));
        assert_eq!(generation(&mounted), u64::MAX);
        mounted.txns.begin_writing(Keep::AsFound).unwrap();
        assert_eq!(generation(&mounted), 0);
        tools::check(&unmount(mounted)).unwrap();
    }
}

#[test]
fn a_tree_is_given_up_where_it_is_not_believed_and_not_wanted() {
    for extra in [&["-n", "16384"], &["-n", "4096"]] {
        let image = tools::mkfs(256 * MIB, &[WITH_TREE, extra].concat());
        let (image, kept) = used(image);
        let log = Capture::new();
        let mounted = mount_with(image, doubting(Keep::Nowhere)).unwrap();
        tells(&log, "disabling free space tree");
        has_no_tree(&mounted.device().after_power_cut(&mut Random::new(1)));
        let image = goes_on(mounted, &kept);
        has_no_tree(&image);
        assert_eq!(superblock(&image).cache_generation.get(), 0);
        stays(&image);
    }
}

/// On zones, too, both ways.
#[test]
fn a_zoned_volume_goes_there_and_back() {
    let (image, kept) = used(zoned_without(12, 64 * MIB));
    has_no_tree(&image);
    let mounted = mount_with(image, options(Keep::InTree)).unwrap();
    let image = goes_on(mounted, &kept);
    has_tree(&image);
    stays(&image);
    let image = unmount(mount_with(image, doubting(Keep::Nowhere)).unwrap());
    has_no_tree(&image);
    stays(&image);
}

#[test]
fn caches_take_the_place_of_a_tree() {
    let image = tools::mkfs(4096 * MIB, WITH_TREE);
    let (image, kept) = used(image);
    let mounted = mount_with(image, doubting(Keep::InCaches)).unwrap();
    has_no_tree(&mounted.device().after_power_cut(&mut Random::new(1)));
    let image = goes_on(mounted, &kept);
    has_no_tree(&image);
    are_right(&image, 1);
    let image = unmount(mount_with(image, options(Keep::InTree)).unwrap());
    has_tree(&image);
}

#[test]
fn a_tree_that_is_believed_stays() {
    let image = tools::mkfs(256 * MIB, WITH_TREE);
    for keep in [Keep::Nowhere, Keep::InCaches] {
        let log = Capture::new();
        let mounted = mount_with(image.clone(), options(keep));
        assert_eq!(mounted.err(), Some(EINVAL));
        assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
        assert!(log.contains("cannot disable free-space-tree"));
    }
}

#[test]
fn a_tree_stays_that_a_block_group_tree_needs() {
    let image = tools::mkfs(256 * MIB, &["-O", "block-group-tree"]);
    for keep in [Keep::Nowhere, Keep::InCaches] {
        let log = Capture::new();
        let mounted = mount_with(image.clone(), doubting(keep));
        assert_eq!(mounted.err(), Some(EINVAL));
        assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
        assert!(log.contains("with block-group-tree feature"));
    }
}

pub(crate) fn mount_to_write_later(image: Image, options: Options) -> Layers {
    let devices = devices(vec![image]).unwrap();
    Layers::mount_opened(devices, Writes::Later, options, Ok).unwrap()
}

/// What a mount that only reads was asked for is done when it becomes writable, and what that asks for.
#[test]
fn who_writes_later_makes_it_later() {
    for image in sources() {
        let (image, kept) = used(image);
        let mounted = mount_to_write_later(image.clone(), options(Keep::InTree));
        assert!(mounted.device().image().pages == image.pages);
        mounted.txns.begin_writing(Keep::InTree).unwrap();
        has_tree(&mounted.device().after_power_cut(&mut Random::new(1)));
        let image = goes_on(mounted, &kept);
        has_tree(&image);
        stays(&image);
    }
}

#[test]
fn who_writes_later_gives_it_up_later() {
    let (image, kept) = used(tools::mkfs(256 * MIB, WITH_TREE));
    for wanted in [doubting(Keep::Nowhere), options(Keep::AsFound)] {
        let mounted = mount_to_write_later(image.clone(), wanted);
        assert_eq!(mounted.txns.begin_writing(Keep::Nowhere), Err(EINVAL));
        mounted.txns.doubt_free_space(Keep::Nowhere).unwrap();
        assert!(mounted.device().image().pages == image.pages);
        mounted.txns.begin_writing(Keep::Nowhere).unwrap();
        let image = goes_on(mounted, &kept);
        has_no_tree(&image);
        stays(&image);
    }
}

/// A tree that is not valid, or not believed any more, is made anew by a mount that becomes writable.
#[test]
fn who_writes_later_makes_it_anew_later() {
    let (image, kept) = used(tools::mkfs(256 * MIB, WITH_TREE));
    let mut stale = image.clone();
    tools::edit_superblock(&mut stale, |raw| {
        raw.compat_ro_flags.set(CompatRo::FREE_SPACE_TREE.get());
    });
    for (image, is_stale) in [(image, false), (stale, true)] {
        let log = Capture::new();
        let mounted = mount_to_write_later(image.clone(), options(Keep::AsFound));
        if !is_stale {
            mounted.txns.doubt_free_space(Keep::AsFound).unwrap();
        }
        assert!(mounted.device().image().pages == image.pages);
        mounted.txns.begin_writing(Keep::AsFound).unwrap();
        tells(&log, "rebuilding free space tree");
        let image = goes_on(mounted, &kept);
        has_tree(&image);
        stays(&image);
    }
}

/// A mount goes there and back as often as it becomes writable.
#[test]
fn a_remount_changes_it_again_and_again() {
    let (image, kept) = used(tools::mkfs(256 * MIB, OLD_FORMAT));
    let mounted = mount(image).unwrap();
    let txns = &mounted.txns;
    let files = Files::new(txns);
    for round in 0..3 {
        for keep in [Keep::InTree, Keep::Nowhere] {
            mounted.volume.pause_writing();
            txns.commit().unwrap();
            if keep == Keep::Nowhere {
                txns.doubt_free_space(keep).unwrap();
            }
            txns.begin_writing(keep).unwrap();
            files
                .create(&format!("{keep:?}{round}"), MIB, 65536)
                .unwrap();
            files
                .remove(&kept[2 * round + usize::from(keep == Keep::InTree)])
                .unwrap();
            let image = mounted.device().image();
            match keep {
                Keep::InTree => has_tree(&image),
                _ => has_no_tree(&image),
            }
            txns.commit().unwrap();
            txns.maintain().unwrap();
        }
    }
    drop(files);
    let image = unmount(mounted);
    has_no_tree(&image);
    stays(&image);
}

/// What is still written after a remount that was forced goes on while the tree is made, made anew, and given up.
#[test]
fn others_change_the_volume_meanwhile() {
    for seed in 0..4 {
        others_change(tools::mkfs(512 * MIB, OLD_FORMAT), &BOTH_WAYS, seed);
        let anew = [Keep::AsFound, Keep::AsFound];
        others_change(tools::mkfs(512 * MIB, WITH_BOTH), &anew, seed);
    }
}

/// With so many block groups that commits come between.
#[test]
fn others_change_a_volume_of_many_groups_meanwhile() {
    for seed in 0..4 {
        let mounted = mount(zoned_without(60, 8 * MIB)).unwrap();
        let files = Files::new(&mounted.txns);
        let fill = |number| files.create(&format!("fill{number}"), 2 * MIB, 65536);
        (0..120).for_each(|number| drop(fill(number).unwrap()));
        drop(files);
        others_change(unmount(mounted), &BOTH_WAYS, seed);
    }
}

const BOTH_WAYS: [Keep; 3] = [Keep::InTree, Keep::AsFound, Keep::Nowhere];

fn others_change(image: Image, ways: &[Keep], seed: u64) {
    let (image, kept) = used(image);
    let mounted = mount(image).unwrap();
    let txns = &mounted.txns;
    let files = Files::new(txns);
    for (round, &keep) in ways.iter().enumerate() {
        mounted.volume.pause_writing();
        if keep != Keep::InTree {
            txns.doubt_free_space(keep).unwrap();
        }
        let (begun, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = |user: usize| {
            let mut random = Random::new(seed * 10 + user as u64);
            let mut mine = Vec::new();
            for number in 0.. {
                begun.fetch_add(1, Ordering::Relaxed);
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("{round}.{user}.{number}");
                mine.push(files.create(&name, 12 * 4096, 8192).unwrap());
                if mine.len() > 3 {
                    let at = random.below(mine.len() as u64) as usize;
                    files.remove(&mine.swap_remove(at)).unwrap();
                }
                if random.below(8) == 0 {
                    txns.commit().unwrap();
                }
                if random.below(8) == 0 {
                    txns.maintain().unwrap();
                }
            }
        };
        std::thread::scope(|scope| {
            let work = &work;
            for user in 0..2 {
                scope.spawn(move || work(user));
            }
            while begun.load(Ordering::Relaxed) < 8 {
                std::thread::yield_now();
            }
            let done = txns.begin_writing(keep);
            ended.store(true, Ordering::Relaxed);
            done.unwrap();
        });
        txns.commit().unwrap();
        let image = mounted.device().image();
        match keep {
            Keep::InTree | Keep::AsFound => has_tree(&image),
            _ => has_no_tree(&image),
        }
    }
    assert!(kept.iter().all(|file| files.has(file)));
    drop(files);
    stays(&unmount(mounted));
}

/// A volume that is full of data and of metadata, and the files in it.
pub(crate) fn full(image: Image) -> (Image, Vec<File>) {
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    let fill = |name: &str, len| {
        let mut made = Vec::new();
        loop {
            match files.create(&format!("{name}{}", made.len()), len, MIB) {
                Ok(file) => made.push(file),
                Err(error) if error == ENOSPC => return made,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    let mut all = fill("data", 2 * MIB);
    all.extend(fill(&"name".repeat(50), 0));
    mounted.txns.commit().unwrap();
    drop(files);
    (unmount(mounted), all)
}

/// Files of a full volume can be removed, and leave it right.
pub(crate) fn can_be_emptied(mounted: Layers, all: &[File]) {
    let files = Files::new(&mounted.txns);
    all.iter()
        .step_by(7)
        .for_each(|file| files.remove(file).unwrap());
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}

/// On a full volume the tree is made from what is kept back, or refused and the volume as it was.
#[test]
fn a_full_volume_gets_a_tree_or_stays_as_it_was() {
    let mut made = 0;
    for image in [
        tools::mkfs(128 * MIB, OLD_FORMAT),
        tools::mkfs(256 * MIB, &[OLD_FORMAT, &["-n", "65536"]].concat()),
        zoned_without(24, 16 * MIB),
    ] {
        let (image, all) = full(image);
        let devices = devices(vec![image]).unwrap();
        let device = devices[0].clone();
        match Layers::mount(devices, options(Keep::InTree), Ok) {
            Ok(mounted) => {
                made += 1;
                has_tree(&mounted.device().image());
                unmount(mounted);
            }
            Err(error) => {
                assert_eq!(error, ENOSPC);
                has_no_tree(&device.image());
            }
        }
        let mounted = mount(device.image()).unwrap();
        can_be_emptied(mounted, &all);
    }
    assert!(made > 1, "{made}");
}

#[test]
fn a_full_volume_gives_its_tree_up() {
    for image in [tools::mkfs(128 * MIB, WITH_TREE), zoned(24, 16 * MIB)] {
        let (image, all) = full(image);
        let mounted = mount_with(image, doubting(Keep::Nowhere)).unwrap();
        has_no_tree(&mounted.device().image());
        can_be_emptied(mounted, &all);
    }
}
