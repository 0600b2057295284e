// SPDX-License-Identifier: GPL-2.0
//! fsync, which others disturb: writers, workers, and who writes out the same folios and has no memory for it.

use super::{blocks_of, Contents, Plant, Task, World, BLOCKS, FOLIOS};

/// What the file held when it began is on the disk when it ends.
pub(super) struct Sync {
    wanted: [Contents; BLOCKS as usize],
    /// The folio that it looks at next.
    next: u64,
    /// How often bytes had been put off when this turn began.
    put_offs: u64,
    turn: Turn,
}

enum Turn {
    First,
    /// After the workers have seen to what the first has left out.
    Last,
}

impl Sync {
    /// Somebody has cut these bytes away, or lost them and said so.
    pub(super) fn forget(&mut self, block: usize) {
        self.wanted[block] = Contents::default();
    }
}

impl World {
    pub(super) fn begin_sync(&self) -> Task {
        Task::Sync(Sync {
            wanted: self.truth,
            next: 0,
            put_offs: self.put_offs,
            turn: Turn::First,
        })
    }

    pub(super) fn sync(&mut self, mut sync: Sync) -> Option<Task> {
        let is_settled = !self.is_any_under_writeback();
        if sync.next < FOLIOS {
            sync.next += u64::from(self.is_passed(sync.next));
        } else if is_settled && self.put_offs != sync.put_offs && self.plant != Plant::PassOver {
            self.begin_turn(&mut sync);
        } else if is_settled && self.mending.is_empty() {
            match sync.turn {
                Turn::First => {
                    self.begin_turn(&mut sync);
                    sync.turn = Turn::Last;
                }
                Turn::Last => {
                    self.check_synced(&sync);
                    return None;
                }
            }
        } else if is_settled && self.plant == Plant::DoNotSettle {
            self.check_synced(&sync);
            return None;
        }
        Some(Task::Sync(sync))
    }

    fn begin_turn(&self, sync: &mut Sync) {
        sync.next = 0;
        sync.put_offs = self.put_offs;
    }

    /// Whether fsync goes on to the next folio: one that is clean, be it under writeback, is passed over.
    fn is_passed(&mut self, folio: u64) -> bool {
        let is_dirty = blocks_of(folio).any(|block| self.blocks[block as usize].dirty);
        let waits = self.is_under_writeback(folio);
        // The kernel repeats its own run where memory was short.
        !is_dirty || !waits && self.write_back(folio).is_ok()
    }

    fn is_any_under_writeback(&self) -> bool {
        (0..FOLIOS).any(|folio| self.is_under_writeback(folio))
    }

    fn check_synced(&self, sync: &Sync) {
        for (at, wanted) in sync.wanted.iter().enumerate() {
            let halves = self.disk[at].0.iter().zip(&wanted.0);
            let is_there = halves.into_iter().all(|(found, wanted)| found >= wanted);
            let as_it_must = self.blocks[at].is_lost || is_there;
            assert!(as_it_must, "block {at} on the disk after fsync");
        }
    }
}
