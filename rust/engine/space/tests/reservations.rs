// SPDX-License-Identifier: GPL-2.0

use crate::disk::{Bytes, Flaw};
use crate::space::reserve::{ByteState, Growth, SpaceInfo, Tally, Withdrawal};
use crate::space::{Class, Reservation, Shortage, Urgency};
use kernel::sync::Arc;
use latch::prelude::*;
use random::Random;
use std::vec;

const NODE: u64 = 16384;

fn space_info(class: Class, total: u64) -> Arc<SpaceInfo> {
    let space_info = Arc::new(SpaceInfo::new(class).unwrap(), GFP_KERNEL).unwrap();
    space_info.add(&Tally {
        total: Bytes::new(total),
        ..Tally::default()
    });
    space_info
}

fn reserve(
    space_info: &Arc<SpaceInfo>,
    bytes: u64,
    urgency: Urgency,
) -> Result<Reservation, Shortage> {
    Reservation::promised(space_info, Bytes::new(bytes), urgency)
}

#[test]
fn what_is_dropped_comes_back() {
    let space_info = space_info(Class::Data, 1 << 20);
    let first = reserve(&space_info, 1 << 19, Urgency::Ordinary).unwrap();
    let second = reserve(&space_info, 1 << 19, Urgency::Ordinary).unwrap();
    assert_eq!(
        reserve(&space_info, 1, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
    let part = first.split(Bytes::new(4096)).unwrap();
    assert!(first.split(Bytes::new(1 << 19)).is_none());
    second.merge(part);
    assert_eq!(second.bytes(), Bytes::new((1 << 19) + 4096));
    second.give_back(Bytes::new(4096));
    assert_eq!(space_info.lock().promised, Bytes::new((1 << 20) - 4096));
    drop(first);
    drop(second);
    assert_eq!(space_info.lock().promised, Bytes::ZERO);
}

#[test]
fn data_is_never_promised_beyond_what_is_free() {
    let space_info = space_info(Class::Data, 1 << 20);
    space_info.set_growth(Growth {
        bytes: Bytes::new(1 << 30),
        next_chunk: Bytes::new(1 << 30),
        data_chunk: Bytes::new(1 << 30),
    });
    assert!(reserve(&space_info, 1 << 20, Urgency::Ordinary).is_ok());
    let shortage = reserve(&space_info, (1 << 20) + 1, Urgency::Ordinary).err();
    assert_eq!(shortage, Some(Shortage::NeedChunk(Class::Data)));
}

#[test]
fn metadata_is_overcommitted_only_while_chunks_can_come() {
    let space_info = space_info(Class::Metadata, 8 << 20);
    assert_eq!(
        reserve(&space_info, 9 << 20, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
    space_info.set_growth(Growth {
        bytes: Bytes::new(1 << 30),
        next_chunk: Bytes::new(256 << 20),
        data_chunk: Bytes::new(100 << 20),
    });
    let held = reserve(&space_info, 50 << 20, Urgency::Ordinary).unwrap();
    // An eighth of what is promised must be there to allocate from.
    let shortage = reserve(&space_info, 50 << 20, Urgency::Ordinary).err();
    assert_eq!(shortage, Some(Shortage::NeedChunk(Class::Metadata)));
    drop(held);
}

#[test]
fn freeing_and_commits_draw_on_the_global_reserve() {
    let space_info = space_info(Class::Metadata, 32 << 20);
    space_info.resize_global(Bytes::new(16 << 20));
    assert_eq!(space_info.lock().global.held, Bytes::new(16 << 20));
    let all = reserve(&space_info, 16 << 20, Urgency::Ordinary).unwrap();
    assert_eq!(
        reserve(&space_info, NODE, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
    // The first half is for what was promised before, too.
    let promised = reserve(&space_info, 8 << 20, Urgency::Promised).unwrap();
    assert!(reserve(&space_info, NODE, Urgency::Promised).is_err());
    drop(promised);
    let freeing = reserve(&space_info, 14 << 20, Urgency::Freeing).unwrap();
    // The last eighth is for the commit.
    assert!(reserve(&space_info, NODE, Urgency::Freeing).is_err());
    let commit = reserve(&space_info, 2 << 20, Urgency::Commit).unwrap();
    assert_eq!(space_info.lock().global.held, Bytes::ZERO);
    drop((freeing, commit));
    assert_eq!(space_info.lock().global.held, Bytes::new(16 << 20));
    drop(all);
    assert_eq!(space_info.lock().promised, Bytes::new(16 << 20));
}

/// What is kept back of file data is there, and not only could be: a chunk of tree blocks may come first.
#[test]
fn what_is_kept_back_of_data_is_free() {
    let space_info = space_info(Class::Data, 16 << 20);
    space_info.resize_global(Bytes::new(16 << 20));
    space_info.set_growth(Growth {
        bytes: Bytes::new(64 << 20),
        next_chunk: Bytes::new(16 << 20),
        data_chunk: Bytes::new(16 << 20),
    });
    let shortage = reserve(&space_info, 1 << 20, Urgency::Ordinary).err();
    assert_eq!(shortage, Some(Shortage::NeedChunk(Class::Data)));
}

/// What is lent comes back, and the global reserve fills up again; what was promised to others is never lent.
#[test]
fn what_is_lent_is_promised_to_nobody() {
    let space_info = space_info(Class::Metadata, 32 << 20);
    space_info.resize_global(Bytes::new(16 << 20));
    let others = reserve(&space_info, 10 << 20, Urgency::Ordinary).unwrap();
    assert_eq!(
        space_info.lend(Bytes::new((22 << 20) + 1)),
        Withdrawal::Refused
    );
    assert_eq!(space_info.lock().global.held, Bytes::new(16 << 20));
    assert_eq!(space_info.lend(Bytes::new(22 << 20)), Withdrawal::Done);
    assert_eq!(space_info.lock().global.held, Bytes::ZERO);
    assert!(reserve(&space_info, 1, Urgency::Freeing).is_err());
    let (read_only, free) = (ByteState::ReadOnly, ByteState::Free);
    space_info
        .shift(Bytes::new(22 << 20), read_only, free)
        .unwrap();
    assert_eq!(space_info.lock().global.held, Bytes::new(16 << 20));
    drop(others);
    assert_eq!(space_info.lock().promised, Bytes::new(16 << 20));
}

#[test]
fn what_is_unread_is_asked_for_where_it_suffices() {
    let space_info = space_info(Class::Data, 1 << 20);
    let (free, unread) = (ByteState::Free, ByteState::Unread);
    space_info.shift(Bytes::new(1 << 19), free, unread).unwrap();
    let ask = |bytes| reserve(&space_info, bytes, Urgency::Ordinary).err();
    assert_eq!(ask(1 << 19), None);
    assert_eq!(ask(1 << 20), Some(Shortage::Unread(Class::Data)));
    assert!(!space_info.is_pressed(), "there is enough");
    assert_eq!(ask((1 << 20) + 1), Some(Shortage::Full));
    assert!(space_info.is_pressed());
    space_info
        .shift(Bytes::new(1 << 19), free, ByteState::Pinned)
        .unwrap();
    assert_eq!(ask(1 << 20), Some(Shortage::NeedCommit));
}

/// Groups of tree blocks are not read without end: what is not read then is of no use.
#[test]
fn no_more_is_asked_for_when_much_is_known() {
    let space_info = space_info(Class::Metadata, 1 << 30);
    let (free, unread) = (ByteState::Free, ByteState::Unread);
    space_info.shift(Bytes::new(1 << 30), free, unread).unwrap();
    let ask = || reserve(&space_info, NODE, Urgency::Ordinary).err();
    space_info.note_known(Bytes::new((1 << 40) - 1));
    assert_eq!(ask(), Some(Shortage::Unread(Class::Metadata)));
    space_info.note_known(Bytes::new(1));
    assert_eq!(ask(), Some(Shortage::Full));
    space_info.note_forgotten(Bytes::new(1));
    assert_eq!(ask(), Some(Shortage::Unread(Class::Metadata)));
}

/// Nothing is promised beyond what is free while more of that could be read.
#[test]
fn metadata_is_not_overcommitted_before_it_is_read() {
    let space_info = space_info(Class::Metadata, 64 << 20);
    let (free, unread) = (ByteState::Free, ByteState::Unread);
    space_info
        .shift(Bytes::new(60 << 20), free, unread)
        .unwrap();
    space_info.set_growth(Growth {
        bytes: Bytes::new(1 << 30),
        next_chunk: Bytes::new(256 << 20),
        data_chunk: Bytes::new(100 << 20),
    });
    let ask = |bytes| reserve(&space_info, bytes, Urgency::Ordinary).err();
    assert_eq!(ask(4 << 20), None);
    assert_eq!(ask(8 << 20), Some(Shortage::Unread(Class::Metadata)));
    space_info
        .shift(Bytes::new(60 << 20), unread, free)
        .unwrap();
    assert_eq!(ask(100 << 20), None);
}

/// What commits use of the global reserve is to be read again, not done without.
#[test]
fn what_was_drawn_on_the_global_reserve_is_read_again() {
    let space_info = space_info(Class::Metadata, 256 << 20);
    let (free, unread) = (ByteState::Free, ByteState::Unread);
    space_info
        .shift(Bytes::new(206 << 20), free, unread)
        .unwrap();
    space_info.resize_global(Bytes::new(32 << 20));
    let wants = || space_info.lock().wants_reading(Class::Metadata);
    assert!(!wants());
    space_info
        .allocated(Bytes::new(30 << 20), Bytes::ZERO)
        .unwrap();
    assert!(wants());
    space_info
        .shift(Bytes::new(30 << 20), unread, free)
        .unwrap();
    assert!(!wants());
}

/// What fills the global reserve first is of no use to who may not draw on it.
#[test]
fn what_is_unread_fills_the_global_reserve_first() {
    let space_info = space_info(Class::Metadata, 16 << 20);
    let (free, unread) = (ByteState::Free, ByteState::Unread);
    space_info
        .shift(Bytes::new(16 << 20), free, unread)
        .unwrap();
    space_info.resize_global(Bytes::new(16 << 20));
    let ask = |urgency| reserve(&space_info, NODE, urgency).err();
    assert_eq!(ask(Urgency::Ordinary), Some(Shortage::Full));
    let unread = Some(Shortage::Unread(Class::Metadata));
    assert_eq!(ask(Urgency::Freeing), unread);
}

#[test]
fn pinned_bytes_ask_for_a_commit() {
    let space_info = space_info(Class::Data, 1 << 20);
    space_info
        .shift(Bytes::new(1 << 20), ByteState::Free, ByteState::Used)
        .unwrap();
    assert_eq!(
        reserve(&space_info, 4096, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
    space_info
        .shift(Bytes::new(8192), ByteState::Used, ByteState::Pinned)
        .unwrap();
    assert_eq!(
        reserve(&space_info, 8192, Urgency::Ordinary).err(),
        Some(Shortage::NeedCommit)
    );
    assert_eq!(
        reserve(&space_info, 8193, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
}

#[test]
fn the_books_refuse_to_go_negative() {
    let mut tally = Tally {
        total: Bytes::new(100),
        used: Bytes::new(40),
        ..Tally::default()
    };
    assert_eq!(
        tally.shift(Bytes::new(41), ByteState::Used, ByteState::Pinned),
        Err(Flaw::new("more bytes are freed than are used", 41, 40))
    );
    assert_eq!(
        tally.shift(Bytes::new(61), ByteState::Free, ByteState::Reserved),
        Err(Flaw::new("more bytes are taken than are free", 61, 60))
    );
    tally
        .shift(Bytes::new(60), ByteState::Free, ByteState::Reserved)
        .unwrap();
    assert_eq!((tally.free().get(), tally.reserved.get()), (0, 60));
}

/// Reserves, gives back, splits, or allocates and frees.
fn do_something(
    space_info: &Arc<SpaceInfo>,
    held: &mut vec::Vec<Reservation>,
    random: &mut Random,
) {
    let urgency = match random.below(4) {
        0 => Urgency::Ordinary,
        1 => Urgency::Freeing,
        2 => Urgency::Promised,
        _ => Urgency::Commit,
    };
    let node = Bytes::new(NODE);
    match random.below(5) {
        0 | 1 => held.extend(reserve(space_info, NODE * (1 + random.below(64)), urgency)),
        2 => drop(held.pop()),
        3 => {
            let part = held.last().and_then(|last| last.split(node));
            held.extend(part);
        }
        _ => {
            let Some(last) = held.last() else { return };
            let drawn = last.draw_for(space_info, node);
            if space_info.allocated(node, drawn).is_ok() {
                let freed = space_info.shift(node, ByteState::Reserved, ByteState::Free);
                freed.unwrap();
            } else {
                drop(Reservation::new(space_info.clone(), drawn));
            }
        }
    }
}

/// Threads reserve, split, merge, allocate and drop; in the end nothing is promised but the global reserve.
#[test]
fn threads_leak_nothing() {
    let space_info = space_info(Class::Metadata, 64 << 20);
    space_info.resize_global(Bytes::new(16 << 20));
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let space_info = space_info.clone();
            scope.spawn(move || {
                let mut random = Random::new(seed);
                let mut held = vec::Vec::new();
                for _ in 0..3000 {
                    do_something(&space_info, &mut held, &mut random);
                }
            });
        }
    });
    let totals = *space_info.lock();
    assert_eq!(
        totals.tally,
        Tally {
            total: Bytes::new(64 << 20),
            ..Tally::default()
        }
    );
    assert_eq!(totals.promised, totals.global.held);
    assert_eq!(totals.global.held, totals.global.size);
}
