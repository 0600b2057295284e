// SPDX-License-Identifier: GPL-2.0
//! The mounted volume as the layers above see it.

use super::free_space::caches;
use super::free_space::rebuild::{self, Doubted, Task};
use super::handles::alone::{sharing, Sharing};
use super::handles::core::Core;
use super::handles::handle::run_refs;
use super::join::Joiner;
use super::shortage::reclaim::reclaim;
use super::transaction::Transaction;
use super::{mount, quotas, shortage};
use super::{Counters, Handle, Keep, OpenTree, Options, Trim, Units};
use crate::btree::{DataRef, Store, Tree};
use crate::disk::{Bytes, CompatRo, Generation, Logical, ObjectId, RootItem, Superblock, TreeId};
use crate::space::{Class, Keeping, Reclaim, Reservation, Space, Urgency};
use crate::volume::Volume;
use core::sync::atomic::Ordering;
use kernel::sync::Arc;
use latch::prelude::*;

/// How many ranges devices are told of in one round of maintenance (C: 1000 in a second).
const TRIMS: usize = 1000;
/// For how long, in nanoseconds, one round may begin to tell them: each waits for its device, and the next commit for the round.
const TRIM_TIME: u64 = 200_000_000;

/// The mounted volume's trees, its running and its committing transaction.
pub struct Transactions {
    shared: Arc<Core>,
}

impl Transactions {
    /// Mounts: reads the chunk tree into the volume's map, opens the trees and loads the free space.
    ///
    /// `volume` has its superblock and the system chunks; `store` reads through `volume`. A volume that can only be
    /// read and was asked for more is opened read-only and says so once, see [`Volume::writes`]; but an unreplayed log
    /// tree is refused with `EROFS`.
    pub fn open(
        volume: Arc<Volume>,
        store: Arc<dyn Store>,
        options: Options,
    ) -> Result<Arc<Transactions>> {
        let shared = mount::open(volume, store, options)?;
        Ok(Arc::new(Transactions { shared }, GFP_KERNEL)?)
    }

    /// Makes a free space tree that is wanted, or that is not valid, gives up one that is not wanted, drops free space caches that are
    /// not right or not wanted, and commits; without effect where all is as
    /// it should be, and where nothing may be written yet. To be called before anything else is changed, once the block cache
    /// can write. After an error nothing can be written any more; after `ENOSPC` it can, and all is whole.
    pub fn keep_free_space_as_wanted(&self) -> Result {
        if !self.shared.volume.writes().changes_files() {
            return Ok(());
        }
        let _known = self.shared.space.asking();
        let task = Task::of(&self.shared, self.shared.keep)?;
        task.prepare(&self.shared)?;
        // Before all else: making a free space tree commits, and so may finding space.
        caches::disown(&self.shared);
        let settled = self.perform(task).and_then(|()| {
            caches::drop_stale(&self.shared).inspect_err(|error| self.shared.abort(*error))
        });
        // The mount ends with the error. One that goes on reads what was made of the trees.
        settled.inspect_err(|_| self.discard_dead())
    }

    /// After an error the transaction is aborted, unless there was no space, which leaves nothing half done.
    fn perform(&self, task: Task) -> Result {
        task.perform(&self.shared).inspect_err(|error| {
            let is_whole = *error == ENOSPC && self.shared.commits().commit().is_ok();
            if !is_whole {
                self.shared.abort(*error);
            }
        })
    }

    /// Drops the blocks of an aborted transaction, if there is one.
    fn discard_dead(&self) {
        if self.is_aborted().is_some() {
            self.shared.commits().discard_dead();
        }
    }

    /// Has the free space tree, if there is one, made anew by whoever writes next, or given up where it is not wanted (C: `clear_cache`). For
    /// a volume that is not written now. `EINVAL` where one that is not wanted is needed, by a block group tree.
    pub fn doubt_free_space(&self, keep: Keep) -> Result {
        let features = self.shared.volume.superblock().compat_ro;
        if !features.contains(CompatRo::FREE_SPACE_TREE) {
            return Ok(());
        }
        match rebuild::doubt(features, keep)? {
            Doubted::InMemory => self.shared.doubts_tree.store(true, Ordering::Relaxed),
            Doubted::InSuperblock(features) => {
                let set = |superblock: &mut Superblock| superblock.compat_ro = features;
                self.shared.volume.superblocks().update(set);
            }
        }
        Ok(())
    }

    /// Drops free space caches, and says that there shall be none (C: `nospace_cache`). Durable on return; without effect where
    /// nothing may be written. The caller holds no handle.
    pub fn give_up_caches(&self) -> Result {
        caches::give_up(&self.shared)
    }

    /// Whether free space caches can be kept: not where the mount began without.
    pub fn can_keep_caches(&self) -> bool {
        self.shared.space.keeping_caches() != Keeping::Never
    }

    /// Keeps free space caches (C, up to 7.0: `space_cache=v1`), new ones where it did not before. `EINVAL` where they cannot be
    /// ([`Self::can_keep_caches`]), and where those of before cannot be dropped. The caller holds no handle.
    pub fn take_up_caches(&self) -> Result {
        if !self.can_keep_caches() {
            return Err(EINVAL);
        }
        caches::drop_stale(&self.shared)?;
        match self.shared.space.keeping_caches() {
            Keeping::Now => Ok(()),
            Keeping::NotNow | Keeping::Never => Err(EINVAL),
        }
    }

    /// Files will change: does what [`crate::volume::Writes::Later`] left for now, has free space kept as is wanted, and marks what is not
    /// kept up to date here. Calls are serialised by the caller. `EROFS` where nothing can be changed; `EINVAL` as [`Keep`] has it.
    pub fn begin_writing(&self, keep: Keep) -> Result {
        if !self.shared.volume.writes().is_possible() {
            return Err(EROFS);
        }
        let _known = self.shared.space.asking();
        let task = Task::of(&self.shared, keep)?;
        task.prepare(&self.shared)?;
        caches::disown(&self.shared);
        self.shared.chunks().begin_writing()?;
        let settled = self.perform(task);
        let dropped = settled.and_then(|()| caches::drop_stale(&self.shared));
        let marked = dropped.and_then(|()| quotas::mark(&self.shared));
        marked.inspect_err(|_| self.shared.volume.pause_writing())
    }

    /// The tree `id`, which has a root item in the tree of trees. `ENOENT` where there is none or it is half deleted.
    pub fn tree(&self, id: impl Into<TreeId>) -> Result<OpenTree> {
        self.shared.trees.get(id.into())
    }

    /// What the tree of trees says of the tree `id`. `ENOENT` as for [`Self::tree`].
    pub fn root_item(&self, id: impl Into<TreeId>) -> Result<RootItem> {
        let found = self.shared.trees.root_item(id.into());
        found.map(|(_, item)| item)
    }

    /// The tree `id`, which no volume does without and which stays open: the volume is corrupt where there is none, and the log says so.
    pub fn required_tree(&self, id: ObjectId) -> Result<Arc<Tree>> {
        self.shared.trees.required(id)
    }

    /// Joins the running transaction after reserving metadata for `units`.
    ///
    /// Waits while a commit blocks joining; may make a chunk or commit to find space. No tree block lock and no
    /// other handle may be held. `ENOSPC`, `EROFS` on a read-only volume or after an aborted transaction.
    pub fn start(&self, units: Units) -> Result<Handle> {
        let reservation = self.reserve(units)?;
        Handle::join(&self.shared, Joiner::Starter, reservation)
    }

    /// Joins as [`Self::start`] does, and may draw on the global reserve: for what frees space on a full disk.
    pub fn start_freeing(&self, units: Units) -> Result<Handle> {
        let reservation = self.reserve_metadata(units, Urgency::Freeing)?;
        Handle::join(&self.shared, Joiner::Starter, reservation)
    }

    /// Joins as [`Self::start_freeing`] does, for what can be put off: waits for nobody to give something back.
    pub fn start_freeing_now(&self, units: Units) -> Result<Handle> {
        self.shared.check_sending()?;
        shortage::make_wanted_chunk(&self.shared)?;
        let bytes = units.bytes(self.shared.store.node_size());
        let reservation = shortage::reserve_freeing_now(&self.shared, bytes)?;
        Handle::join(&self.shared, Joiner::Starter, reservation)
    }

    /// Joins with metadata that was reserved before: for completions. Never `ENOSPC`, and lets itself in where
    /// [`Self::start`] already waits for a commit that has yet to wait for its handles.
    pub fn join_with(&self, reservation: Reservation) -> Result<Handle> {
        Handle::join(&self.shared, Joiner::Completion, reservation)
    }

    /// Reserves metadata for `units` without joining: for [`Self::join_with`] later. May make a chunk or commit: no
    /// handle may be held. `ENOSPC`.
    pub fn reserve(&self, units: Units) -> Result<Reservation> {
        self.reserve_metadata(units, Urgency::Ordinary)
    }

    /// Reserves as [`Self::reserve`] does, and may draw on the global reserve like [`Self::start_freeing`].
    pub fn reserve_freeing(&self, units: Units) -> Result<Reservation> {
        self.reserve_metadata(units, Urgency::Freeing)
    }

    /// Reserves as [`Self::reserve`] does, and may draw on a part of the global reserve: for what was promised to need no
    /// space that is not there. `EBUSY`: others of that kind have all there is. Ask again when some have ended; who waits
    /// for that has no such promise itself, and nothing that they wait for.
    pub fn reserve_promised(&self, units: Units) -> Result<Reservation> {
        self.reserve_metadata(units, Urgency::Promised)
    }

    /// Reserves space for file data; it becomes extents with [`Space::allocate_data`]. May make a chunk or commit: no
    /// handle may be held. `ENOSPC`.
    pub fn reserve_data(&self, bytes: Bytes) -> Result<Reservation> {
        self.shared.check_sending()?;
        shortage::reserve(&self.shared, Class::Data, bytes, Urgency::Ordinary)
    }

    /// Reserves space for file data that is there, or in a chunk that can be made: `ENOSPC` at once. With
    /// [`Urgency::Freeing`] what is kept back on sequential zones can be had, to empty others.
    pub fn reserve_data_now(&self, bytes: Bytes, urgency: Urgency) -> Result<Reservation> {
        self.shared.check_sending()?;
        shortage::reserve_now(&self.shared, Class::Data, bytes, urgency)
    }

    /// Makes a chunk for file data: what is free may be in pieces that are too short. No handle may be held. `ENOSPC`.
    pub fn make_data_chunk(&self) -> Result {
        shortage::make_data_chunk(&self.shared)
    }

    /// Reserves space for file data and for metadata if that is to be had without waiting: `EAGAIN` otherwise.
    pub fn try_reserve(&self, data: Bytes, metadata: Units) -> Result<(Reservation, Reservation)> {
        self.shared.check_sending()?;
        let space = &self.shared.space;
        let now = |class, bytes| {
            let reserved = space.reserve(class, bytes, Urgency::Ordinary);
            reserved.map_err(|_| EAGAIN)
        };
        let data = now(Class::Data, data)?;
        let metadata = metadata.bytes(self.shared.store.node_size());
        Ok((data, now(Class::Metadata, metadata)?))
    }

    /// Joins the running transaction if there is one that takes joiners; reserves nothing.
    pub fn attach(&self) -> Result<Option<Handle>> {
        Handle::attach(&self.shared)
    }

    /// Whether others than the file that `data` stands for have its extent. `way` are the blocks on the way to the item that
    /// other trees may have, see [`Tree::shareable_way`]; `handle` is of the running transaction, if there is one.
    pub fn sharing(
        &self,
        handle: Option<&Handle>,
        data: &DataRef,
        way: &[(Logical, u8)],
    ) -> Result<Sharing> {
        sharing(&self.shared, handle, data, way)
    }

    /// Runs the delayed references of the running transaction, if there is one: the extent tree has what was queued before the
    /// call. The caller holds no handle.
    pub fn run_references(&self) -> Result {
        run_refs(&self.shared)
    }

    /// Makes durable all that completed before the call; waits for a commit in flight. Nothing is written when
    /// nothing changed. The caller holds no handle.
    pub fn commit(&self) -> Result {
        self.shared.commits().commit()
    }

    /// Commits as [`Self::commit`] does, behind file data that what is committed counts on. If it falls to the caller to make the
    /// commit, `data` is called, to wait for data to be entered: with everybody joining, and once more when operations cannot join
    /// any more, and the ends of writes still can. What is entered then is in the commit. Nothing that `data` waits for may wait
    /// for a new operation to begin.
    pub fn commit_behind(&self, data: &dyn Fn()) -> Result {
        self.shared.commits().commit_behind(data)
    }

    /// Commits when the running transaction is older than `age_ns` by the options' clock, as [`Self::commit_behind`] does. For the
    /// edge's timer. Nobody waits for such a commit: most of it goes out before others are kept from joining or from committing.
    pub fn commit_if_older(&self, age_ns: u64, data: &dyn Fn()) -> Result {
        let running = self.shared.joining.lock().running.clone();
        let old = |running: &Transaction| {
            let age = self.shared.now_ns().saturating_sub(running.started_ns);
            running.is_changed() && age >= age_ns
        };
        let Some(running) = running.filter(|running| old(running)) else {
            return Ok(());
        };
        self.shared.commits().write_ahead(&running);
        self.commit_behind(data)
    }

    /// Runs what may run at any time and shortens the next commit: delayed references, removal of empty block groups
    /// and emptying of sparse ones, telling devices what is free. For the edge's timer.
    pub fn maintain(&self) -> Result {
        if self.shared.check_sending().is_err() {
            return Ok(());
        }
        shortage::make_wanted_chunk(&self.shared)?;
        self.shared.read_free(Space::read_ahead)?;
        let until = self.shared.now_ns().saturating_add(TRIM_TIME);
        self.shared.trim_waiting(TRIMS, until)?;
        shortage::remove_unused(&self.shared)?;
        reclaim(&self.shared, Reclaim::Soon)?;
        run_refs(&self.shared)
    }

    /// Tells the devices of all that is free: in block groups, and what no chunk has. Talks to devices; no lock and no
    /// handle may be held.
    pub fn trim(&self, call: &mut Trim<'_>) -> Result {
        self.shared.trim(call)
    }

    /// The last commit before unmount; drops the blocks of an aborted transaction. No handle may be alive.
    pub fn close(&self) -> Result {
        let committed = self.commit();
        self.discard_dead();
        committed
    }

    /// Gives up the running transaction; see [`Handle::abort`].
    pub fn abort(&self, error: Error) {
        self.shared.abort(error);
    }

    /// The error that aborted a transaction, after which every start is `EROFS`.
    pub fn is_aborted(&self) -> Option<Error> {
        self.shared.joining.lock().aborted
    }

    /// The last transaction whose superblock is durable.
    pub fn committed(&self) -> Generation {
        self.shared.commits().committed()
    }

    /// How many trees are open that the tree of trees leads to: those that stay so, and those of subvolumes in use or
    /// changed since the last commit.
    pub fn open_trees(&self) -> usize {
        self.shared.trees.count()
    }

    /// What commits cost so far.
    pub fn counters(&self) -> Counters {
        let counters = self.shared.costs.lock().counters(self.shared.now_ns());
        Counters {
            refs_run: self.shared.refs_run.load(Ordering::Relaxed),
            refs_cancelled: self.shared.refs_cancelled.load(Ordering::Relaxed),
            groups_emptied: self.shared.groups_emptied.load(Ordering::Relaxed),
            ..counters
        }
    }

    /// From here on another commit is the longest.
    pub fn forget_longest_commit(&self) {
        self.shared.costs.lock().forget_longest();
    }

    /// The volume below.
    pub fn volume(&self) -> &Arc<Volume> {
        &self.shared.volume
    }

    /// The block cache below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// Free space and reservations.
    pub fn space(&self) -> &Arc<Space> {
        &self.shared.space
    }

    fn reserve_metadata(&self, units: Units, urgency: Urgency) -> Result<Reservation> {
        shortage::reserve_metadata(&self.shared, units, urgency)
    }
}
