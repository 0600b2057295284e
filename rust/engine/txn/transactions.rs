// SPDX-License-Identifier: GPL-2.0
//! The mounted volume as the layers above see it.

use super::{Access, Counters, Handle, Options, Units};
use crate::btree::{Store, Tree};
use crate::disk::{Generation, Key, ObjectId};
use crate::space::{Reservation, Space};
use crate::volume::Volume;
use kernel::prelude::*;
use kernel::sync::Arc;

/// The mounted volume's trees, its running and its committing transaction.
pub struct Transactions {
    volume: Arc<Volume>,
    store: Arc<dyn Store>,
    space: Arc<Space>,
}

impl Transactions {
    /// Mounts: reads the chunk tree into the volume's map, opens the trees and loads the free space.
    ///
    /// `volume` has its superblock and the system chunks; `store` reads through `volume`. `EROFS` for a volume that
    /// can only be read and was asked for more is not returned: it is opened read-only and says so once, except for
    /// an unreplayed log tree, which is refused.
    pub fn open(volume: Arc<Volume>, store: Arc<dyn Store>, options: Options) -> Result<Arc<Transactions>> {
        let _ = (volume, store, options);
        Err(EOPNOTSUPP)
    }

    /// What the volume was opened for in the end.
    pub fn access(&self) -> Access {
        Access::ReadOnly
    }

    /// The tree `id`, opened on first use and kept. `ENOENT` where there is none.
    pub fn tree(&self, id: ObjectId) -> Result<Arc<Tree>> {
        let _ = id;
        Err(EOPNOTSUPP)
    }

    /// Joins the running transaction after reserving metadata for `units`.
    ///
    /// Waits while a commit blocks joining; may allocate a chunk or commit to find space. No tree block lock and no
    /// other handle may be held. `ENOSPC`, `EROFS` on a read-only volume or after an aborted transaction.
    pub fn start(&self, units: Units) -> Result<Handle> {
        let _ = units;
        Err(EOPNOTSUPP)
    }

    /// As [`Self::start`], and may draw on the global reserve: for what frees space on a full disk.
    pub fn start_freeing(&self, units: Units) -> Result<Handle> {
        let _ = units;
        Err(EOPNOTSUPP)
    }

    /// Joins with metadata that was reserved before: for completions. Never `ENOSPC`, and lets itself in where
    /// [`Self::start`] already waits for a commit that has yet to wait for its handles.
    pub fn join_with(&self, reservation: Reservation) -> Result<Handle> {
        let _ = reservation;
        Err(EOPNOTSUPP)
    }

    /// Reserves metadata for `units` without joining: for [`Self::join_with`] later. May allocate a chunk or commit.
    pub fn reserve(&self, units: Units) -> Result<Reservation> {
        let _ = units;
        Err(EOPNOTSUPP)
    }

    /// Reserves space for file data; it becomes extents with [`Space::allocate_data`]. May allocate a chunk or commit:
    /// no handle may be held. `ENOSPC`.
    pub fn reserve_data(&self, bytes: u64) -> Result<Reservation> {
        let _ = bytes;
        Err(EOPNOTSUPP)
    }

    /// Makes a tree that was created in `handle`'s transaction known: [`Self::tree`] finds it and commits update its
    /// root item, which the caller inserts at `root_item` with the same handle.
    pub fn add_tree(&self, handle: &Handle, tree: Arc<Tree>, root_item: Key) -> Result {
        let _ = (handle, tree, root_item);
        Err(EOPNOTSUPP)
    }

    /// Joins the running transaction if there is one that takes joiners; reserves nothing.
    pub fn attach(&self) -> Result<Option<Handle>> {
        Err(EOPNOTSUPP)
    }

    /// Makes durable all that completed before the call; waits for a commit in flight. Nothing is written when
    /// nothing changed. The caller holds no handle.
    pub fn commit(&self) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Commits when the running transaction is older than `age_ns` by the options' clock. For the edge's timer.
    pub fn commit_if_older(&self, age_ns: u64) -> Result {
        let _ = age_ns;
        Err(EOPNOTSUPP)
    }

    /// Runs what may run at any time and shortens the next commit: delayed references, removal of empty block groups.
    /// For the edge's timer.
    pub fn maintain(&self) -> Result {
        Err(EOPNOTSUPP)
    }

    /// The last commit before unmount; drops the blocks of an aborted transaction. No handle may be alive.
    pub fn close(&self) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Gives up the running transaction; see [`Handle::abort`].
    pub fn abort(&self, error: Error) {
        let _ = error;
    }

    /// The error that aborted a transaction, after which every start is `EROFS`.
    pub fn is_aborted(&self) -> Option<Error> {
        None
    }

    /// The last transaction whose superblock is durable.
    pub fn committed(&self) -> Generation {
        Generation::default()
    }

    /// What commits cost so far.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// The volume below.
    pub fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// The block cache below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Free space and reservations.
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }
}
