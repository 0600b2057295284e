// SPDX-License-Identifier: GPL-2.0
//! Interleavings are searched, not hoped for: the scheduler decides at every lock which task goes on.

use latch::{lockdep, Condvar, Latched, Mutex, Nesting, Rank, Rounds, Side, TreeKind};
use shuttle::thread::{spawn, yield_now};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

const TRIES: usize = 2000;

fn search(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(test, TRIES);
}

#[test]
fn a_round_that_began_after_one_asked_serves_him() {
    search(|| {
        let rounds = Arc::new(Rounds::new(Rank::WriteOut).unwrap());
        let (asked, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let (rounds, asked, served) = (rounds.clone(), asked.clone(), served.clone());
                spawn(move || {
                    for _ in 0..2 {
                        let mine = asked.fetch_add(1, SeqCst) + 1;
                        yield_now();
                        rounds.share(|| {
                            let seen = asked.load(SeqCst);
                            yield_now();
                            served.fetch_max(seen, SeqCst);
                        });
                        assert!(served.load(SeqCst) >= mine);
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(lockdep::held(), 0);
    });
}

/// Who forgets to look again under the lock is found.
#[test]
fn a_round_that_had_begun_before_is_found_out() {
    let found = catch_unwind(|| {
        search(|| {
            let turn = Arc::new(Mutex::new(0, Rank::WriteOut).unwrap());
            let (asked, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let (turn, asked, served) = (turn.clone(), asked.clone(), served.clone());
                    spawn(move || {
                        let mine = asked.fetch_add(1, SeqCst) + 1;
                        let before = *turn.lock();
                        let mut begun = turn.lock();
                        // A round may have begun, and looked, before this task had asked.
                        if *begun == before {
                            *begun += 1;
                            let seen = asked.load(SeqCst);
                            drop(begun);
                            yield_now();
                            served.fetch_max(seen, SeqCst);
                        }
                        assert!(served.load(SeqCst) >= mine);
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    });
    assert!(found.is_err());
}

#[test]
fn nobody_sleeps_through_a_notification() {
    search(|| {
        let state = Mutex::new(0, Rank::Joining).unwrap();
        let shared = Arc::new((state, Condvar::new(Rank::Joining).unwrap()));
        let waiters: Vec<_> = (1..=2)
            .map(|wanted| {
                let shared = shared.clone();
                spawn(move || {
                    let mut count = shared.0.lock();
                    while *count < wanted {
                        shared.1.wait(&mut count);
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            *shared.0.lock() += 1;
            shared.1.notify_all();
        }
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn a_notification_before_the_wait_is_found_to_be_lost() {
    let found = catch_unwind(|| {
        search(|| {
            let state = Mutex::new(false, Rank::Joining).unwrap();
            let shared = Arc::new((state, Condvar::new(Rank::Joining).unwrap()));
            let other = shared.clone();
            let waiter = spawn(move || {
                let done = *other.0.lock();
                // Between the look and the wait anybody may have notified.
                let mut guard = other.0.lock();
                if !done {
                    other.1.wait(&mut guard);
                }
            });
            *shared.0.lock() = true;
            shared.1.notify_all();
            waiter.join().unwrap();
        });
    });
    assert!(found.is_err());
}

#[test]
fn readers_share_and_writers_do_not() {
    search(|| {
        let block = Latched::shared((), [0u32; 2]).unwrap();
        let at = Nesting {
            tree: TreeKind::Files,
            level: 0,
            side: Side::Path,
        };
        let tasks: Vec<_> = (0..3)
            .map(|task| {
                let block = block.clone();
                spawn(move || {
                    if task > 0 {
                        let mut pair = Latched::write(&block, at);
                        pair[0] += 1;
                        yield_now();
                        pair[1] += 1;
                    }
                    let pair = Latched::read(&block, at);
                    assert_eq!(pair[0], pair[1]);
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(*Latched::read(&block, at), [2, 2]);
    });
}
