// SPDX-License-Identifier: GPL-2.0
//! The right to change trees.

use crate::btree::{Allocate, BlockRefs, DataRef, Holder};
use crate::disk::{Generation, Key, Logical, ObjectId};
use kernel::prelude::*;

/// The right to change trees in the running transaction, which cannot commit while the handle lives.
///
/// Dropping it ends it and gives back what is left of the reservation. A task holds at most one: a second `start`
/// inside the first waits for a commit that waits for the first. Allocations of the task do not enter the file
/// system while it holds a handle.
pub struct Handle {
    _private: (),
}

impl Handle {
    /// Queues the first reference to a data extent that [`crate::space::Space`] handed out: its item enters the
    /// extent tree. Further references are [`Allocate::share_data`].
    pub fn add_data(&self, data: &DataRef) -> Result {
        let _ = data;
        Err(EOPNOTSUPP)
    }

    /// Ends the handle and commits its transaction; durable on return.
    pub fn commit(self) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Gives up the transaction: the volume becomes read-only and nothing of it reaches a superblock.
    /// For callers that changed one of several items that belong together and failed at the next.
    pub fn abort(&self, error: Error) {
        let _ = error;
    }
}

impl Allocate for Handle {
    fn generation(&self) -> Generation {
        Generation::default()
    }

    fn allocate_block(
        &self,
        _owner: ObjectId,
        _holder: Holder,
        _level: u8,
        _first_key: &Key,
        _near: Logical,
    ) -> Result<Logical> {
        Err(EOPNOTSUPP)
    }

    fn release_block(
        &self,
        _addr: Logical,
        _level: u8,
        _owner: ObjectId,
        _holder: Holder,
        _written_in: Generation,
    ) -> Result {
        Err(EOPNOTSUPP)
    }

    fn share_block(&self, _addr: Logical, _level: u8, _holder: Holder) -> Result {
        Err(EOPNOTSUPP)
    }

    fn block_refs(&self, _addr: Logical, _level: u8) -> Result<BlockRefs> {
        Err(EOPNOTSUPP)
    }

    fn set_full_backref(&self, _addr: Logical, _level: u8) -> Result {
        Err(EOPNOTSUPP)
    }

    fn share_data(&self, _data: &DataRef) -> Result {
        Err(EOPNOTSUPP)
    }

    fn release_data(&self, _data: &DataRef) -> Result {
        Err(EOPNOTSUPP)
    }
}
