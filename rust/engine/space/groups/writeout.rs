// SPDX-License-Identifier: GPL-2.0
//! Keeping the block group items and the free space tree in step with the extent tree.
//!
//! Written in two stages: txn calls [`Space::write_dirty_groups`] once while others may still join the transaction,
//! which does most of the work, and then in the critical section, in turn with its delayed references, until no group
//! is dirty. That ends: each round only dirties the groups of tree blocks copied in the round before, and no block is
//! copied twice in a transaction.

use super::group::Group;
use crate::btree::Allocate;
use crate::disk::Logical;
use crate::space::free::changes::Change;
use crate::space::reserve::ByteState;
use crate::space::Space;
use latch::prelude::*;

impl Space {
    /// The extent item for a range was inserted: reserved becomes used. No tree block lock is held.
    pub fn note_allocated(&self, _txn: &dyn Allocate, addr: Logical, len: u64) -> Result {
        let group = self.group_holding(addr.get(), len)?;
        group.move_bytes(len, ByteState::Reserved, ByteState::Used)?;
        self.note(&group, addr.get(), len, Change::Allocated)
    }

    /// The extent item for a range was removed: used becomes pinned, by itself. No tree block lock is held.
    pub fn note_freed(&self, txn: &dyn Allocate, addr: Logical, len: u64) -> Result {
        let group = self.group_holding(addr.get(), len)?;
        self.pin_in(&group, addr.get(), len, ByteState::Used, txn.generation())?;
        self.note(&group, addr.get(), len, Change::Freed)
    }

    fn note(&self, group: &Group, start: u64, len: u64, change: Change) -> Result {
        let end = start.saturating_add(len);
        group.items.lock().note(start, end, change)?;
        self.writeouts.lock().dirty(group.start().get())
    }

    /// Whether a group's items in the trees are behind.
    pub fn has_dirty_groups(&self) -> bool {
        !self.writeouts.lock().is_empty()
    }

    /// How many groups' items are behind.
    pub fn dirty_groups(&self) -> usize {
        self.writeouts.lock().len()
    }

    /// Writes the items of the groups that are dirty now, each once; gives how many. What writing them dirties again
    /// is left for the next call. No tree block lock is held. After an error the transaction must be aborted.
    pub fn write_dirty_groups(&self, txn: &dyn Allocate) -> Result<usize> {
        let mut from = 0;
        let mut written = 0usize;
        loop {
            let next = self.writeouts.lock().begin(from);
            let Some(start) = next else {
                return Ok(written);
            };
            let result = self.write_group(txn, start);
            let mut writeouts = self.writeouts.lock();
            match result {
                Ok(()) => writeouts.end(start),
                Err(error) => {
                    writeouts.fail(start);
                    return Err(error);
                }
            }
            written = written.saturating_add(1);
            from = start.saturating_add(1);
        }
    }

    fn write_group(&self, txn: &dyn Allocate, start: u64) -> Result {
        let Some(group) = self.group_at(Logical::new(start)) else {
            return Ok(());
        };
        let mut items = group.items.lock();
        let used = group.lock().tally.used;
        items.write(txn, &self.block_groups, &self.free_space, used)
    }
}
