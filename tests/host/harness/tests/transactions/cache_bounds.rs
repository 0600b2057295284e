// SPDX-License-Identifier: GPL-2.0
//! How many free space caches a commit writes.

use crate::files::Files;
use crate::kept_caches::{are_right, groups_with_files, many_groups};
use crate::mounted::{mount, unmount};
use crate::old_caches::{change_items, files as cache_files, groups, Group};
use engine::disk::{InodeItem, Key, Kind, ObjectId};
use engine::space::CacheTurn;
use engine::txn::Units;
use harness::device::{Image, Pace};
use harness::tools;
use harness::walker::walk;
use std::vec::Vec;

/// Caches are written and waited for as often as is asked for.
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
    mounted.device().set_pace(Pace::Together);
    let write = |waits, files| {
        let turn = CacheTurn { waits, files };
        space.write_caches(&handle, turn).unwrap();
        mounted.device().begun()
    };
    assert_eq!(write(0, 64).writes, 0);
    let begun = write(1, 0);
    assert!(begun.writes > 50 && begun.waits == 1, "{begun:?}");
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
