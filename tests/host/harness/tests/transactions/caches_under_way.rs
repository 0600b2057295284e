// SPDX-License-Identifier: GPL-2.0
//! Free space caches of many groups on their way to the device together.

use crate::files::{File, Files};
use crate::kept_caches::{are_right, groups_with_files, groups_with_two_files, many_groups};
use crate::mounted::{mount, unmount};
use crate::old_caches::{believed, files as cache_files, groups, Group};
use engine::disk::{CacheHeader, Kind, ObjectId};
use harness::device::faults::{Faults, Request};
use harness::device::{Image, Pace};
use harness::random::Random;
use harness::tools;
use harness::walker::walk;
use kernel::prelude::EUCLEAN;
use std::collections::BTreeSet;
use std::ops::Range;
use std::vec::Vec;

/// The caches of all groups that changed are under way together, as far as a queue takes them: a commit waits for a few times what it
/// would for one, and not for each.
#[test]
fn the_caches_of_many_groups_are_waited_for_together() {
    let (image, all) = groups_with_files(300);
    assert!(all.len() > 290, "{}", all.len());
    let mounted = mount(image).unwrap();
    mounted.device().set_pace(Pace::Together);
    let files = Files::new(&mounted.txns);
    all.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    mounted.txns.commit().unwrap();
    let begun = mounted.device().begun();
    assert!(begun.writes > 290, "{begun:?}");
    assert!(begun.waits <= 4, "{begun:?}");
    assert!(begun.most > 200 && begun.most_bytes <= 1 << 20, "{begun:?}");
    let image = unmount(mounted);
    are_right(&image, 290);
    tools::check(&image).unwrap();
}

/// All that changed while they were written are written once more, and together, too.
#[test]
fn caches_of_groups_that_changed_meanwhile_are_written_again() {
    let (image, [first, second]) = groups_with_two_files(180);
    assert!(second.len() > 170, "{}", second.len());
    let last = pages_of(&image, &first[first.len() - 1..]);
    let last = last.into_iter().map(|(_, place)| place).collect();
    let mounted = mount(image).unwrap();
    mounted.device().set_pace(Pace::Together);
    let files = Files::new(&mounted.txns);
    first.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    // All others are under way then.
    let (txns, count) = (mounted.txns.clone(), second.len());
    let change = move || {
        let files = Files::new(&txns);
        second.iter().for_each(|file| files.remove(file).unwrap());
    };
    mounted.device().before_write(last, change);
    mounted.txns.commit().unwrap();
    let begun = mounted.device().begun();
    assert!(begun.writes >= first.len() + count - 10, "{begun:?}");
    assert!(begun.waits <= 6, "{begun:?}");
    let image = mounted.device().image();
    are_right(&image, 170);
    assert!(written_now(&image) > 170);
    tools::check(&unmount(mounted)).unwrap();
}

/// One of many writes that are under way together fails: its group alone has no cache.
#[test]
fn a_cache_that_cannot_be_written_is_void_alone() {
    for pace in [Pace::Together, Pace::AnyOrder(Random::new(11))] {
        let (image, all) = many_groups();
        let mounted = mount(image.clone()).unwrap();
        mounted.device().set_pace(pace);
        let of_data = pages_of(&image, &all);
        let bad = [3, 20, 41].map(|number: usize| of_data[number].clone());
        for (_, place) in &bad {
            let fail = |faults: &mut Faults| faults.fail_range(Request::Write, place.clone());
            mounted.device().faults(fail);
        }
        let files = Files::new(&mounted.txns);
        all.iter().for_each(|file| files.remove(file).unwrap());
        drop(files);
        mounted.txns.commit().unwrap();
        let image = mounted.device().image();
        are_right(&image, 50);
        let valid: BTreeSet<u64> = believed(&image).iter().map(|(group, _)| *group).collect();
        let void: Vec<u64> = of_data.iter().map(|(group, _)| *group).collect();
        let void = void.into_iter().filter(|group| !valid.contains(group));
        assert_eq!(void.collect::<Vec<_>>(), bad.map(|(group, _)| group));
        mounted.device().faults(|faults| faults.heal());
        tools::check(&unmount(mounted)).unwrap();
    }
}

/// Whatever ends a commit, nothing that it sent is under way afterwards, and nothing is sent any more.
#[test]
fn no_cache_is_under_way_after_an_abort() {
    let (image, all) = many_groups();
    let mounted = mount(image.clone()).unwrap();
    mounted.device().set_pace(Pace::Together);
    let files = Files::new(&mounted.txns);
    all.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    let (_, place) = pages_of(&image, &all).remove(30);
    let txns = mounted.txns.clone();
    let abort = move || txns.abort(EUCLEAN);
    mounted.device().before_write(vec![place], abort);
    mounted.txns.commit().unwrap_err();
    let begun = mounted.device().begun();
    assert!((20..=31).contains(&begun.writes), "{begun:?}");
    assert_eq!(mounted.device().under_way(), 0);
    assert!(mounted.txns.close().is_err());
    tools::check(&mounted.device().image()).unwrap();
}

/// The groups that have these files, and where the first page of the cache of each is, but for those without.
fn pages_of(image: &Image, of: &[File]) -> Vec<(u64, Range<u64>)> {
    let walked = walk(image);
    let (caches, all) = (cache_files(&walked), groups(&walked));
    let mut found = Vec::new();
    for file in of {
        let at = file.extents[0].0.get();
        let has = |group: &&Group| (group.start..group.start + group.len).contains(&at);
        let start = all.iter().find(has).unwrap().start;
        if let Some((_, _, extent)) = caches.get(&start) {
            let place = walked.place(extent.disk_addr);
            found.push((start, place..place + 4096));
        }
    }
    found
}

/// How many caches are of the superblock's generation.
fn written_now(image: &Image) -> usize {
    let walked = walk(image);
    let headers = walked.items(ObjectId::ROOT_TREE, Kind::CACHE_HEADER);
    let now = walked.superblock.generation;
    let is_of_now = |bytes: &[u8]| CacheHeader::parse(bytes).unwrap().generation == now;
    let of_caches = headers
        .iter()
        .filter(|(key, bytes)| key.objectid == ObjectId::FREE_SPACE && is_of_now(bytes));
    of_caches.count()
}
