// SPDX-License-Identifier: GPL-2.0
//! Delayed ranges cover what a bitmap says, and hold exactly the reservations of what they cover.

use engine::disk::FileOffset;
use engine::fs::{Allowance, Delalloc};
use harness::random::Random;
use harness::token::Token;
use kernel::alloc::inject;
use std::cell::Cell;
use std::rc::Rc;

const BLOCKS: u64 = 48;

struct Run {
    ranges: Delalloc<Token>,
    model: [bool; BLOCKS as usize],
    outstanding: Rc<Cell<u64>>,
}

impl Run {
    fn new() -> Self {
        let ranges = Delalloc::new().unwrap();
        Self {
            ranges,
            model: [false; BLOCKS as usize],
            outstanding: Rc::new(Cell::new(0)),
        }
    }

    fn covered(&self, start: u64, end: u64) -> u64 {
        self.model[start as usize..end as usize]
            .iter()
            .filter(|set| **set)
            .count() as u64
    }

    fn check(&self) {
        self.check_with(0);
    }

    /// `outside`: blocks reserved and not covered.
    fn check_with(&self, outside: u64) {
        for start in 0..BLOCKS {
            for end in start..=BLOCKS {
                let missing = end - start - self.covered(start, end);
                assert_eq!(
                    self.ranges
                        .uncovered(FileOffset::new(start), FileOffset::new(end)),
                    missing,
                    "[{start}, {end})"
                );
            }
        }
        let covered = self.covered(0, BLOCKS);
        assert_eq!(self.outstanding.get(), covered + outside);
        assert_eq!(self.ranges.bytes(), covered);
    }

    fn cover(&mut self, start: u64, end: u64) {
        let missing = self
            .ranges
            .uncovered(FileOffset::new(start), FileOffset::new(end));
        let mut allowance = Allowance::default();
        allowance.make_ready().unwrap();
        if missing > 0 {
            allowance.add(Token::new(missing - 1, &self.outstanding), missing - 1);
            assert!(!self.ranges.can_cover(
                &allowance,
                FileOffset::new(start),
                FileOffset::new(end)
            ));
            assert!(self
                .ranges
                .cover(&mut allowance, FileOffset::new(start), FileOffset::new(end))
                .is_err());
            self.check_with(missing - 1);
        }
        allowance.add(Token::new(4, &self.outstanding), 4);
        assert!(self
            .ranges
            .can_cover(&allowance, FileOffset::new(start), FileOffset::new(end)));
        self.ranges
            .cover(&mut allowance, FileOffset::new(start), FileOffset::new(end))
            .unwrap();
        let rest = missing.max(1) - 1 + 4 - missing;
        assert_eq!(allowance.bytes(), rest);
        self.model[start as usize..end as usize].fill(true);
        self.check_with(rest);
    }

    fn take(&mut self, start: u64, end: u64) {
        let run = (start..end)
            .take_while(|&block| self.model[block as usize])
            .count() as u64;
        let Ok(taken) = self
            .ranges
            .take(FileOffset::new(start), FileOffset::new(end))
        else {
            return; // out of memory: nothing has changed
        };
        let taken = taken.map(|(until, token)| (until.get(), token.blocks));
        assert_eq!(taken, (run > 0).then_some((start + run, run)));
        self.model[start as usize..(start + run) as usize].fill(false);
    }
}

fn history(seed: u64, failing: bool) {
    let mut random = Random::new(seed);
    let mut run = Run::new();
    for _ in 0..200 {
        let start = random.below(BLOCKS);
        let end = start + 1 + random.below(BLOCKS - start);
        let injection = (failing && random.one_in(3)).then(|| inject::fail_nth(random.below(2)));
        match random.below(4) {
            0 | 1 => run.cover(start, end),
            2 => run.take(start, end),
            _ => {
                drop(injection);
                run.ranges
                    .punch(FileOffset::new(start), FileOffset::new(end))
                    .unwrap();
                run.model[start as usize..end as usize].fill(false);
            }
        }
        run.check();
    }
    run.ranges
        .punch(FileOffset::new(0), FileOffset::new(BLOCKS))
        .unwrap();
    assert_eq!(run.outstanding.get(), 0);
}

#[test]
fn random_histories() {
    (0..60).for_each(|seed| history(seed, false));
}

#[test]
fn random_histories_without_memory() {
    (0..60).for_each(|seed| history(seed, true));
}
