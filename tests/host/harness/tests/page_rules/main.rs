// SPDX-License-Identifier: GPL-2.0
//! The rules by which blocks of the page cache become dirty, get their space and lose it: `Documentation/life-of-a-byte.md`
//! as a model of folios, tasks and a disk around the engine's own delayed ranges, run in random interleavings.
//!
//! A task is a few steps; between two of them any other may run. What is done with a folio locked is one step. Faults
//! are planted in the rules to see that the checks find them.

mod model;
mod steps;
mod sync;

use engine::disk::{Bytes, FileOffset};
use engine::fs::{Allowance, Delalloc, WriteKind};
use harness::random::Random;
use harness::token::Token;
use kernel::alloc::inject;
use model::{Block, Contents, NoMemory, Plant, Task, Tree};
use std::boxed::Box;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

/// Here a block is a byte.
fn pos(block: u64) -> FileOffset {
    FileOffset::new(block)
}

const FOLIO: u64 = 4;
const FOLIOS: u64 = 6;
const BLOCKS: u64 = FOLIO * FOLIOS;

struct World {
    plant: Plant,
    random: Random,
    blocks: [Block; BLOCKS as usize],
    disk: [Contents; BLOCKS as usize],
    /// What the trees have of a block.
    trees: [Tree; BLOCKS as usize],
    /// What the user has a right to find.
    truth: [Contents; BLOCKS as usize],
    size: u64,
    delalloc: Delalloc<Token>,
    outstanding: Rc<Cell<u64>>,
    tasks: Vec<Task>,
    mending: Vec<u64>,
    /// How often writeback had no memory.
    put_offs: u64,
    versions: u32,
    memory_fails: bool,
}

impl World {
    fn new(seed: u64, plant: Plant) -> Self {
        Self {
            plant,
            random: Random::new(seed),
            blocks: [Block::default(); BLOCKS as usize],
            disk: [Contents::default(); BLOCKS as usize],
            trees: [Tree::Hole; BLOCKS as usize],
            truth: [Contents::default(); BLOCKS as usize],
            size: BLOCKS,
            delalloc: Delalloc::new().unwrap(),
            outstanding: Rc::default(),
            tasks: Vec::new(),
            mending: Vec::new(),
            put_offs: 0,
            versions: 0,
            memory_fails: true,
        }
    }

    fn cover(&self, allowance: &mut Allowance<Token>, start: u64, end: u64) {
        let covered = self.delalloc.cover(allowance, &(pos(start)..pos(end)));
        covered.unwrap();
    }

    fn is_unwritten(&self, start: u64, end: u64) -> bool {
        (start..end).all(|block| self.trees[block as usize] == Tree::Unwritten)
    }

    fn reserve(&self, allowance: &mut Allowance<Token>, start: u64, end: u64) {
        let kind = match self.is_unwritten(start, end) {
            true => WriteKind::InPlace,
            false => WriteKind::Cow,
        };
        self.reserve_for(kind, allowance, start, end);
    }

    fn reserve_for(&self, kind: WriteKind, allowance: &mut Allowance<Token>, start: u64, end: u64) {
        allowance.set_kind(kind);
        allowance.make_ready().unwrap();
        let missing = self.delalloc.missing(kind, &(pos(start)..pos(end)));
        let lacking = missing.saturating_sub(allowance.bytes());
        if lacking > Bytes::ZERO {
            let token = match kind {
                WriteKind::Cow => Token::new(lacking.get(), &self.outstanding),
                WriteKind::InPlace => Token::in_place(lacking.get(), &self.outstanding),
            };
            allowance.add(token, lacking);
        }
    }

    /// Whether an allowance is enough, and what it is for in place is there. With the folio locked.
    fn can_cover(&self, allowance: &Allowance<Token>, start: u64, end: u64) -> bool {
        self.delalloc.can_cover(allowance, &(pos(start)..pos(end)))
            && (allowance.kind() == WriteKind::Cow
                || self.plant == Plant::TrustThePlace
                || self.delalloc.uncovered(&(pos(start)..pos(end))) == Bytes::ZERO
                || self.is_unwritten(start, end))
    }

    /// Gives holes space; the inode is locked.
    fn allocate(&mut self, start: u64, end: u64) {
        for tree in &mut self.trees[start as usize..end as usize] {
            if *tree == Tree::Hole {
                *tree = Tree::Unwritten;
            }
        }
    }

    /// As a block that is not in the cache is read: only with its folio locked is the disk right.
    fn load(&mut self, block: u64) -> Contents {
        let at = block as usize;
        *self.blocks[at].cached.get_or_insert(self.disk[at])
    }

    fn is_under_writeback(&self, folio: u64) -> bool {
        blocks_of(folio).any(|block| self.blocks[block as usize].under_way.is_some())
    }

    fn next_version(&mut self) -> u32 {
        self.versions += 1;
        self.versions
    }

    fn change(&mut self, block: u64, half: usize) {
        let version = self.next_version();
        let cached = self.blocks[block as usize].cached.as_mut().unwrap();
        cached.0[half] = version;
        self.truth[block as usize].0[half] = version;
    }

    /// Somebody who has a page pinned writes it and marks the folio dirty; nobody was asked.
    fn pin_dirty(&mut self, block: u64) {
        let folio = block / FOLIO;
        let is_cached = blocks_of(folio).all(|block| self.blocks[block as usize].cached.is_some());
        // What is under writeback then goes out as a copy, taken before.
        if !is_cached || block >= self.size {
            return;
        }
        self.change(block, 1);
        for other in blocks_of(folio) {
            self.blocks[other as usize].dirty = true;
        }
    }

    fn write_back(&mut self, folio: u64) -> Result<(), NoMemory> {
        if self.is_under_writeback(folio) {
            return Ok(()); // waits
        }
        let (start, end) = (folio * FOLIO, (folio * FOLIO + FOLIO).min(self.size));
        let (mut left, mut result) = (false, Ok(()));
        let mut at = start;
        while at < end {
            if !self.blocks[at as usize].dirty {
                at += 1;
                continue;
            }
            let run = (at..end)
                .take_while(|&block| self.blocks[block as usize].dirty)
                .count() as u64;
            let fails = self.memory_fails && self.random.one_in(8);
            let injection = fails.then(|| inject::fail_nth(0));
            let taken = self.delalloc.take(&(pos(at)..pos(at + run)));
            drop(injection);
            match taken {
                Ok(Some(delayed)) => {
                    let (until, kind) = (delayed.end.get(), delayed.kind);
                    let is_there = kind == WriteKind::Cow || self.is_unwritten(at, until);
                    assert!(is_there, "{at} to {until} have no place");
                    let blocks: Vec<u64> = (at..until).collect();
                    for &block in &blocks {
                        self.blocks[block as usize].under_way = self.blocks[block as usize].cached;
                    }
                    self.tasks.push(Task::UnderWay {
                        blocks,
                        space: delayed.reservation,
                        kind,
                    });
                    at = until;
                }
                Ok(None) => {
                    left |= self.plant != Plant::ForgetTheUncovered;
                    at += 1;
                }
                Err(_) => {
                    self.put_offs += 1;
                    result = Err(NoMemory);
                    at += run;
                }
            }
        }
        // Blocks that are not in the cache hold nothing, however they are marked.
        for block in blocks_of(folio).map(|block| block as usize) {
            let is_cached = self.blocks[block].cached.is_some();
            self.blocks[block].dirty = is_cached && (left || result.is_err());
        }
        if left && !self.mending.contains(&folio) {
            self.mending.push(folio);
            self.tasks.push(Task::Mend {
                folio,
                allowance: Allowance::default(),
                reserved: false,
                keeps_out: false,
            });
        }
        result
    }

    /// Nobody is to find these bytes on the disk.
    fn forget(&mut self, block: usize) {
        for task in &mut self.tasks {
            if let Task::Sync(sync) = task {
                sync.forget(block);
            }
        }
    }

    fn truncate(&mut self, size: u64) {
        // Waits for writeback of what it cuts.
        if self.is_kept_out() {
            return;
        }
        if (size / FOLIO..FOLIOS).any(|folio| self.is_under_writeback(folio)) {
            return;
        }
        for block in size..BLOCKS {
            let at = block as usize;
            let cut = Block {
                cached: self.blocks[at].cached.map(|_| Contents::default()),
                ..Block::default()
            };
            self.blocks[at] = cut;
            self.disk[at] = Contents::default();
            self.trees[at] = Tree::Hole;
            self.truth[at] = Contents::default();
            self.forget(at);
        }
        if self.plant != Plant::KeepSpace {
            self.delalloc.punch(&(pos(size)..pos(BLOCKS))).unwrap();
        }
        self.size = size;
    }

    /// Whether a hole keeps faults and readahead out (`invalidate_lock`).
    fn faults_wait(&self) -> bool {
        self.plant != Plant::LetFaultsIn && self.punched().next().is_some()
    }

    /// Whether a worker keeps out who cuts or makes a hole (`invalidate_lock`).
    fn is_kept_out(&self) -> bool {
        let keeps_out = |task: &Task| {
            matches!(
                task,
                Task::Mend {
                    keeps_out: true,
                    ..
                }
            )
        };
        self.tasks.iter().any(keeps_out)
    }

    /// Blocks that are out of the cache, and not out of the trees.
    fn punched(&self) -> impl Iterator<Item = u64> + '_ {
        self.tasks.iter().flat_map(|task| match task {
            Task::Punch { start, end } => *start..*end,
            _ => 0..0,
        })
    }

    /// The first half of a hole; the inode is locked. A folio that is dirty elsewhere stays, with zeroes.
    fn punch(&mut self, start: u64, end: u64) {
        let mut folios = start / FOLIO..end.div_ceil(FOLIO);
        if self.is_kept_out() {
            return;
        }
        let waits = self.plant != Plant::PunchUnderWay;
        if waits && folios.any(|folio| self.is_under_writeback(folio)) {
            return;
        }
        for block in start..end {
            let folio = block / FOLIO;
            let stays = blocks_of(folio)
                .any(|other| !(start..end).contains(&other) && self.blocks[other as usize].dirty);
            let at = block as usize;
            let zeroes = self.blocks[at].cached.map(|_| Contents::default());
            self.blocks[at] = Block {
                cached: zeroes.filter(|_| stays),
                under_way: self.blocks[at].under_way,
                ..Block::default()
            };
            self.truth[at] = Contents::default();
            self.forget(at);
            // Under the lock of the folio.
            if self.plant != Plant::KeepSpaceOfHole {
                self.delalloc.punch(&(pos(block)..pos(block + 1))).unwrap();
            }
        }
        self.tasks.push(Task::Punch { start, end });
    }

    /// Reads a block into the cache.
    fn read(&mut self, block: u64) {
        if block < self.size && !self.faults_wait() {
            self.load(block);
        }
    }

    fn evict(&mut self, folio: u64) {
        let mut blocks = blocks_of(folio).map(|block| &self.blocks[block as usize]);
        if blocks.all(|block| !block.dirty && block.under_way.is_none()) {
            for at in blocks_of(folio).map(|block| block as usize) {
                if self.blocks[at].is_lost {
                    self.truth[at] = self.disk[at];
                    self.forget(at);
                }
                self.blocks[at] = Block::default();
            }
        }
    }

    /// All of a folio's way in one go, as memory pressure has it.
    fn reclaim(&mut self, folio: u64) {
        let _ = self.write_back(folio);
        while let Some(index) = self.tasks.iter().position(|task| match task {
            Task::UnderWay { blocks, .. } => blocks.iter().any(|block| block / FOLIO == folio),
            _ => false,
        }) {
            let task = self.tasks.swap_remove(index);
            let next = self.step(task);
            self.tasks.extend(next);
        }
        self.evict(folio);
    }

    fn random_task(&mut self) -> Option<Task> {
        let start = self.random.below(BLOCKS);
        let end = start + 1 + self.random.below((BLOCKS - start).min(2 * FOLIO));
        match self.random.below(11) {
            0..=2 => Some(Task::Write {
                start,
                end,
                half: self.random.below(2) as usize,
                allowance: Allowance::default(),
                seen: BTreeMap::new(),
                reserved: false,
            }),
            3 => Some(Task::Store {
                block: start,
                allowance: Allowance::default(),
                reserved: false,
            }),
            4 => {
                self.pin_dirty(start);
                None
            }
            5 | 6 => {
                let _ = self.write_back(start / FOLIO);
                None
            }
            7 => {
                self.evict(start / FOLIO);
                None
            }
            8 => {
                self.reclaim(start / FOLIO);
                None
            }
            9 if self.is_locked() => None,
            9 if self.random.one_in(4) => {
                self.truncate(self.size.min(start));
                self.size = self.size.max(end);
                None
            }
            9 if self.random.one_in(2) => {
                // Of whole folios: stores and workers rely on nothing less.
                let (start, end) = (start / FOLIO * FOLIO, end.next_multiple_of(FOLIO));
                self.allocate(start, end);
                None
            }
            9 if self.random.one_in(3) => {
                self.punch(start, end.min(self.size).max(start));
                None
            }
            9 => {
                self.read(start);
                None
            }
            _ => Some(self.begin_sync()),
        }
    }

    /// Whether a task has the inode locked.
    fn is_locked(&self) -> bool {
        let locks = |task: &Task| matches!(task, Task::Write { .. } | Task::Punch { .. });
        self.tasks.iter().any(locks)
    }

    fn step_any(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let index = self.random.below(self.tasks.len() as u64) as usize;
        let task = self.tasks.swap_remove(index);
        let next = self.step(task);
        self.tasks.extend(next);
    }

    fn step_first(&mut self, is_wanted: impl Fn(&Task) -> bool) {
        if let Some(index) = self.tasks.iter().position(is_wanted) {
            let task = self.tasks.remove(index);
            let next = self.step(task);
            self.tasks.extend(next);
        }
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if done(self) {
                return;
            }
            self.step_any();
        }
        panic!("a task does not end");
    }

    fn check(&self) {
        let punched: Vec<u64> = self.punched().collect();
        for (index, block) in self.blocks.iter().enumerate() {
            let at = index as u64;
            let is_delayed = self.delalloc.uncovered(&(pos(at)..pos(at + 1))) == Bytes::ZERO;
            if is_delayed {
                assert!(block.dirty, "block {at} has space and is clean");
                assert!(at < self.size, "block {at} has space behind the end");
            }
            if block.dirty {
                assert!(block.cached.is_some(), "block {at} is dirty and gone");
            }
            // Who reads a hole before the trees have it waits.
            if at < self.size && !(block.cached.is_none() && punched.contains(&at)) {
                let cached = block.cached.unwrap_or(self.disk[index]);
                assert_eq!(cached, self.truth[index], "block {at} as it is read");
            }
            let is_data = self.truth[index] != Contents::default() && !block.is_lost;
            assert!(
                !is_data || self.finds_data(at),
                "block {at} passes for a hole"
            );
        }
    }

    /// Whether who seeks bytes finds some at a block: first what is pending, then the trees; and the folios that were dirtied
    /// behind the file system's back.
    fn finds_data(&self, block: u64) -> bool {
        let is_pending = self.delalloc.pending(&(pos(block)..pos(block + 1)));
        let asks_folios = self.plant != Plant::SeekPastStrays;
        is_pending.is_some()
            || self.trees[block as usize] == Tree::Written
            || asks_folios && self.blocks[block as usize].dirty
    }

    /// No task is left: one sync takes all that is dirty out, and leaves nothing behind.
    fn finish(&mut self) {
        self.run_until(|world| world.tasks.is_empty());
        self.memory_fails = false;
        let sync = self.begin_sync();
        self.tasks.push(sync);
        self.run_until(|world| world.tasks.is_empty());
        for at in 0..self.size as usize {
            let as_it_must = self.blocks[at].is_lost || self.disk[at] == self.truth[at];
            assert!(as_it_must, "block {at} on the disk");
        }
        self.check();
        assert_eq!(self.delalloc.bytes(), Bytes::ZERO, "space is left");
        assert_eq!(self.delalloc.under_way(), Bytes::ZERO, "it goes on");
        assert_eq!(self.outstanding.get(), 0, "a reservation is left");
    }
}

fn blocks_of(folio: u64) -> std::ops::Range<u64> {
    folio * FOLIO..folio * FOLIO + FOLIO
}

fn history(seed: u64, plant: Plant) {
    let mut world = World::new(seed, plant);
    for _ in 0..400 {
        if world.random.one_in(3) {
            let is_locked = world.is_locked();
            match world.random_task() {
                Some(Task::Write { .. }) if is_locked => {}
                task => world.tasks.extend(task),
            }
        } else {
            world.step_any();
        }
        world.check();
    }
    world.finish();
}

#[test]
fn no_block_is_lost() {
    harness::random::seeds(0..400).for_each(|seed| history(seed, Plant::Nothing));
}

/// The first folio is over unwritten space, was dirtied by nobody's leave, and waits for a worker.
fn worker_over_unwritten_space(plant: Plant) -> World {
    let mut world = World::new(1, plant);
    world.memory_fails = false;
    world.allocate(0, FOLIO);
    for block in 0..FOLIO {
        world.load(block);
    }
    world.pin_dirty(0);
    let _ = world.write_back(0);
    world
}

/// A folio over unwritten space waits for a worker while a hole is made beside it: it is given no other space, of which a
/// full volume has none.
#[test]
fn a_worker_takes_what_is_there_beside_a_hole() {
    let mut world = worker_over_unwritten_space(Plant::Nothing);
    world.punch(FOLIO, 2 * FOLIO);
    for _ in 0..3 {
        world.step_first(|task| matches!(task, Task::Mend { .. }));
        assert_eq!(world.outstanding.get(), 0, "new space");
    }
    world.finish();
}

/// A worker has a folio over unwritten space of which a hole is about to take a block.
fn worker_while_a_hole_is_made(plant: Plant) {
    let mut world = worker_over_unwritten_space(plant);
    world.punch(1, 2);
    for _ in 0..3 {
        world.step_first(|task| matches!(task, Task::Mend { .. }));
    }
    world.step_first(|task| matches!(task, Task::Punch { .. }));
    world.finish();
}

#[test]
fn a_worker_waits_while_a_hole_is_made() {
    worker_while_a_hole_is_made(Plant::Nothing);
}

/// Each of these is found, and soon.
#[test]
fn planted_faults_are_found() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() != Some("planted_faults_are_found") {
            usual(info);
        } else if let Some(text) = info.payload().downcast_ref::<String>() {
            std::eprintln!("planted: {text}");
        }
    }));
    for plant in [
        Plant::CoverEarly,
        Plant::LookUpEarly,
        Plant::ForgetTheUncovered,
        Plant::DoNotSettle,
        Plant::PassOver,
        Plant::KeepSpace,
        Plant::KeepSpaceOfHole,
        Plant::LetFaultsIn,
        Plant::PunchUnderWay,
        Plant::TrustThePlace,
        Plant::StoreUnderWay,
        Plant::EndEarly,
        Plant::SeekPastStrays,
    ] {
        let found = (0..5000).any(|seed| is_found(|| history(seed, plant)));
        assert!(found, "{plant:?}");
    }
    // Histories come to it once in ten thousand.
    assert!(is_found(|| worker_while_a_hole_is_made(Plant::MendInPlace)));
}

fn is_found(run: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
}
