// SPDX-License-Identifier: GPL-2.0
//! Delayed ranges cover what a bitmap says, and hold exactly the reservations of what they cover. What was taken is under way
//! until that has ended.

use engine::disk::{Bytes, FileOffset};
use engine::fs::{Allowance, Delalloc, WriteKind};
use harness::random::Random;
use harness::token::Token;
use kernel::alloc::inject;
use std::cell::Cell;
use std::rc::Rc;

const BLOCKS: u64 = 48;

/// What a block is: clean, or dirty of a kind.
type Model = [Option<WriteKind>; BLOCKS as usize];

struct Run {
    ranges: Delalloc<Token>,
    model: Model,
    under_way: [bool; BLOCKS as usize],
    /// Blocks with space of their own.
    outstanding: Rc<Cell<u64>>,
}

fn pos(block: u64) -> FileOffset {
    FileOffset::new(block)
}

impl Run {
    fn new() -> Self {
        let ranges = Delalloc::new().unwrap();
        Self {
            ranges,
            model: [None; BLOCKS as usize],
            under_way: [false; BLOCKS as usize],
            outstanding: Rc::new(Cell::new(0)),
        }
    }

    fn count(&self, start: u64, end: u64, which: impl Fn(Option<WriteKind>) -> bool) -> u64 {
        let blocks = &self.model[start as usize..end as usize];
        blocks.iter().filter(|kind| which(**kind)).count() as u64
    }

    fn token(&self, kind: WriteKind, blocks: u64) -> Token {
        match kind {
            WriteKind::Cow => Token::new(blocks, &self.outstanding),
            WriteKind::InPlace => Token::in_place(blocks, &self.outstanding),
        }
    }

    fn check(&self) {
        self.check_with(0);
    }

    /// `outside`: blocks with space that are not covered.
    fn check_with(&self, outside: u64) {
        for start in 0..BLOCKS {
            for end in start..=BLOCKS {
                let missing = self.count(start, end, |kind| kind.is_none());
                let found = self.ranges.uncovered(&(pos(start)..pos(end)));
                assert_eq!(found, Bytes::new(missing), "[{start}, {end})");
            }
        }
        let with_space = self.count(0, BLOCKS, |kind| kind == Some(WriteKind::Cow));
        assert_eq!(self.outstanding.get(), with_space + outside);
        let covered = self.count(0, BLOCKS, |kind| kind.is_some());
        assert_eq!(self.ranges.bytes(), Bytes::new(covered));
        let under_way = self.under_way.iter().filter(|is| **is).count() as u64;
        assert_eq!(self.ranges.under_way(), Bytes::new(under_way));
        for start in 0..BLOCKS {
            for end in [start, (start + 5).min(BLOCKS), BLOCKS] {
                let found = self.ranges.pending(&(pos(start)..pos(end)));
                let found = found.map(|found| found.start.get()..found.end.get());
                assert_eq!(found, self.pending(start, end), "[{start}, {end})");
            }
        }
    }

    /// The first blocks of `[start, end)` that are delayed or under way, and adjoin.
    fn pending(&self, start: u64, end: u64) -> Option<std::ops::Range<u64>> {
        let is = |at: &u64| self.model[*at as usize].is_some() || self.under_way[*at as usize];
        let first = (start..end).find(is)?;
        let last = (first..end).find(|at| !is(at)).unwrap_or(end);
        Some(first..last)
    }

    fn end(&mut self, start: u64, end: u64) {
        self.ranges.end(&(pos(start)..pos(end))).unwrap();
        self.under_way[start as usize..end as usize].fill(false);
    }

    fn begin(&mut self, start: u64, end: u64) {
        if self.ranges.begin(&(pos(start)..pos(end))).is_ok() {
            self.under_way[start as usize..end as usize].fill(true);
        }
    }

    fn cover(&mut self, start: u64, end: u64, kind: WriteKind) {
        let new = self.count(start, end, |kind| kind.is_none());
        let missing = match (new, kind) {
            (0, _) => 0,
            (_, WriteKind::Cow) => new,
            (_, WriteKind::InPlace) => self.count(start, end, |is| is != Some(WriteKind::InPlace)),
        };
        assert_eq!(
            self.ranges.missing(kind, &(pos(start)..pos(end))),
            Bytes::new(missing)
        );
        let has_space = u64::from(kind == WriteKind::Cow);
        let mut allowance = Allowance::default();
        allowance.set_kind(kind);
        allowance.make_ready().unwrap();
        if missing > 0 {
            allowance.add(self.token(kind, missing - 1), Bytes::new(missing - 1));
            let can = self.ranges.can_cover(&allowance, &(pos(start)..pos(end)));
            assert!(!can);
            let covered = self.ranges.cover(&mut allowance, &(pos(start)..pos(end)));
            assert!(covered.is_err());
            self.check_with(has_space * (missing - 1));
        }
        allowance.add(self.token(kind, 4), Bytes::new(4));
        let can = self.ranges.can_cover(&allowance, &(pos(start)..pos(end)));
        assert!(can);
        let covered = self.ranges.cover(&mut allowance, &(pos(start)..pos(end)));
        covered.unwrap();
        let rest = missing.max(1) - 1 + 4 - missing;
        assert_eq!(allowance.bytes(), Bytes::new(rest));
        for block in &mut self.model[start as usize..end as usize] {
            // Where nothing was missing all stays as it was.
            match (missing, kind) {
                (0, _) => {}
                (_, WriteKind::InPlace) => *block = Some(kind),
                (_, WriteKind::Cow) => {
                    block.get_or_insert(kind);
                }
            }
        }
        self.check_with(has_space * rest);
    }

    fn take(&mut self, start: u64, end: u64) {
        let kind = self.model[start as usize];
        let run = self.model[start as usize..end as usize]
            .iter()
            .take_while(|found| found.is_some() && **found == kind)
            .count() as u64;
        let Ok(taken) = self.ranges.take(&(pos(start)..pos(end))) else {
            return; // out of memory: nothing has changed
        };
        let taken = taken.map(|taken| {
            let Token {
                blocks, in_place, ..
            } = taken.reservation;
            (taken.end.get(), taken.kind, blocks, in_place)
        });
        let expected = kind.map(|kind| match kind {
            WriteKind::Cow => (start + run, kind, run, 0),
            WriteKind::InPlace => (start + run, kind, 0, run),
        });
        assert_eq!(taken, expected);
        self.model[start as usize..(start + run) as usize].fill(None);
        self.under_way[start as usize..(start + run) as usize].fill(true);
    }
}

fn history(seed: u64, failing: bool) {
    let mut random = Random::new(seed);
    let mut run = Run::new();
    for _ in 0..200 {
        let start = random.below(BLOCKS);
        let end = start + 1 + random.below(BLOCKS - start);
        let _injection = (failing && random.one_in(3)).then(|| inject::fail_nth(random.below(2)));
        match random.below(6) {
            4 => run.end(start, end),
            5 if random.one_in(4) => run.begin(start, end),
            0 => run.cover(start, end, WriteKind::Cow),
            1 => run.cover(start, end, WriteKind::InPlace),
            2 => run.take(start, end),
            _ => {
                run.ranges.punch(&(pos(start)..pos(end))).unwrap();
                run.model[start as usize..end as usize].fill(None);
            }
        }
        run.check();
    }
    run.ranges.punch(&(pos(0)..pos(BLOCKS))).unwrap();
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
