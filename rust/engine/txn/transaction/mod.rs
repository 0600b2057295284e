// SPDX-License-Identifier: GPL-2.0
//! One transaction: what it has changed so far.
//!
//! | module     | what it has                                                                 |
//! |------------|-----------------------------------------------------------------------------|
//! | `deferred` | what is left to a commit, because it must see no change by half             |
//! | `ranges`   | ranges of addresses, ascending, neighbours merged                           |

pub(super) mod deferred;
mod ranges;

use crate::disk::{Bytes, DeviceId, Generation, Logical, Timespec, TreeId};
use crate::map::OrdMap;
use crate::space::Reservation;
use crate::txn::refs::Queue;
use crate::volume::Chunk;
use core::sync::atomic::{AtomicBool, Ordering};
use deferred::Deferred;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};
use ranges::Ranges;

/// A transaction from its first handle to its superblock.
pub(in crate::txn) struct Transaction {
    /// The number of the transaction.
    pub(in crate::txn) generation: Generation,
    /// When it began, by the options' clock.
    pub(in crate::txn) started_ns: u64,
    /// References to be applied.
    pub(in crate::txn) queue: Mutex<Queue>,
    /// What its committer pays from: rests of handles, and behind them the global reserve.
    pub(in crate::txn) reservation: Reservation,
    /// Which blocks and trees it changed.
    record: Mutex<Record>,
    /// The chunks that it made and removed.
    pub(in crate::txn) chunks: Mutex<ChunkChanges>,
    changed: AtomicBool,
}

/// Which blocks and trees a transaction changed, and what its commit is to change.
struct Record {
    blocks: Ranges,
    trees: OrdMap<TreeId, Touched>,
    deferred: KVVec<Deferred>,
}

/// A changed tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::txn) struct Touched {
    /// By how much its blocks' bytes changed since its root item was written last.
    pub(in crate::txn) used: i64,
    /// When one of its inodes was written last, if one was since then.
    pub(in crate::txn) inodes: Option<Timespec>,
    /// How far the tree's root item is behind.
    pub(in crate::txn) freshness: Freshness,
}

/// Whether a root item is behind its tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::txn) enum Freshness {
    /// Nothing changed since it was written.
    #[default]
    Written,
    /// Blocks came or went, or inodes were written.
    Stale,
}

/// System chunks for the superblock, and chunks whose device ranges are free after the commit.
#[derive(Default)]
pub(in crate::txn) struct ChunkChanges {
    /// System chunks to enter.
    pub(in crate::txn) system_added: KVec<Arc<Chunk>>,
    /// Bytes in chunks of each device on which they changed.
    pub(in crate::txn) device_used: OrdMap<DeviceId, Bytes>,
    /// Chunks without items.
    pub(in crate::txn) removed: KVec<Arc<Chunk>>,
}

impl Transaction {
    /// A transaction without changes.
    pub(in crate::txn) fn new(
        generation: Generation,
        started_ns: u64,
        reservation: Reservation,
    ) -> Result<Arc<Self>> {
        let record = Record {
            blocks: Ranges::new(),
            trees: OrdMap::new(),
            deferred: KVVec::new(),
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

    /// There is something to commit, though no tree changed.
    pub(in crate::txn) fn note_superblock(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Whether any tree changed.
    pub(in crate::txn) fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// A block of `tree` was allocated.
    pub(in crate::txn) fn note_block(
        &self,
        tree: TreeId,
        addr: Logical,
        node_size: Bytes,
    ) -> Result {
        self.changed.store(true, Ordering::Release);
        let mut record = self.record.lock();
        record.blocks.add(addr, node_size)?;
        record.touch(tree, i64::try_from(node_size.get()).unwrap_or(0), None)
    }

    /// [`Self::note_block`] was told of a block that there will not be.
    pub(in crate::txn) fn forget_block(&self, tree: TreeId, node_size: Bytes) {
        // The tree's entry is there: nothing is allocated.
        let _ = self.note_release(tree, node_size);
    }

    /// A block was dropped by `tree`.
    pub(in crate::txn) fn note_release(&self, tree: TreeId, node_size: Bytes) -> Result {
        let used = i64::try_from(node_size.get()).unwrap_or(0).saturating_neg();
        self.record.lock().touch(tree, used, None)
    }

    /// A tree is gone, and its root item: that is not to be brought up to date.
    pub(in crate::txn) fn forget_tree(&self, tree: TreeId) {
        self.record.lock().trees.remove(&tree);
    }

    /// An inode of `tree` was written.
    pub(in crate::txn) fn note_inode(&self, tree: TreeId, now: Timespec) -> Result {
        self.record.lock().touch(tree, 0, Some(now))
    }

    /// Takes a tree whose root item is behind, starting after `after`.
    pub(in crate::txn) fn take_stale(&self, after: TreeId) -> Option<(TreeId, Touched)> {
        self.record.lock().take_stale(after)
    }

    /// Leaves a change to the commit.
    pub(in crate::txn) fn defer(&self, deferred: Deferred) -> Result {
        self.changed.store(true, Ordering::Release);
        Ok(self.record.lock().deferred.push(deferred, GFP_NOFAIL)?)
    }

    /// Takes a change that was left to the commit.
    pub(in crate::txn) fn take_deferred(&self) -> Option<Deferred> {
        self.record.lock().deferred.pop()
    }

    /// The first range of the blocks it allocated at or behind `from`. For walking them: the lock is not kept.
    /// Lock order: `MetadataTree` > `TransactionRecord`.
    pub(in crate::txn) fn block_range_from(&self, from: Logical) -> Option<(Logical, Bytes)> {
        self.record.lock().blocks.first_from(from)
    }
}

impl Record {
    fn touch(&mut self, tree: TreeId, used: i64, inodes: Option<Timespec>) -> Result {
        match self.trees.get_mut(&tree) {
            Some(touched) => {
                touched.used = touched.used.saturating_add(used);
                touched.inodes = inodes.or(touched.inodes);
                touched.freshness = Freshness::Stale;
            }
            None => {
                self.trees.insert(
                    tree,
                    Touched {
                        used,
                        inodes,
                        freshness: Freshness::Stale,
                    },
                )?;
            }
        }
        Ok(())
    }

    fn take_stale(&mut self, after: TreeId) -> Option<(TreeId, Touched)> {
        let start = after.next()?;
        let (id, touched) = self
            .trees
            .range_from(&start)
            .find(|(_, touched)| touched.freshness == Freshness::Stale)
            .map(|(id, touched)| (*id, *touched))?;
        if let Some(entry) = self.trees.get_mut(&id) {
            *entry = Touched::default();
        }
        Some((id, touched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ObjectId;

    fn log_of(subvolume: ObjectId) -> TreeId {
        TreeId::new(ObjectId::TREE_LOG, subvolume.get())
    }

    /// Trees that share an objectid are counted apart, each is found once, and again when it changes again.
    #[test]
    fn trees_of_one_objectid_are_told_apart() {
        let mut record = Record {
            blocks: Ranges::new(),
            trees: OrdMap::new(),
            deferred: KVVec::new(),
        };
        let (first, second) = (ObjectId::FS_TREE, ObjectId::FIRST_FREE);
        let changes = [
            (TreeId::from(first), 4096),
            (log_of(first), 8192),
            (log_of(second), 4096),
            (log_of(first), 4096),
        ];
        for (tree, used) in changes {
            record.touch(tree, used, None).unwrap();
        }
        let mut after = TreeId::MIN;
        let mut found = std::vec::Vec::new();
        while let Some((tree, touched)) = record.take_stale(after) {
            found.push((tree, touched.used));
            after = tree;
        }
        let wanted = [
            (TreeId::from(first), 4096),
            (log_of(first), 12288),
            (log_of(second), 4096),
        ];
        assert_eq!(found, wanted);
        record.touch(log_of(second), -4096, None).unwrap();
        let (tree, touched) = record.take_stale(TreeId::MIN).unwrap();
        assert_eq!((tree, touched.used), (log_of(second), -4096));
        assert_eq!(record.take_stale(TreeId::MIN), None);
    }
}
