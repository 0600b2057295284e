// SPDX-License-Identifier: GPL-2.0
//! How many free space caches a commit writes.

use crate::files::Files;
use crate::kept_caches::{are_right, fill, groups_with_files, many_groups, not_void, pages};
use crate::mounted::{mount, unmount};
use crate::old_caches::{change_items, files as cache_files, groups, headers, Group};
use engine::disk::{CacheHeader, InodeItem, Key, Kind, ObjectId};
use engine::txn::Units;
use harness::device::faults::Request;
use harness::device::Image;
use harness::tools;
use harness::walker::walk;
use std::vec::Vec;

/// A commit writes so many caches while others may join, and some when nobody may: the others are void until the next ones.
#[test]
fn a_commit_writes_the_caches_of_so_many_groups() {
    let (image, all) = groups_with_files(180);
    assert!(all.len() > 170, "{}", all.len());
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    all.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    mounted.txns.commit().unwrap();
    let image = mounted.device().image();
    are_right(&image, 0);
    let written = written_now(&image);
    // Groups of tree blocks have several turns, and so have those that get a file.
    assert!((129..=160).contains(&written), "{written}");
    mounted.txns.commit().unwrap();
    let image = unmount(mounted);
    are_right(&image, 160);
    tools::check(&image).unwrap();
}

/// While others may join the caches of what changed before are written, wherever it is; and few while everybody waits.
#[test]
fn a_commit_writes_few_caches_while_others_wait() {
    let (image, all) = groups_with_files(180);
    let mounted = mount(image.clone()).unwrap();
    let (txns, mut rest) = (mounted.txns.clone(), all);
    let first = rest.pop().unwrap();
    Files::new(&mounted.txns).remove(&first).unwrap();
    mounted.device().before_write(pages(&image), move || {
        let files = Files::new(&txns);
        rest.iter().for_each(|file| files.remove(file).unwrap());
    });
    mounted.txns.commit().unwrap();
    let image = mounted.device().image();
    are_right(&image, 1);
    let walked = walk(&image);
    let void = headers(&walked).len() - not_void(&walked);
    assert!(void >= 10, "{void}");
    fill(&mounted, "next", 1);
    let image = unmount(mounted);
    are_right(&image, 50);
    tools::check(&image).unwrap();
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

/// Caches are written of as many groups as is asked for.
#[test]
fn so_many_caches_are_written_and_no_more() {
    let (image, all) = many_groups();
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    all.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    mounted.txns.maintain().unwrap();
    let handle = mounted.txns.start(Units::inserts(50)).unwrap();
    let space = mounted.txns.space();
    space.write_dirty_groups(&handle).unwrap();
    let written = || {
        mounted
            .device()
            .faults(|faults| faults.seen(Request::Write))
    };
    let before = written();
    space.write_caches(&handle, 0).unwrap();
    assert_eq!(written(), before);
    space.write_caches(&handle, 1).unwrap();
    assert_eq!(written(), before + 1);
    space.write_caches(&handle, 100).unwrap();
    assert!(written() > before + 1);
    drop(handle);
    let image = unmount(mounted);
    are_right(&image, 1);
    tools::check(&image).unwrap();
}

/// Another driver may have put the file of each group into the next one: what moves them changes group after group, and a commit
/// does not follow them all.
#[test]
fn files_in_other_groups_move_in_their_turn() {
    let (mut image, all) = groups_with_files(180);
    let of_data = |key: &Key| key.objectid == ObjectId::FREE_SPACE && key.offset > 290 << 20;
    let mut of_next = Vec::new();
    change_items(&mut image, |key, bytes| {
        if of_data(key) {
            of_next.push(bytes.to_vec());
        }
    });
    of_next.rotate_left(1);
    let mut of_next = of_next.into_iter();
    change_items(&mut image, |key, bytes| {
        if of_data(key) {
            bytes.copy_from_slice(&of_next.next().unwrap());
        } else if let (Kind::INODE_ITEM, Ok(mut inode)) = (key.kind, InodeItem::parse(bytes)) {
            // As C leaves it.
            inode.block_group = 0;
            inode.write_to(bytes).unwrap();
        }
    });
    assert!(elsewhere(&image) > 170);
    let mounted = mount(image).unwrap();
    Files::new(&mounted.txns).remove(&all[40]).unwrap();
    mounted.txns.commit().unwrap();
    let left = elsewhere(&mounted.device().image());
    assert!(left > 10, "{left}");
    for file in all.iter().take(6) {
        Files::new(&mounted.txns).remove(file).unwrap();
        mounted.txns.commit().unwrap();
    }
    let image = unmount(mounted);
    assert_eq!(elsewhere(&image), 0);
    are_right(&image, 170);
    tools::check(&image).unwrap();
}

/// How many groups behind the first of data have their files in others.
fn elsewhere(image: &Image) -> usize {
    let walked = walk(image);
    let files = cache_files(&walked);
    let groups = groups(&walked).into_iter();
    let behind = groups.filter(|group| group.start > 290 << 20);
    let is_elsewhere = |group: &Group| {
        let inside = group.start..group.start + group.len;
        let file = files.get(&group.start);
        file.is_some_and(|(_, _, extent)| !inside.contains(&extent.disk_addr.get()))
    };
    behind.filter(is_elsewhere).count()
}
