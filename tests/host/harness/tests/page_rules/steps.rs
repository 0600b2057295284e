// SPDX-License-Identifier: GPL-2.0
//! The steps of tasks.

use super::{blocks_of, pos, Contents, Plant, Task, Tree, World, FOLIO};
use engine::disk::Bytes;
use engine::fs::{Allowance, WriteKind};
use harness::token::Token;
use std::collections::BTreeMap;

impl World {
    /// One step of a task; gives it back unless it has ended.
    pub(super) fn step(&mut self, task: Task) -> Option<Task> {
        match task {
            Task::Write { .. } => self.write(task),
            Task::Store { .. } if self.faults_wait() => Some(task),
            Task::Punch { start, end } => {
                for at in start..end {
                    self.disk[at as usize] = Contents::default();
                    self.trees[at as usize] = Tree::Hole;
                }
                None
            }
            Task::Store {
                block,
                mut allowance,
                reserved,
            } => {
                let (start, end) = (
                    block / FOLIO * FOLIO,
                    (block / FOLIO * FOLIO + FOLIO).min(self.size),
                );
                if block >= self.size {
                    return None;
                }
                if !reserved || !self.can_cover(&allowance, start, end) {
                    self.reserve(&mut allowance, start, end);
                    return Some(Task::Store {
                        block,
                        allowance,
                        reserved: true,
                    });
                }
                let waits = self.plant != Plant::StoreUnderWay;
                if waits && self.is_under_writeback(block / FOLIO) {
                    return Some(Task::Store {
                        block,
                        allowance,
                        reserved,
                    });
                }
                self.cover(&mut allowance, start, end);
                for other in start..end {
                    self.load(other);
                    self.blocks[other as usize].dirty = true;
                }
                self.change(block, 0);
                None
            }
            // Unwritten space stays only where nobody is about to cut.
            Task::Mend {
                keeps_out: false, ..
            } if self.plant != Plant::MendInPlace && self.punched().next().is_some() => Some(task),
            Task::Mend {
                folio,
                mut allowance,
                reserved,
                ..
            } => {
                let (start, end) = (folio * FOLIO, (folio * FOLIO + FOLIO).min(self.size));
                let is_dirty = blocks_of(folio).any(|block| self.blocks[block as usize].dirty);
                let done = end <= start
                    || !is_dirty
                    || self.delalloc.uncovered(&(pos(start)..pos(end))) == Bytes::ZERO;
                if reserved && done {
                    self.mending.retain(|&other| other != folio);
                    return None;
                }
                let can = self.can_cover(&allowance, start, end.max(start));
                if !reserved || !can || self.is_under_writeback(folio) {
                    self.reserve(&mut allowance, start, end.max(start));
                    return Some(Task::Mend {
                        folio,
                        allowance,
                        reserved: true,
                        keeps_out: self.plant != Plant::MendInPlace,
                    });
                }
                // What is not in the cache holds nothing.
                for block in start..end {
                    if self.blocks[block as usize].cached.is_some() {
                        allowance.make_ready().unwrap();
                        self.cover(&mut allowance, block, block + 1);
                        self.blocks[block as usize].dirty = true;
                    }
                }
                self.mending.retain(|&other| other != folio);
                None
            }
            Task::Sync(sync) => self.sync(sync),
            Task::UnderWay {
                blocks,
                space,
                kind,
            } if self.memory_fails && self.random.one_in(8) => {
                self.put_off(&blocks, space, kind);
                None
            }
            Task::UnderWay {
                blocks,
                space,
                kind,
            } => {
                let fails = self.random.one_in(10);
                let range = pos(blocks[0])..pos(blocks[0] + blocks.len() as u64);
                if self.plant == Plant::EndEarly && self.random.one_in(2) {
                    self.delalloc.end(&range).unwrap();
                    let late = Task::UnderWay {
                        blocks,
                        space,
                        kind,
                    };
                    return Some(late);
                }
                for block in blocks {
                    let at = block as usize;
                    let written = self.blocks[at].under_way.take().unwrap();
                    self.blocks[at].is_lost = fails;
                    if !fails {
                        let is_there = self.trees[at] == Tree::Unwritten;
                        assert!(kind == WriteKind::Cow || is_there, "{at} has no place");
                        self.disk[at] = written;
                        self.trees[at] = Tree::Written;
                    }
                }
                self.delalloc.end(&range).unwrap();
                drop(space);
                None
            }
        }
    }

    /// There was no memory to send these blocks, which adjoin: they are dirty and have their space again.
    fn put_off(&mut self, blocks: &[u64], space: Token, kind: WriteKind) {
        for &block in blocks {
            let block = &mut self.blocks[block as usize];
            block.under_way = None;
            block.dirty = true;
        }
        let (start, end) = (blocks[0], blocks[0] + blocks.len() as u64);
        let mut allowance = Allowance::default();
        allowance.set_kind(kind);
        allowance.add(space, Bytes::from(blocks.len()));
        allowance.make_ready().unwrap();
        self.cover(&mut allowance, start, end);
        self.delalloc.end(&(pos(start)..pos(end))).unwrap();
        self.put_offs += 1;
    }

    fn write(&mut self, task: Task) -> Option<Task> {
        let Task::Write {
            start,
            end,
            half,
            mut allowance,
            mut seen,
            reserved,
        } = task
        else {
            return None;
        };
        let fits = self.can_cover(&allowance, start, end);
        if !reserved || !fits && self.plant != Plant::CoverEarly {
            self.reserve(&mut allowance, start, end);
            if self.plant == Plant::CoverEarly {
                self.cover(&mut allowance, start, end);
            }
            if self.plant == Plant::LookUpEarly {
                for block in start..end {
                    let early = self.disk[block as usize];
                    seen.entry(block).or_insert(early);
                }
            }
            return self.again(start, end, half, allowance, seen);
        }
        let last = end.min(start / FOLIO * FOLIO + FOLIO);
        if !self.is_under_writeback(start / FOLIO) {
            for block in start..last {
                match seen.get(&block) {
                    Some(&early) => {
                        self.blocks[block as usize].cached.get_or_insert(early);
                    }
                    None => {
                        self.load(block);
                    }
                }
                self.blocks[block as usize].dirty = true;
                self.change(block, half);
            }
            if self.plant != Plant::CoverEarly {
                self.cover(&mut allowance, start, last);
            }
            self.size = self.size.max(last);
            if last == end {
                return None;
            }
            return self.again(last, end, half, allowance, seen);
        }
        self.again(start, end, half, allowance, seen)
    }

    fn again(
        &self,
        start: u64,
        end: u64,
        half: usize,
        allowance: Allowance<Token>,
        seen: BTreeMap<u64, Contents>,
    ) -> Option<Task> {
        Some(Task::Write {
            start,
            end,
            half,
            allowance,
            seen,
            reserved: true,
        })
    }
}
