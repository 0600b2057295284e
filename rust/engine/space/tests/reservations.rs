// SPDX-License-Identifier: GPL-2.0

use super::Random;
use crate::space::reserve::pool::{Growth, Pool, State, Tally};
use crate::space::{Class, Reservation, Shortage, Urgency};
use kernel::sync::Arc;
use latch::prelude::*;
use std::vec;

const NODE: u64 = 16384;

fn pool(class: Class, total: u64) -> Arc<Pool> {
    let pool = Arc::new(Pool::new(class).unwrap(), GFP_KERNEL).unwrap();
    pool.add(&Tally {
        total,
        ..Tally::default()
    });
    pool
}

fn reserve(pool: &Arc<Pool>, bytes: u64, urgency: Urgency) -> Result<Reservation, Shortage> {
    pool.promise(bytes, urgency)
        .map(|()| Reservation::new(pool.clone(), bytes))
}

#[test]
fn what_is_dropped_comes_back() {
    let pool = pool(Class::Data, 1 << 20);
    let first = reserve(&pool, 1 << 19, Urgency::Ordinary).unwrap();
    let second = reserve(&pool, 1 << 19, Urgency::Ordinary).unwrap();
    assert_eq!(
        reserve(&pool, 1, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
    let part = first.split(4096).unwrap();
    assert!(first.split(1 << 19).is_none());
    second.merge(part);
    assert_eq!(second.bytes(), (1 << 19) + 4096);
    second.give_back(4096);
    assert_eq!(pool.lock().promised, (1 << 20) - 4096);
    drop(first);
    drop(second);
    assert_eq!(pool.lock().promised, 0);
}

#[test]
fn data_is_never_promised_beyond_what_is_free() {
    let pool = pool(Class::Data, 1 << 20);
    pool.set_growth(Growth {
        bytes: 1 << 30,
        next_chunk: 1 << 30,
        data_chunk: 1 << 30,
    });
    assert!(reserve(&pool, 1 << 20, Urgency::Ordinary).is_ok());
    let shortage = reserve(&pool, (1 << 20) + 1, Urgency::Ordinary).err();
    assert_eq!(shortage, Some(Shortage::NeedChunk(Class::Data)));
}

#[test]
fn metadata_is_overcommitted_only_while_chunks_can_come() {
    let pool = pool(Class::Metadata, 8 << 20);
    assert_eq!(
        reserve(&pool, 9 << 20, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
    pool.set_growth(Growth {
        bytes: 1 << 30,
        next_chunk: 256 << 20,
        data_chunk: 100 << 20,
    });
    let held = reserve(&pool, 50 << 20, Urgency::Ordinary).unwrap();
    // An eighth of what is promised must be there to allocate from.
    let shortage = reserve(&pool, 50 << 20, Urgency::Ordinary).err();
    assert_eq!(shortage, Some(Shortage::NeedChunk(Class::Metadata)));
    drop(held);
}

#[test]
fn freeing_and_commits_draw_on_the_global_reserve() {
    let pool = pool(Class::Metadata, 32 << 20);
    pool.resize_global(16 << 20);
    assert_eq!(pool.lock().global.held, 16 << 20);
    let all = reserve(&pool, 16 << 20, Urgency::Ordinary).unwrap();
    assert_eq!(
        reserve(&pool, NODE, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
    let freeing = reserve(&pool, 14 << 20, Urgency::Freeing).unwrap();
    // The last eighth is for the commit.
    assert!(reserve(&pool, NODE, Urgency::Freeing).is_err());
    let commit = reserve(&pool, 2 << 20, Urgency::Commit).unwrap();
    assert_eq!(pool.lock().global.held, 0);
    drop((freeing, commit));
    assert_eq!(pool.lock().global.held, 16 << 20);
    drop(all);
    assert_eq!(pool.lock().promised, 16 << 20);
}

#[test]
fn pinned_bytes_ask_for_a_commit() {
    let pool = pool(Class::Data, 1 << 20);
    pool.shift(1 << 20, State::Free, State::Used).unwrap();
    assert_eq!(
        reserve(&pool, 4096, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
    pool.shift(8192, State::Used, State::Pinned).unwrap();
    assert_eq!(
        reserve(&pool, 8192, Urgency::Ordinary).err(),
        Some(Shortage::NeedCommit)
    );
    assert_eq!(
        reserve(&pool, 8193, Urgency::Ordinary).err(),
        Some(Shortage::Full)
    );
}

#[test]
fn the_books_refuse_to_go_negative() {
    let mut tally = Tally {
        total: 100,
        used: 40,
        ..Tally::default()
    };
    assert_eq!(tally.shift(41, State::Used, State::Pinned), Err(EUCLEAN));
    assert_eq!(tally.shift(61, State::Free, State::Reserved), Err(EUCLEAN));
    tally.shift(60, State::Free, State::Reserved).unwrap();
    assert_eq!((tally.free(), tally.reserved), (0, 60));
}

/// Threads reserve, split, merge, allocate and drop; in the end nothing is promised but the global reserve.
#[test]
fn threads_leak_nothing() {
    let pool = pool(Class::Metadata, 64 << 20);
    pool.resize_global(16 << 20);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let pool = pool.clone();
            scope.spawn(move || {
                let mut random = Random(seed);
                let mut held = vec::Vec::new();
                for _ in 0..3000 {
                    let urgency = match random.below(3) {
                        0 => Urgency::Ordinary,
                        1 => Urgency::Freeing,
                        _ => Urgency::Commit,
                    };
                    match random.below(5) {
                        0 | 1 => {
                            held.extend(reserve(&pool, NODE * (1 + random.below(64)), urgency))
                        }
                        2 => drop(held.pop()),
                        3 => {
                            if let Some(part) =
                                held.last().and_then(|last: &Reservation| last.split(NODE))
                            {
                                held.push(part);
                            }
                        }
                        _ => {
                            if let Some(last) = held.last() {
                                let drawn = last.draw_for(&pool, NODE);
                                if pool.allocated(NODE, drawn).is_ok() {
                                    pool.shift(NODE, State::Reserved, State::Free).unwrap();
                                } else {
                                    drop(Reservation::new(pool.clone(), drawn));
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    let totals = *pool.lock();
    assert_eq!(
        totals.tally,
        Tally {
            total: 64 << 20,
            ..Tally::default()
        }
    );
    assert_eq!(totals.promised, totals.global.held);
    assert_eq!(totals.global.held, totals.global.size);
}
