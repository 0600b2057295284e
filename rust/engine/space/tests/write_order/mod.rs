// SPDX-License-Identifier: GPL-2.0
//! The write order over a model of a zoned device.

mod model;
mod threads;

use crate::btree::WriteMode;
use crate::disk::{Bytes, Logical};
use crate::space::write_order::{Admission, Closing, Share, WriteOrder};
use crate::space::Class;
use core::sync::atomic::Ordering;
use latch::prelude::*;
use model::*;
use std::vec;

#[test]
fn without_zones_everything_passes() {
    let order = WriteOrder::none();
    for addr in [NODE * 7, 0, NODE * 3] {
        assert_eq!(admit(&order, addr, WriteMode::Integrity), Ok("write"));
    }
    let (_, order, _) = setup(2, 1);
    assert_eq!(
        admit(&order, 100 * ZONE, WriteMode::Background),
        Ok("write"),
        "a conventional zone"
    );
}

#[test]
fn only_a_commit_sends_while_the_order_is_held() {
    let (device, zoned, groups) = setup(2, 1);
    let addr = groups[0].allocate().unwrap();
    for order in [&WriteOrder::none(), &zoned] {
        let (first, second) = (order.hold(), order.hold());
        assert_eq!(admit(order, addr, WriteMode::Background), Ok("skip"));
        drop(first);
        assert_eq!(admit(order, addr, WriteMode::Integrity), Ok("hole"));
        assert_eq!(admit(order, addr, WriteMode::Commit), Ok("write"));
        drop(second);
        assert_eq!(admit(order, addr, WriteMode::Background), Ok("write"));
    }
    drop(send(&zoned, &device, addr));
}

#[test]
fn a_hole_is_answered_by_mode() {
    let (device, order, groups) = setup(2, 1);
    let addrs: vec::Vec<_> = (0..3).map(|_| groups[0].allocate().unwrap()).collect();
    assert_eq!(admit(&order, addrs[1], WriteMode::Background), Ok("skip"));
    assert_eq!(admit(&order, addrs[1], WriteMode::Integrity), Ok("hole"));
    let first = send(&order, &device, addrs[0]);
    assert_eq!(
        admit(&order, addrs[0], WriteMode::Background),
        Ok("skip"),
        "it was sent"
    );
    drop(send(&order, &device, addrs[1]));
    drop(first);
    let statistics = order.statistics();
    assert_eq!(
        (statistics.holes, statistics.again, statistics.activations),
        (2, 1, 1)
    );
}

/// The commit under way may need them.
#[test]
fn zones_are_not_activated_ahead_of_a_commit() {
    let (_, order, groups) = setup(4, 2);
    let addr = groups[0].allocate().unwrap();
    assert_eq!(admit(&order, addr, WriteMode::Integrity), Ok("hole"));
    assert_eq!(admit(&order, addr, WriteMode::Commit), Ok("write"));
    assert_eq!(admit(&order, addr, WriteMode::Integrity), Ok("write"));
}

/// Background writeback of what the next transaction dirtied leaves zones for the blocks of the commit under way.
#[test]
fn background_writeback_leaves_a_commit_its_zones() {
    let (device, order, groups) = setup(3, 4);
    device.reserve(2);
    let mut unsent = vec::Vec::new();
    for group in &groups[..3] {
        let addr = group.allocate().unwrap();
        unsent.push(group.allocate().unwrap());
        if admit(&order, addr, WriteMode::Background) == Ok("write") {
            drop(send(&order, &device, addr));
            device.complete(addr);
        }
    }
    let of_the_commit = groups[3].allocate().unwrap();
    assert_eq!(admit(&order, of_the_commit, WriteMode::Commit), Ok("write"));
    assert_eq!(
        admit(&order, unsent[0], WriteMode::Background),
        Ok("write"),
        "its zones are active"
    );
}

/// C1 d: a block that was admitted and not submitted leaves the pointer where it is.
#[test]
fn the_pointer_moves_at_submission_only() {
    let (device, order, groups) = setup(2, 1);
    let addr = groups[0].allocate().unwrap();
    assert_eq!(admit(&order, addr, WriteMode::Background), Ok("write"));
    assert_eq!(admit(&order, addr, WriteMode::Background), Ok("write"));
    drop(send(&order, &device, addr));
    assert_eq!(admit(&order, addr, WriteMode::Background), Ok("skip"));
}

/// An address that got no block is filled before what lies behind it goes out, and keeps nobody waiting at the end.
#[test]
fn an_address_without_a_block_is_no_hole() {
    let (device, order, groups) = setup(1, 2);
    let fill = |addr: u64| {
        let mut guard = order.take_turn();
        match guard
            .admit(Logical::new(addr), Bytes::new(NODE), WriteMode::Commit)
            .unwrap()
        {
            Admission::Fill { at, token } => {
                let in_flight = token.submitting();
                device.write(at.get());
                device.complete(at.get());
                drop(in_flight);
            }
            _ => panic!("{addr} asks for no zeros"),
        }
    };
    groups[0].abandon();
    groups[0].abandon();
    let missing = groups[0].allocate().unwrap();
    let behind = groups[0].allocate().unwrap();
    assert_eq!(admit(&order, missing, WriteMode::Background), Ok("fill"));
    fill(behind);
    fill(behind);
    assert_eq!(
        admit(&order, behind, WriteMode::Commit),
        Ok("hole"),
        "a block that is only late"
    );
    for addr in [missing, behind] {
        drop(send(&order, &device, addr));
        device.complete(addr);
    }
    groups[0].abandon();
    assert!(order.is_quiet(Logical::new(0)));
    let next = groups[1].allocate().unwrap();
    drop(send(&order, &device, next));
    let statistics = order.statistics();
    assert_eq!((statistics.fills, statistics.forced), (3, 1));
}

/// C1 b: a zone is finished after the last of its writes, never before.
#[test]
fn a_zone_gives_way_after_its_writes() {
    let (device, order, groups) = setup(1, 2);
    let in_flight = send(&order, &device, groups[0].allocate().unwrap());
    let next = groups[1].allocate().unwrap();
    assert_eq!(admit(&order, next, WriteMode::Background), Ok("skip"));
    assert_eq!(admit(&order, next, WriteMode::Commit), Ok("drain"));
    device.complete(0);
    drop(in_flight);
    drop(send(&order, &device, next));
    assert_eq!(order.statistics().forced, 1);
    assert_eq!(groups[0].allocate(), None, "what is finished takes nothing");
}

/// The chunk tree has no other group, although it comes first and was sent: a chunk could not be entered any more.
#[test]
fn the_last_group_of_its_class_never_gives_way() {
    let (device, order, groups) = setup(2, 0);
    assert!(groups.is_empty());
    let make = |start: u64, class| {
        let group = Allocator::new(start * ZONE);
        add(&order, &group, class);
        group
    };
    let write = |group: &Allocator| {
        let addr = group.allocate().unwrap();
        drop(send(&order, &device, addr));
        device.complete(addr);
    };
    let system = make(0, Class::System);
    let old = make(1, Class::Metadata);
    write(&system);
    write(&old);
    // A group of the class that asks does; the chunk tree goes on.
    let new = make(2, Class::Metadata);
    write(&new);
    assert_eq!(old.allocate(), None, "it gave way");
    write(&system);
    // One of two of the chunk tree does as well: the one with less left.
    write(&new);
    let second = make(3, Class::System);
    write(&second);
    assert_eq!(system.allocate(), None, "it gave way");
    write(&new);
    // Nobody can.
    let third = make(4, Class::System).allocate().unwrap();
    device.reserve(0);
    assert_eq!(second.allocate().map(|_| ()), Some(()));
    assert_eq!(admit(&order, third, WriteMode::Background), Ok("skip"));
    write(&new);
}

/// While metadata has less than its share, data gives way: what nobody was promised and nothing is on its way to, the
/// least of it first.
#[test]
fn data_gives_way_where_it_holds_too_much() {
    let (device, order, groups) = setup(4, 3);
    let data: vec::Vec<_> = [(10, 9), (11, 3), (12, 5)]
        .into_iter()
        .map(|(zone, left)| Data::add(&order, &device, zone * ZONE, left))
        .collect();
    let active = || {
        data.iter()
            .map(|data| data.is_active())
            .collect::<vec::Vec<_>>()
    };
    drop(send(&order, &device, groups[0].allocate().unwrap()));
    device.complete(0);
    *device.share.lock().unwrap() = Share::Owed;
    let next = groups[1].allocate().unwrap();
    data[1].is_promised.store(true, Ordering::Relaxed);
    drop(send(&order, &device, next));
    device.complete(next);
    assert_eq!(active(), [true, true, false]);
    assert!(groups[0].allocate().is_some(), "metadata keeps its own");
    // What is left is written to, or promised.
    data[0].under_way.store(1, Ordering::Relaxed);
    let last = groups[2].allocate().unwrap();
    groups[1].allocate().unwrap();
    assert_eq!(admit(&order, last, WriteMode::Background), Ok("skip"));
    assert_eq!(admit(&order, last, WriteMode::Commit), Ok("data"));
    data[0].under_way.store(0, Ordering::Relaxed);
    drop(send(&order, &device, last));
    assert_eq!(active(), [false, true, false]);
    assert_eq!(order.statistics().forced, 2);
}

/// A worn zone, the first to be asked for having nothing left, keeps what it holds, and the next one is asked.
#[test]
fn a_data_group_may_fail_to_give_way() {
    let (device, order, groups) = setup(3, 1);
    let data: vec::Vec<_> = [(10, 0), (11, 3), (12, 5)]
        .map(|(zone, left)| Data::add(&order, &device, zone * ZONE, left))
        .into();
    *device.share.lock().unwrap() = Share::Owed;
    device.worn.store(10 * ZONE, Ordering::Relaxed);
    let addr = groups[0].allocate().unwrap();
    assert_eq!(admit(&order, addr, WriteMode::Commit), Ok("write"));
    let active: vec::Vec<_> = data.iter().map(|data| data.is_active()).collect();
    assert_eq!(active, [false, false, true]);
    drop(send(&order, &device, addr));
    device.complete(addr);
}

/// With all that is its share, metadata helps itself.
#[test]
fn metadata_gives_way_where_it_holds_its_share() {
    let (device, order, groups) = setup(2, 2);
    let data = Data::add(&order, &device, 10 * ZONE, 1);
    drop(send(&order, &device, groups[0].allocate().unwrap()));
    device.complete(0);
    drop(send(&order, &device, groups[1].allocate().unwrap()));
    assert!(data.is_active());
    assert_eq!(groups[0].allocate(), None, "it gave way");
}

/// What is kept back stays as long as another group, with more left, can give way; a commit that cannot go on takes it.
#[test]
fn what_is_kept_back_gives_way_last() {
    let (device, order, groups) = setup(2, 4);
    let write = |group: &Allocator| {
        let addr = group.allocate().unwrap();
        drop(send(&order, &device, addr));
        device.complete(addr);
    };
    write(&groups[0]);
    write(&groups[0]);
    write(&groups[1]);
    groups[0].is_kept_back.store(true, Ordering::Relaxed);
    write(&groups[2]);
    assert_eq!(groups[1].allocate(), None, "it gave way");
    write(&groups[0]);
    groups[2].is_kept_back.store(true, Ordering::Relaxed);
    write(&groups[3]);
    assert_eq!(groups[0].allocate(), None, "it gave way");
    write(&groups[2]);
}

/// A worn zone keeps what it holds until it is reset, and the next group is asked: that is no reason to end a commit.
#[test]
fn a_group_of_tree_blocks_may_fail_to_give_way() {
    let (device, order, groups) = setup(2, 3);
    for group in [&groups[0], &groups[0], &groups[1]] {
        let addr = group.allocate().unwrap();
        drop(send(&order, &device, addr));
        device.complete(addr);
    }
    device.worn.store(0, Ordering::Relaxed);
    let addr = groups[2].allocate().unwrap();
    assert_eq!(admit(&order, addr, WriteMode::Commit), Ok("write"));
    assert_eq!(groups[0].allocate(), None, "it was closed");
    assert_eq!(groups[1].allocate(), None, "it gave way");
    drop(send(&order, &device, addr));
    device.complete(addr);
    assert!(order.is_quiet(Logical::new(0)));
    order.reset(Logical::new(0)).unwrap();
}

/// A rest is given up where all was sent and has completed and the class has another group; also where the zone is worn, which
/// then can be reset all the same.
#[test]
fn a_rest_is_given_up() {
    for worn in [u64::MAX, 0] {
        let (device, order, groups) = setup(2, 2);
        device.worn.store(worn, Ordering::Relaxed);
        let start = Logical::new(0);
        let addr = groups[0].allocate().unwrap();
        assert_eq!(order.give_up(start), Ok(Closing::Refused), "it is unsent");
        let in_flight = send(&order, &device, addr);
        assert_eq!(
            order.give_up(start),
            Ok(Closing::Refused),
            "it is under way"
        );
        device.complete(addr);
        drop(in_flight);
        assert_eq!(order.give_up(start), Ok(Closing::Closed));
        assert_eq!(groups[0].allocate(), None, "what is given up takes nothing");
        assert!(order.is_quiet(start));
        order.reset(start).unwrap();
    }
    let (device, order, groups) = setup(1, 1);
    drop(send(&order, &device, groups[0].allocate().unwrap()));
    device.complete(0);
    let only = order.give_up(Logical::new(0));
    assert_eq!(only, Ok(Closing::Refused), "its class has no other");
}

/// C1: the old zone cannot give way while a block allocated there was not sent.
#[test]
fn an_unsent_block_keeps_its_zone() {
    let (device, order, groups) = setup(1, 2);
    drop(send(&order, &device, groups[0].allocate().unwrap()));
    device.complete(0);
    let unsent = groups[0].allocate().unwrap();
    let next = groups[1].allocate().unwrap();
    assert_eq!(admit(&order, next, WriteMode::Background), Ok("skip"));
    assert_eq!(admit(&order, next, WriteMode::Commit), Ok("hole"));
    assert_eq!(
        order.take_turn().active_after(None),
        Some((Logical::new(0), Bytes::new(ZONE)))
    );
    drop(send(&order, &device, unsent));
    device.complete(unsent);
    assert_eq!(admit(&order, next, WriteMode::Background), Ok("skip"));
    assert_eq!(admit(&order, next, WriteMode::Commit), Ok("write"));
}

/// C1 h, l, p: removal and reset wait for all blocks; after a reset the group starts anew.
#[test]
fn removal_and_reset_wait_for_all_blocks() {
    let (device, order, groups) = setup(1, 1);
    let start = Logical::new(0);
    let first = send(&order, &device, groups[0].allocate().unwrap());
    assert_eq!(
        (order.reset(start), order.remove(start)),
        (Err(EBUSY), Err(EBUSY))
    );
    device.complete(0);
    drop(first);
    let unsent = groups[0].allocate().unwrap();
    assert_eq!(
        (order.reset(start), order.remove(start)),
        (Err(EBUSY), Err(EBUSY))
    );
    drop(send(&order, &device, unsent));
    device.complete(unsent);
    order.reset(start).unwrap();
    groups[0].end.store(0, Ordering::Relaxed);
    drop(send(&order, &device, groups[0].allocate().unwrap()));
    device.complete(0);
    order.remove(start).unwrap();
}

/// After a reset that failed nobody knows where the zones end. With the rest of the group given up it counts as written, and
/// the reset can be tried again.
#[test]
fn a_reset_may_fail() {
    let (device, order, groups) = setup(1, 1);
    let start = Logical::new(0);
    drop(send(&order, &device, groups[0].allocate().unwrap()));
    device.complete(0);
    device.resets.store(false, Ordering::Relaxed);
    assert_eq!(order.reset(start), Err(EIO));
    groups[0].end.store(ZONE, Ordering::Relaxed);
    assert_eq!(order.reset(start), Err(EIO));
    device.resets.store(true, Ordering::Relaxed);
    order.reset(start).unwrap();
    groups[0].end.store(0, Ordering::Relaxed);
    drop(send(&order, &device, groups[0].allocate().unwrap()));
    device.complete(0);
}

#[test]
fn writes_of_one_group_join() {
    let (device, order, groups) = setup(2, 2);
    let mut first = send(&order, &device, groups[0].allocate().unwrap());
    let second = send(&order, &device, groups[0].allocate().unwrap());
    let other = send(&order, &device, groups[1].allocate().unwrap());
    assert!(first.join(second).is_ok());
    let other = first.join(other).err().unwrap();
    assert_eq!(order.remove(Logical::new(0)), Err(EBUSY));
    drop(first);
    order.remove(Logical::new(0)).unwrap();
    drop(other);
    order.remove(Logical::new(ZONE)).unwrap();
}
