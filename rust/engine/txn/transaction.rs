// SPDX-License-Identifier: GPL-2.0
//! One transaction: what it has changed so far.

use super::ranges::Ranges;
use super::refs::Queue;
use crate::disk::{Generation, Logical, ObjectId};
use crate::map::OrdMap;
use crate::space::Reservation;
use crate::volume::Chunk;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// A transaction from its first handle to its superblock.
pub(super) struct Transaction {
    /// Its number.
    pub(super) generation: Generation,
    /// When it began, by the options' clock.
    pub(super) started_ns: u64,
    /// References to be applied.
    pub(super) queue: Mutex<Queue>,
    /// What its committer pays from: rests of handles, and behind them the global reserve.
    pub(super) reservation: Reservation,
    /// Blocks and trees.
    record: Mutex<Record>,
    /// Chunks.
    pub(super) chunks: Mutex<ChunkChanges>,
    changed: AtomicBool,
}

/// Which blocks and trees a transaction changed.
struct Record {
    blocks: Ranges,
    trees: OrdMap<ObjectId, Touched>,
}

/// A changed tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// By how much its blocks' bytes changed since its root item was written last.
    pub(super) used: i64,
    /// Its root item is to be looked at.
    pub(super) freshness: Freshness,
}

/// Whether a root item is behind its tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Freshness {
    /// No block came or went since it was written.
    #[default]
    Written,
    /// Some did.
    Stale,
}

/// System chunks for the superblock, and chunks whose device ranges are free after the commit.
#[derive(Default)]
pub(super) struct ChunkChanges {
    /// System chunks to enter.
    pub(super) system_added: KVec<Arc<Chunk>>,
    /// Bytes in chunks on the device.
    pub(super) device_used: Option<u64>,
    /// Chunks without items.
    pub(super) removed: KVec<Arc<Chunk>>,
}

impl Transaction {
    /// A transaction without changes.
    pub(super) fn new(
        generation: Generation,
        started_ns: u64,
        reservation: Reservation,
    ) -> Result<Arc<Self>> {
        let record = Record {
            blocks: Ranges::new(),
            trees: OrdMap::new(),
        };
        let transaction = Self {
            generation,
            started_ns,
            queue: Mutex::new(Queue::new(), Rank::DelayedRefs)?,
            reservation,
            record: Mutex::new(record, Rank::TransactionRecord)?,
            chunks: Mutex::new(ChunkChanges::default(), Rank::TransactionChunks)?,
            changed: AtomicBool::new(false),
        };
        Ok(Arc::new(transaction, GFP_NOFAIL)?)
    }

    /// Whether any tree changed.
    pub(super) fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// A block of `owner` was allocated.
    pub(super) fn note_block(&self, owner: ObjectId, addr: Logical, node_size: u64) -> Result {
        self.changed.store(true, Ordering::Release);
        let mut record = self.record.lock();
        record.blocks.add(addr, node_size)?;
        record.touch(owner, i64::try_from(node_size).unwrap_or(0))
    }

    /// [`Self::note_block`] was told of a block that there will not be.
    pub(super) fn forget_block(&self, owner: ObjectId, node_size: u64) {
        // The tree's entry is there: nothing is allocated.
        let _ = self.note_release(owner, node_size);
    }

    /// A block of `owner` was dropped.
    pub(super) fn note_release(&self, owner: ObjectId, node_size: u64) -> Result {
        self.record.lock().touch(
            owner,
            i64::try_from(node_size).unwrap_or(0).saturating_neg(),
        )
    }

    /// Takes a tree whose root item is behind, starting after `after`.
    pub(super) fn take_stale(&self, after: ObjectId) -> Option<(ObjectId, Touched)> {
        let mut record = self.record.lock();
        let start = after.checked_add(1)?;
        let (id, touched) = record
            .trees
            .range_from(&start)
            .find(|(_, touched)| touched.freshness == Freshness::Stale)
            .map(|(id, touched)| (*id, *touched))?;
        if let Some(entry) = record.trees.get_mut(&id) {
            *entry = Touched::default();
        }
        Some((id, touched))
    }

    /// The first range of the blocks it allocated at or behind `from`. For walking them: the lock is not kept, as
    /// tree block locks come before it.
    pub(super) fn block_range_from(&self, from: Logical) -> Option<(Logical, u64)> {
        self.record.lock().blocks.first_from(from)
    }
}

impl Record {
    fn touch(&mut self, owner: ObjectId, used: i64) -> Result {
        match self.trees.get_mut(&owner) {
            Some(touched) => {
                touched.used = touched.used.saturating_add(used);
                touched.freshness = Freshness::Stale;
            }
            None => {
                self.trees.insert(
                    owner,
                    Touched {
                        used,
                        freshness: Freshness::Stale,
                    },
                )?;
            }
        }
        Ok(())
    }
}
