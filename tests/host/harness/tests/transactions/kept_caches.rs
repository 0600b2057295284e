// SPDX-License-Identifier: GPL-2.0
//! Free space caches (v1) are kept where the superblock says that there are some: each that C or we would believe is right,
//! whatever happened while it was written.

use crate::files::{File, Files};
use crate::mounted::{mount, mount_with, unmount};
use crate::old_caches::{as_c_catches_up, believed, change_items, groups, headers, with_caches};
use crate::read_caches::{derived, found};
use engine::disk::{Bytes, CacheHeader, FileExtent, InodeItem, Key, Kind, ObjectId};
use engine::space::DataExtent;
use engine::txn::{Access, Keep, Options, Units};
use harness::device::faults::Request;
use harness::device::{Fate, Image, Pace, Recorder};
use harness::mount::{devices, Layers};
use harness::random::Random;
use harness::tools;
use harness::walker::{walk, Walked};
use kernel::alloc::inject;
use kernel::prelude::EINVAL;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const OLD_FORMAT: &[&str] = &["-O", "^free-space-tree,^block-group-tree", "-m", "single"];

/// Groups of 400 MiB.
fn volume() -> Image {
    tools::mkfs(4096 * MIB, OLD_FORMAT)
}

/// So many caches are there, each is right, and so is all that a mount takes for free by them.
pub(crate) fn are_right(image: &Image, least: usize) {
    let walked = walk(image);
    let superblock = walked.superblock;
    assert_eq!(superblock.cache_generation, superblock.generation.get());
    let all = believed(image);
    assert!(all.iter().all(|(_, right)| *right), "{all:?}");
    assert!(all.len() >= least, "{all:?} of {:?}", headers(&walked));
    assert_eq!(not_void(&walked), all.len(), "void or right");
    let (free, _) = found(image);
    assert!(free == derived(image));
}

/// How many caches are not void by what their headers say.
pub(crate) fn not_void(walked: &Walked) -> usize {
    let items = walked.items(ObjectId::ROOT_TREE, Kind::CACHE_HEADER);
    let of_caches = items
        .iter()
        .filter(|(key, _)| key.objectid == ObjectId::FREE_SPACE);
    let parsed = of_caches.map(|(_, bytes)| CacheHeader::parse(bytes).unwrap());
    parsed.filter(|header| header.generation.get() > 0).count()
}

pub(crate) fn fill(mounted: &Layers, tag: &str, count: u64) -> Vec<File> {
    fill_in(&Files::new(&mounted.txns), tag, count)
}

fn fill_in(files: &Files<'_>, tag: &str, count: u64) -> Vec<File> {
    let create = |number| {
        files
            .create(&format!("{tag}{number}"), number * 65536, MIB)
            .unwrap()
    };
    (1..=count).map(create).collect()
}

#[test]
fn caches_are_made_and_kept() {
    let mounted = mount(volume()).unwrap();
    let all = fill(&mounted, "a", 30);
    mounted.txns.commit().unwrap();
    let first = mounted.device().image();
    are_right(&first, 1);
    tools::check(&first).unwrap();
    let files = Files::new(&mounted.txns);
    all.iter()
        .step_by(2)
        .for_each(|file| files.remove(file).unwrap());
    mounted.txns.commit().unwrap();
    are_right(&mounted.device().image(), 1);
    drop(files);
    let image = unmount(mounted);
    are_right(&image, 1);
    tools::check(&image).unwrap();
    // Files of another mount are taken over.
    let before = headers(&walk(&image)).len();
    let mounted = mount(image).unwrap();
    fill(&mounted, "b", 30);
    let image = unmount(mounted);
    are_right(&image, 1);
    assert_eq!(headers(&walk(&image)).len(), before);
    tools::check(&image).unwrap();
}

/// A group too small for a cache of its own voids one that somebody else gave it.
#[test]
fn what_is_not_written_is_void() {
    let small = tools::mkfs(256 * MIB, OLD_FORMAT);
    let image = with_caches(small, |_, _, _| {});
    are_right(&image, 3);
    let mounted = mount(image).unwrap();
    fill(&mounted, "a", 10);
    let image = unmount(mounted);
    are_right(&image, 0);
    tools::check(&image).unwrap();
}

/// Caches that are behind go before new ones are kept, which the superblock says at once.
#[test]
fn caches_of_before_are_made_anew() {
    let mounted = mount(volume()).unwrap();
    fill(&mounted, "a", 30);
    let mut image = unmount(mounted);
    let generation = walk(&image).superblock.generation.get();
    tools::edit_superblock(&mut image, |raw| raw.cache_generation.set(generation - 1));
    let mounted = mount(image).unwrap();
    are_right(&mounted.device().image(), 0);
    fill(&mounted, "b", 3);
    let image = unmount(mounted);
    are_right(&image, 1);
    tools::check(&image).unwrap();
}

#[test]
fn who_wishes_caches_gets_them_and_who_does_not_has_none() {
    let mut image = volume();
    tools::edit_superblock(&mut image, |raw| raw.cache_generation.set(0));
    let mounted = mount(image.clone()).unwrap();
    fill(&mounted, "a", 30);
    let none = unmount(mounted);
    assert_eq!(headers(&walk(&none)), []);
    assert_eq!(walk(&none).superblock.cache_generation, 0);
    let mut options = Options::new(Access::ReadWrite);
    options.keep = Keep::InCaches;
    let mounted = mount_with(image, options.clone()).unwrap();
    fill(&mounted, "a", 30);
    mounted.txns.commit().unwrap();
    are_right(&mounted.device().image(), 1);
    mounted.txns.give_up_caches().unwrap();
    fill(&mounted, "b", 30);
    mounted.txns.commit().unwrap();
    assert_eq!(headers(&walk(&mounted.device().image())), []);
    mounted.txns.take_up_caches().unwrap();
    fill(&mounted, "c", 30);
    mounted.txns.commit().unwrap();
    are_right(&mounted.device().image(), 1);
    mounted.txns.give_up_caches().unwrap();
    let image = unmount(mounted);
    assert_eq!(headers(&walk(&image)), []);
    assert_eq!(walk(&image).superblock.cache_generation, 0);
    tools::check(&image).unwrap();
    // Not beside a tree.
    let image = tools::mkfs(4096 * MIB, &["-O", "^block-group-tree"]);
    assert_eq!(mount_with(image.clone(), options).err(), Some(EINVAL));
    let mounted = mount(image).unwrap();
    assert!(!mounted.txns.can_keep_caches());
    assert_eq!(mounted.txns.take_up_caches(), Err(EINVAL));
    fill(&mounted, "a", 30);
    assert_eq!(headers(&walk(&unmount(mounted))), []);
}

/// A cache keeps no group that has nothing else, and goes with its group.
#[test]
fn a_removed_group_leaves_no_cache() {
    let mounted = mount(volume()).unwrap();
    let files = Files::new(&mounted.txns);
    let mut all = Vec::new();
    let ballast = ballast(&mounted, 12, |number| {
        all.push(files.create(&format!("{number}"), 65536, 65536).unwrap());
        mounted.txns.commit().unwrap();
    });
    let before = headers(&walk(&mounted.device().image())).len();
    all.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    give_back(&mounted, &ballast);
    for _ in 0..3 {
        mounted.txns.commit().unwrap();
        mounted.txns.maintain().unwrap();
    }
    let image = unmount(mounted);
    let left: BTreeSet<u64> = groups(&walk(&image))
        .iter()
        .map(|group| group.start)
        .collect();
    assert!(left.len() <= 5, "{left:?}");
    let after = headers(&walk(&image));
    assert!(after.iter().all(|key| left.contains(&key.offset)));
    assert!(after.len() < before, "{before}");
    assert_eq!(
        places(&walk(&image)).len(),
        after.len(),
        "files without a header"
    );
    are_right(&image, 0);
    tools::check(&image).unwrap();
}

/// Takes data space that nobody writes, 128 MiB after 128 MiB.
fn ballast(mounted: &Layers, count: usize, mut after: impl FnMut(usize)) -> Vec<DataExtent> {
    let len = Bytes::new(128 * MIB);
    let mut all = Vec::new();
    for number in 0..count {
        let reserved = mounted.txns.reserve_data(len).unwrap();
        let space = mounted.txns.space();
        all.push(
            space
                .allocate_data(&reserved, len, Bytes::new(4096))
                .unwrap(),
        );
        after(number);
    }
    all
}

fn give_back(mounted: &Layers, ballast: &[DataExtent]) {
    for extent in ballast {
        mounted
            .txns
            .space()
            .release_unwritten(extent.logical, extent.len);
    }
}

/// A volume with a file in each of more than 50 groups of a GiB, and these.
pub(crate) fn many_groups() -> (Image, Vec<File>) {
    groups_with_files(60)
}

/// A volume with a file in each of at least so many groups of a GiB, and these.
pub(crate) fn groups_with_files(count: u64) -> (Image, Vec<File>) {
    let (image, [files, _]) = groups_with_two_files(count);
    (image, files)
}

/// A volume with two files in each of at least so many groups of a GiB: one of each, and the others.
pub(crate) fn groups_with_two_files(count: u64) -> (Image, [Vec<File>; 2]) {
    let mounted = mount(tools::mkfs((count + 14) << 30, OLD_FORMAT)).unwrap();
    let files = Files::new(&mounted.txns);
    let mut all: Vec<File> = Vec::new();
    let ballast = ballast(&mounted, count as usize * 8, |number| {
        all.push(
            files
                .create(&format!("file{number}"), 65536, 65536)
                .unwrap(),
        );
    });
    give_back(&mounted, &ballast);
    // Each commit makes so many.
    for number in 0..8 {
        files.create(&format!("more{number}"), 4096, 4096).unwrap();
        mounted.txns.commit().unwrap();
    }
    drop(files);
    let image = unmount(mounted);
    let starts: Vec<u64> = groups(&walk(&image))
        .iter()
        .map(|group| group.start)
        .collect();
    // The second and the third of each group: something stays in it.
    let mut of_groups: BTreeMap<_, Vec<File>> = BTreeMap::new();
    for file in all {
        let at = file.extents[0].0.get();
        let group = starts.partition_point(|&start| start <= at);
        of_groups.entry(group).or_default().push(file);
    }
    let nth = |n: usize| {
        of_groups
            .values()
            .filter_map(move |files| files.get(n).cloned())
    };
    (image, [1, 2].map(|n| nth(n).collect()))
}

/// The power is cut at every write of a commit that changes more than 50 groups: no cache that is wrong is believed.
#[test]
fn power_may_go_at_any_write_of_many_caches() {
    let (image, all) = many_groups();
    assert!(all.len() >= 50, "{}", all.len());
    are_right(&image, 50);
    let devices = devices(vec![image.clone()]).unwrap();
    devices[0].set_pace(Pace::AnyOrder(Random::new(3)));
    let recorder = Recorder::default();
    devices[0].record(&recorder, 0);
    let mounted = Layers::mount(devices, Options::new(Access::ReadWrite), Ok).unwrap();
    let files = Files::new(&mounted.txns);
    all.iter().for_each(|file| files.remove(file).unwrap());
    mounted.txns.commit().unwrap();
    drop(files);
    let last = unmount(mounted);
    are_right(&last, 50);
    tools::check(&last).unwrap();
    let mut replay = recorder.replay(vec![image]);
    let (mut random, mut cuts, mut few) = (Random::new(7), 0, usize::MAX);
    while replay.step() {
        if !replay.is_after_change() {
            continue;
        }
        for fate in Fate::ALL {
            let cut = replay.power_cut_with(fate, &mut random).remove(0);
            let all = believed(&cut);
            assert!(all.iter().all(|(_, right)| *right), "{all:?}");
            few = few.min(all.len());
            if cuts % 16 == 0 {
                use_it(cut);
            }
            cuts += 1;
        }
    }
    assert!(cuts > 150 && few < 10, "{cuts}, {few}");
}

/// What is allocated by caches is nobody else's.
fn use_it(image: Image) {
    assert!(found(&image).0 == derived(&image));
    let mounted = mount(image).unwrap();
    fill(&mounted, "new", 5);
    let image = unmount(mounted);
    are_right(&image, 0);
    tools::check(&image).unwrap();
}

/// Who does not want caches any more stops in the middle of a commit, and wants them again later.
#[test]
fn caches_may_be_given_up_while_they_are_written() {
    let (image, all) = many_groups();
    let mounted = mount(image.clone()).unwrap();
    let files = Files::new(&mounted.txns);
    all.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    let txns = mounted.txns.clone();
    let stop = move || txns.space().stop_caches();
    mounted.device().before_write(pages(&image), stop);
    mounted.txns.commit().unwrap();
    // Before the rest is done the power is cut, and C lets the number catch up.
    let mut cut = mounted.device().image();
    as_c_catches_up(&mut cut);
    assert_eq!(believed(&cut), []);
    mounted.txns.give_up_caches().unwrap();
    assert_eq!(headers(&walk(&mounted.device().image())), []);
    mounted.txns.take_up_caches().unwrap();
    fill(&mounted, "again", 3);
    mounted.txns.commit().unwrap();
    let image = unmount(mounted);
    are_right(&image, 50);
    tools::check(&image).unwrap();
}

/// From when nobody makes caches void no superblock says that there are any.
#[test]
fn caches_that_are_not_kept_are_not_vouched_for() {
    let mounted = mount(volume()).unwrap();
    let all = fill(&mounted, "a", 30);
    mounted.txns.commit().unwrap();
    are_right(&mounted.device().image(), 1);
    mounted.txns.space().stop_caches();
    let files = Files::new(&mounted.txns);
    all.iter()
        .step_by(2)
        .for_each(|file| files.remove(file).unwrap());
    drop(files);
    // As much is in use as before, in other places.
    fill(&mounted, "b", 15);
    mounted.txns.commit().unwrap();
    let mut cut = mounted.device().image();
    as_c_catches_up(&mut cut);
    assert_eq!(believed(&cut), []);
}

/// Of all headers that lead to one file one group's stays: the others get files of their own.
#[test]
fn one_file_is_of_one_group() {
    let (mut image, all) = many_groups();
    // The groups of data behind the first.
    let of_data = |key: &Key| key.objectid == ObjectId::FREE_SPACE && key.offset > 290 * MIB;
    let mut first = Vec::new();
    change_items(&mut image, |key, bytes| {
        if of_data(key) && first.is_empty() {
            first = bytes.to_vec();
        } else if of_data(key) {
            bytes.copy_from_slice(&first);
        } else if let (Kind::INODE_ITEM, Ok(mut inode)) = (key.kind, InodeItem::parse(bytes)) {
            // As C leaves it.
            inode.block_group = 0;
            inode.write_to(bytes).unwrap();
        }
    });
    assert!(believed(&image).len() < 10);
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    all.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    let image = unmount(mounted);
    let all = believed(&image);
    assert!(all.iter().all(|(_, right)| *right), "{all:?}");
    assert!(all.len() >= 50, "{all:?}");
    assert!(found(&image).0 == derived(&image));
    // A header that was not looked at since has not the generation of the file any more.
    assert_eq!(written(&walk(&image)), all.len());
}

/// How many headers have the generation of the file that they lead to.
fn written(walked: &Walked) -> usize {
    let root = ObjectId::ROOT_TREE;
    let inodes = walked.items(root, Kind::INODE_ITEM);
    let generation = |of: ObjectId| {
        let mut inodes = inodes.iter();
        let (_, bytes) = inodes.find(|(key, _)| key.objectid == of)?;
        Some(InodeItem::parse(bytes).unwrap().generation)
    };
    let headers = walked.items(root, Kind::CACHE_HEADER).into_iter();
    let headers = headers.filter(|(key, _)| key.objectid == ObjectId::FREE_SPACE);
    let headers = headers.map(|(_, bytes)| CacheHeader::parse(&bytes).unwrap());
    let written = headers.filter(|header| generation(header.inode) == Some(header.generation));
    written.count()
}

/// Where no number is left for a file there is none, and no error.
#[test]
fn without_a_number_there_is_no_cache() {
    let mounted = mount(volume()).unwrap();
    let handle = mounted.txns.start(Units::inserts(1)).unwrap();
    let root = mounted.txns.required_tree(ObjectId::ROOT_TREE).unwrap();
    let inode = InodeItem {
        nlink: 1,
        mode: 0o100600,
        ..InodeItem::default()
    };
    let mut bytes = [0; InodeItem::SIZE];
    inode.write_to(&mut bytes).unwrap();
    let last = Key::new(ObjectId::LAST_FREE.get(), Kind::INODE_ITEM, 0);
    root.insert(&handle, &last, &bytes).unwrap();
    drop((handle, root));
    fill(&mounted, "a", 3);
    mounted.txns.commit().unwrap();
    let image = mounted.device().image();
    are_right(&image, 0);
    assert_eq!(headers(&walk(&image)), []);
}

/// Where all caches are.
fn places(walked: &Walked) -> Vec<u64> {
    let files = walked.items(ObjectId::ROOT_TREE, Kind::EXTENT_DATA);
    let place = |(_, bytes): &(_, Vec<u8>)| match FileExtent::parse(bytes) {
        Ok(FileExtent::Regular(extent)) => Some(walked.place(extent.disk_addr)),
        _ => None,
    };
    files.iter().filter_map(place).collect()
}

/// The first page of each cache.
pub(crate) fn pages(image: &Image) -> Vec<Range<u64>> {
    let places = places(&walk(image)).into_iter();
    places.map(|at| at..at + 4096).collect()
}

/// A device that does not take a cache costs the cache, and nothing else.
#[test]
fn caches_that_cannot_be_written_are_void() {
    let mounted = mount(volume()).unwrap();
    let all = fill(&mounted, "a", 30);
    mounted.txns.commit().unwrap();
    let before = mounted.device().image();
    are_right(&before, 1);
    for bad in pages(&before) {
        mounted
            .device()
            .faults(|faults| faults.fail_range(Request::Write, bad));
    }
    let files = Files::new(&mounted.txns);
    all.iter()
        .step_by(3)
        .for_each(|file| files.remove(file).unwrap());
    mounted.txns.commit().unwrap();
    let image = mounted.device().image();
    are_right(&image, 0);
    assert!(believed(&image).len() < believed(&before).len());
    mounted.device().faults(|faults| faults.heal());
    all.iter()
        .skip(1)
        .step_by(3)
        .for_each(|file| files.remove(file).unwrap());
    mounted.txns.commit().unwrap();
    drop(files);
    let image = unmount(mounted);
    are_right(&image, 1);
    tools::check(&image).unwrap();
}

/// Without memory for its pages a group has no cache.
#[test]
fn a_commit_needs_no_memory_for_caches() {
    let mounted = mount(volume()).unwrap();
    mounted.device().set_pace(Pace::AnyOrder(Random::new(5)));
    for seed in 0..8 {
        let all = fill(&mounted, &format!("a{seed}"), 10);
        let failing = inject::fail_randomly(seed, 2);
        mounted.txns.commit().unwrap();
        drop(failing);
        assert_eq!(mounted.device().under_way(), 0);
        are_right(&mounted.device().image(), 0);
        let files = Files::new(&mounted.txns);
        all.iter().for_each(|file| files.remove(file).unwrap());
    }
    let image = unmount(mounted);
    are_right(&image, 0);
    tools::check(&image).unwrap();
}

/// Others go on changing groups while their caches are written.
#[test]
fn caches_are_right_beside_others() {
    let mounted = mount(volume()).unwrap();
    // Who has it gives out the numbers of inodes.
    let files = Files::new(&mounted.txns);
    std::thread::scope(|scope| {
        for task in 0..3 {
            let files = &files;
            scope.spawn(move || {
                for round in 0..6 {
                    let all = fill_in(files, &format!("{task}.{round}."), 8);
                    all.iter()
                        .step_by(2)
                        .for_each(|file| files.remove(file).unwrap());
                }
            });
        }
        for seed in 0..10 {
            mounted.txns.commit().unwrap();
            let cut = mounted.device().after_power_cut(&mut Random::new(seed));
            assert!(believed(&cut).iter().all(|(_, right)| *right));
        }
    });
    drop(files);
    let image = unmount(mounted);
    are_right(&image, 1);
    tools::check(&image).unwrap();
}
