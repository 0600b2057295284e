// SPDX-License-Identifier: GPL-2.0
//! Whoever asks for a round waits for one that began after he asked, and no more are made than that takes.

use latch::{Rank, Rounds};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Barrier;
use std::thread::{scope, sleep};
use std::time::Duration;

#[test]
fn each_is_served_by_a_round_that_began_after_it_asked() {
    let rounds = Rounds::new(Rank::WriteOut).unwrap();
    let (asked, served) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let task = || {
        for _ in 0..2000 {
            let mine = asked.fetch_add(1, SeqCst) + 1;
            rounds.share(|| {
                let seen = asked.load(SeqCst);
                std::thread::yield_now();
                served.fetch_max(seen, SeqCst);
            });
            assert!(served.load(SeqCst) >= mine);
        }
    };
    scope(|scope| (0..4).for_each(|_| drop(scope.spawn(task))));
}

#[test]
fn many_who_ask_during_a_round_share_the_next() {
    const TASKS: usize = 20;
    let rounds = Rounds::new(Rank::WriteOut).unwrap();
    let made = AtomicUsize::new(0);
    let (under_way, ready) = (Barrier::new(2), Barrier::new(TASKS + 1));
    scope(|scope| {
        scope.spawn(|| {
            rounds.share(|| {
                made.fetch_add(1, SeqCst);
                under_way.wait();
                ready.wait();
                // Until all of them stand in the queue.
                sleep(Duration::from_millis(200));
            })
        });
        under_way.wait();
        for _ in 0..TASKS {
            scope.spawn(|| {
                ready.wait();
                rounds.share(|| {
                    made.fetch_add(1, SeqCst);
                });
            });
        }
    });
    // Two, and one more for each that the machine did not let come in time.
    assert!((2..TASKS / 2).contains(&made.load(SeqCst)));
}
