// SPDX-License-Identifier: GPL-2.0
//! The face of the layer: what the layers above call. Each call goes to the part that does it.

use super::allocation::allocate::Allocator;
use super::allocation::block_address::BlockAddress;
use super::allocation::release::Releases;
use super::allocation::removal::Removal;
use super::allocation::trim::{Discard, Lost, Trim, Trims};
use super::free::cache::{CachesRead, Keeper, Keeping, Stored};
use super::free::changes::SpaceChange;
use super::free::data_extent::DataExtent;
use super::free::on_disk::{Home, Kept, OnDisk};
use super::groups::block_groups::BlockGroups;
use super::groups::group::Group;
use super::groups::loading::load::Loader;
use super::groups::loading::unread::{Asking, NextGroup, Reader};
use super::groups::writeout::caches::CacheTurn;
use super::groups::writeout::write::Writeout;
use super::groups::zones::active::DataZones;
use super::groups::zones::finishing::Relief;
use super::groups::zones::sparse::{Reclaim, Sparse};
use super::numbers::Numbers;
use super::reserve::ByteState;
use super::write_order::{DataWait, WriteOrder};
use super::{BlockClass, Class, Reservation, Shortage, Urgency};
use crate::btree::{Allocate, Tree};
use crate::disk::{BlockGroupFlags, Bytes, Generation, Logical, ObjectId};
use crate::volume::Volume;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// The trees that describe space. All are those of the running transaction.
pub struct Trees {
    /// The extent tree.
    pub extent: Arc<Tree>,
    /// Where the BLOCK_GROUP_ITEMs are: the block group tree, or the extent tree.
    pub block_groups: Arc<Tree>,
    /// The free space tree, if it is believed.
    pub free_space: Option<Arc<Tree>>,
    /// The tree of trees.
    pub root: Arc<Tree>,
}

/// What becomes of free space caches (v1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caches {
    /// No cache is read, and none is written.
    #[default]
    NotKept,
    /// Caches are read where they are right, and kept so.
    Believed,
    /// No cache is read; new ones are written when those that are there are gone ([`Space::keep_caches`]).
    MadeAnew,
}

/// When the extent tree is read for where groups are free, if nothing else has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtentTreeRead {
    /// The mount reads it.
    #[default]
    AtMount,
    /// It is read before the first write ([`Space::derive_next`]).
    Later,
}

/// What the mount asked for.
#[derive(Clone, Default)]
pub struct Options {
    /// Whether devices are told of freed ranges, at first.
    pub discard: Discard,
    /// The order in which the block cache writes: [`WriteOrder::for_volume`]. It is `None` when there is no cache that
    /// writes, or when the cache takes [`Space::write_order`] before it writes anything.
    pub write_order: Option<Arc<WriteOrder>>,
    /// What becomes of caches: none beside a free space tree, nor on sequential zones.
    pub caches: Caches,
    /// When the extent tree is read.
    pub extents: ExtentTreeRead,
}

/// Block groups, free space, pinned ranges, reservations and the order of metadata writes of a volume.
///
/// All methods may be called by many threads.
pub struct Space {
    pub(super) groups: Arc<BlockGroups>,
    allocator: Arc<Allocator>,
    releases: Releases,
    pub(super) reader: Arc<Reader>,
    trims: Trims,
    pub(super) writeout: Arc<Writeout>,
    data_zones: DataZones,
    numbers: Arc<Numbers>,
    caches_read: CachesRead,
}

impl Space {
    /// Reads all block groups. Where they are free is read when it is needed; but where there is no free space tree, and
    /// the volume may be written, it is read now, from the caches that are believed and the extent tree, unless that is left for
    /// [`Self::derive_next`]. The chunks are all in the volume's map.
    pub fn load(volume: Arc<Volume>, trees: Trees, options: Options) -> Result<Arc<Space>> {
        let order = match options.write_order {
            Some(order) => order,
            None => WriteOrder::for_volume(&volume)?,
        };
        let sector_size = volume.format().sector_size;
        let writable = volume.writes().is_possible();
        let groups = Arc::new(BlockGroups::new(volume.clone(), order)?, GFP_KERNEL)?;
        let allocator = Arc::new(Allocator::new(groups.clone()), GFP_KERNEL)?;
        let numbers = Arc::new(Numbers::new(), GFP_KERNEL)?;
        let on_disk = match (options.caches, trees.free_space) {
            (Caches::NotKept, Some(tree)) => OnDisk::in_tree(tree, sector_size, Kept::all()),
            (Caches::NotKept, None) => OnDisk::Nowhere,
            (Caches::Believed | Caches::MadeAnew, _) => OnDisk::Caches(Keeper {
                volume,
                root: trees.root.clone(),
                extents: trees.extent.clone(),
                numbers: numbers.clone(),
                files: Mutex::new((), Rank::CacheFiles)?,
                on: AtomicBool::new(false),
            }),
        };
        let caches = match options.caches {
            Caches::Believed => Stored::of(trees.root, &groups.volume),
            Caches::NotKept | Caches::MadeAnew => None,
        };
        let loader = Loader {
            groups: &groups,
            items: &trees.block_groups,
            free_space: &on_disk,
            extents: &trees.extent,
            caches: caches.as_ref(),
            writable,
            derives: writable && options.extents == ExtentTreeRead::AtMount,
        };
        let doubted = loader.load()?;
        let home = Arc::new(Home::new(on_disk)?, GFP_KERNEL)?;
        let reader = Reader::new(groups.clone(), home.clone());
        let reader = Arc::new(reader, GFP_KERNEL)?;
        let writeout = Writeout::new(groups.clone(), trees.block_groups, home, reader.clone())?;
        let space = Self {
            allocator,
            releases: Releases::new(groups.clone())?,
            trims: Trims::new(groups.clone(), reader.clone(), options.discard)?,
            reader,
            writeout: Arc::new(writeout, GFP_KERNEL)?,
            data_zones: DataZones::new(groups.clone())?,
            groups,
            numbers,
            caches_read: caches.map_or_else(CachesRead::default, |caches| caches.count()),
        };
        if let Some(doubted) = doubted {
            space.writeout.believe_caches(&doubted)?;
        }
        Ok(Arc::new(space, GFP_KERNEL)?)
    }

    /// Promises `bytes` of `class`. Memory only.
    pub fn reserve(
        &self,
        class: Class,
        bytes: Bytes,
        urgency: Urgency,
    ) -> Result<Reservation, Shortage> {
        let promised = Reservation::promised(self.groups.info(class), bytes, urgency);
        promised.map_err(|shortage| match shortage {
            Shortage::Full if self.groups.commit_may_free.load(Ordering::Relaxed) => {
                Shortage::NeedCommit
            }
            shortage => shortage,
        })
    }

    /// To be had before [`Self::read_next`] and kept until what was read is promised: nothing is forgotten meanwhile.
    pub fn asking(&self) -> Asking<'_> {
        self.reader.asking()
    }

    /// Reads where a group of the class is free, after [`Shortage::Unread`]. Reads a tree: no tree block lock is held.
    pub fn read_next(&self, class: Class) -> Result<NextGroup> {
        self.reader.read_next(class)
    }

    /// Reads where tree blocks can lie until that is enough for what was promised, or all. To be asked where a chunk may be
    /// made ([`Self::chunk_wanted`]), before that. Reads a tree: no tree block lock is held.
    pub fn read_wanted(&self) -> Result {
        self.reader.read_wanted()
    }

    /// Reads where some file data can lie, if little of that is known, and forgets some if too much is. For the edge's timer.
    pub fn read_ahead(&self) -> Result {
        self.reader.read_ahead()
    }

    /// About how many pages [`Self::forget`] could give back, at most. It waits for nobody.
    pub fn forgettable(&self) -> usize {
        self.reader.forgettable()
    }

    /// Forgets where groups of file data are free that nobody needs now, as far as it can be read again: looks at `most`
    /// groups, going on where it ended. How many pages it gave back, at most. It waits for nobody and takes no memory: it may be called for want
    /// of that, with whatever locks.
    pub fn forget(&self, most: usize) -> usize {
        self.reader.forget(most)
    }

    /// How many pages [`Self::forget`] gave back so far.
    pub fn forgotten(&self) -> usize {
        self.reader.forgotten()
    }

    /// A reservation of nothing, to merge others into.
    pub fn reserve_nothing(&self, class: Class) -> Reservation {
        Reservation::new(self.groups.info(class).clone(), Bytes::ZERO)
    }

    /// Sizes what is kept back for commits and for freeing on a full volume, from the bytes of the extent, checksum,
    /// root, free space and block group trees (`bytes_used` of their root items, together) and how many those are. At
    /// mount and in each commit.
    pub fn size_global_reserve(&self, tree_bytes: Bytes, trees: u32) {
        self.groups.growth().size_global_reserve(tree_bytes, trees);
    }

    /// The order of metadata writes on sequential zones.
    pub fn write_order(&self) -> &Arc<WriteOrder> {
        &self.groups.write_order
    }

    /// An address for a tree block, aligned to its size: free becomes reserved. Draws from `from`, and from the global
    /// reserve when that is empty or of another class. Memory only. `ENOSPC` where reservations were not what they
    /// should be: the transaction must be aborted.
    pub fn allocate_block(
        &self,
        class: BlockClass,
        near: Logical,
        from: &Reservation,
    ) -> Result<BlockAddress<'_>> {
        let addr = self.allocator.allocate_block(class, near, from)?;
        Ok(BlockAddress::new(&self.allocator, addr))
    }

    /// Tells that no block will stand at an address of [`Self::allocate_block`], which stays allocated. Without effect
    /// where blocks can be written in any order. Memory only, and needs none.
    pub fn abandon_block(&self, addr: Logical) {
        self.allocator.abandon_block(addr);
    }

    /// A data extent of at most `wanted` bytes, as long as free space allows but not under `min`; both are rounded to
    /// sectors. Free becomes reserved, drawn from `from`. May take zones' active resources; reads no tree.
    ///
    /// `ENOSPC` when every free range is shorter than `min`; `EAGAIN` on sequential zones when a zone would have to be
    /// activated and no more may be: finish some of the writes under way, call [`Self::relieve_zones`], ask again.
    pub fn allocate_data(
        &self,
        from: &Reservation,
        wanted: Bytes,
        min: Bytes,
    ) -> Result<DataExtent> {
        self.allocator.allocate_data(from, wanted, min)
    }

    /// Takes a given range, which a log tree refers to: idle becomes reserved. `EEXIST` if a part of it is in use. No tree
    /// block lock is held.
    pub fn take(&self, addr: Logical, len: Bytes) -> Result {
        let _asking = self.reader.asking();
        self.reader.read(&*self.groups.holding(addr, len)?)?;
        self.allocator.take(addr, len)
    }

    /// Gives back what was allocated and never written, and has no extent item: reserved becomes free, or on
    /// sequential zones unusable. For data extents too, whose write never started. Memory only.
    pub fn release_unwritten(&self, addr: Logical, len: Bytes) {
        self.groups
            .give_back(addr, len, |group| self.data_zones.given_up(group, len));
    }

    /// Does what [`Self::release_unwritten`] does, and promises the bytes to `to` as they were before they were allocated:
    /// nobody else gets them in between. With `ENOSPC` the address has come back and the promise has not. That can be on
    /// sequential zones, where the same bytes cannot be had again, or in a group that is on its way out, when all else
    /// that is free is promised.
    pub fn take_back_unwritten(&self, addr: Logical, len: Bytes, to: &Reservation) -> Result {
        let group = self.groups.holding(addr, len)?;
        let taken = group.take_back(addr, addr.saturating_add(len), to);
        self.data_zones.given_up(&group, len)?;
        taken
    }

    /// Does what [`Self::release_unwritten`] does, for a data extent that was written: [`Self::data_written`] has been
    /// told of it.
    pub fn release_written(&self, addr: Logical, len: Bytes) {
        self.groups.give_back(addr, len, |_| Ok(()));
    }

    /// Keeps what `generation` freed until [`Self::unpin`]: reserved becomes pinned. For what was written but has no
    /// extent item: blocks of log trees, blocks that went out before they were dropped, failed data writes. What has
    /// an extent item is pinned by [`Self::note_freed`]. Memory only.
    pub fn pin(&self, addr: Logical, len: Bytes, generation: Generation) -> Result {
        let group = self.groups.holding(addr, len)?;
        self.releases
            .pin(&group, addr, len, ByteState::Reserved, generation)
    }

    /// Makes free what was pinned by `generation` and those before; on sequential zones unusable, and groups that hold
    /// nothing any more are reset. The superblock of `generation` is durable. May talk to devices (discard, zone
    /// reset); no tree block lock is held.
    ///
    /// After an error what could not be freed is still pinned and waits for the next call.
    pub fn unpin(&self, generation: Generation) -> Result {
        let unpinned = self.releases.unpin(generation, &self.trims);
        self.groups
            .reset_empty(&|group| self.allocator.forget_log(group))?;
        for class in Class::ALL {
            self.groups.info(class).relax();
        }
        unpinned
    }

    /// How often addresses of file data that were freed have become free to be used again: by a commit, and on sequential zones
    /// by their reset. Who looked up an address, read there, and finds this number unchanged has read what was meant.
    pub fn reuses(&self) -> u64 {
        self.groups.reuses()
    }

    /// The places of removed chunks on the devices are about to be free for others.
    pub fn chunks_leave(&self) {
        self.groups.count_reuse();
    }

    /// Changes whether devices are told of what is freed from now on.
    pub fn set_discard(&self, discard: Discard) {
        self.trims.set(discard);
    }

    /// Tells the devices of up to `most` of the ranges that wait for it, as far as they are free, while it is `in_time`. Talks
    /// to devices; no lock may be held. `lost` is told of an error after which nothing can be written any more.
    pub fn trim_waiting(&self, most: usize, in_time: &dyn Fn() -> bool, lost: Lost<'_>) -> Result {
        self.trims.trim_waiting(most, in_time, lost)
    }

    /// Tells the devices of what is free in block groups. Talks to devices; no lock may be held. `lost` as above.
    pub fn trim_free(&self, call: &mut Trim<'_>, lost: Lost<'_>) -> Result {
        self.trims.trim_free(call, lost)
    }

    /// The extent item for a range was inserted: reserved becomes used. No tree block lock is held.
    pub fn note_allocated(&self, _txn: &dyn Allocate, addr: Logical, len: Bytes) -> Result {
        let group = self.groups.holding(addr, len)?;
        self.writeout
            .note(&group, (addr, len), SpaceChange::Allocated, || {
                group.move_bytes(len, ByteState::Reserved, ByteState::Used)
            })
    }

    /// The extent item for a range was removed: used becomes pinned, by itself. No tree block lock is held.
    pub fn note_freed(&self, txn: &dyn Allocate, addr: Logical, len: Bytes) -> Result {
        let group = self.groups.holding(addr, len)?;
        let generation = txn.generation();
        self.writeout
            .note(&group, (addr, len), SpaceChange::Freed, || {
                self.releases
                    .pin(&group, addr, len, ByteState::Used, generation)
            })
    }

    /// Whether a group's items in the trees are behind.
    pub fn has_dirty_groups(&self) -> bool {
        self.writeout.has_dirty()
    }

    /// Writes the items of the groups that are dirty now, each once; gives how many. What writing them dirties again
    /// is left for the next call. No tree block lock is held. After an error the transaction must be aborted.
    pub fn write_dirty_groups(&self, txn: &dyn Allocate) -> Result<usize> {
        self.writeout.write_dirty(txn)
    }

    /// Whether free space caches are kept right, as the superblock is to say by its `cache_generation`.
    pub fn keeping_caches(&self) -> Keeping {
        self.writeout.keeping_caches()
    }

    /// All caches that were there are gone: from now on each group gets one, if caches are to be kept.
    pub fn keep_caches(&self) -> Result {
        self.writeout.keep_caches()
    }

    /// No cache is written any more, by nobody when this returns. No tree block lock is held.
    pub fn stop_caches(&self) {
        self.writeout.stop_caches();
    }

    /// What the mount made of the caches that it found.
    pub fn caches_read(&self) -> CachesRead {
        self.caches_read
    }

    /// Writes the caches that are behind now, each once, and no more than `most`; gives how many groups had a turn. They are void before, and
    /// stay so where that fails, as do all others that are behind, until the next call.
    /// Talks to devices; no tree block lock is held. After an error the transaction must be aborted.
    pub fn write_caches(&self, txn: &dyn Allocate, most: CacheTurn) -> Result<usize> {
        let find = |group: &Group, len| self.allocator.allocate_cache(group, len);
        self.writeout.write_caches(txn, most, &find)
    }

    /// Takes a number of the tree of trees, for a subvolume. `ENOSPC` after the last.
    pub fn take_number(&self, root: &Tree) -> Result<ObjectId> {
        self.numbers.take(root)
    }

    /// The class that should get a chunk now, before anyone runs short; `None` also when the devices are full. Asked
    /// by txn at each start of a handle and between batches of delayed references. Memory only.
    pub fn chunk_wanted(&self) -> Option<Class> {
        self.groups.growth().chunk_wanted()
    }

    /// Whether the items of a chunk can come to the chunk tree or go from it, with all the blocks that this copies.
    pub fn has_room_for_chunk_items(&self) -> bool {
        self.groups.growth().has_room_for_chunk_items()
    }

    /// Type and profile for a new chunk: those of the newest group of the class.
    pub fn new_chunk_flags(&self, class: Class) -> BlockGroupFlags {
        self.groups.growth().profile(class)
    }

    /// The device ranges of removed chunks can be used again: their transaction is durable.
    pub fn ranges_freed(&self) {
        self.groups.growth().refresh();
    }

    /// The volume found no place for a chunk of this class ([`crate::volume::Unused::plan_chunk`] was `ENOSPC`): do not
    /// count on one until [`Self::ranges_freed`].
    pub fn chunk_refused(&self, class: Class) {
        self.groups.growth().chunk_refused(class);
    }

    /// A chunk was added to the volume's map: makes its block group, usable at once, and inserts its items. `start` is
    /// the chunk's address. No tree block lock is held. After an error the transaction must be aborted.
    pub fn add_group(&self, txn: &dyn Allocate, start: Logical) -> Result {
        self.writeout.add(txn, start)
    }

    /// An empty group that is worth removing, never the last of its class; it is closed from now on. Where it is free is
    /// read before, if it was not: no tree block lock is held.
    pub fn next_unused(&self) -> Result<Option<Removal>> {
        Removal::next(&self.groups, &self.reader, &self.allocator, &self.writeout)
    }

    /// The group with the least in use of those that are worth emptying. Memory only.
    pub fn next_sparse(&self, when: Reclaim) -> Option<Sparse> {
        self.groups.next_sparse(when)
    }

    /// The group of the chunk tree with the least in use of those that are worth emptying. Memory only.
    pub fn next_sparse_system(&self) -> Option<Sparse> {
        self.groups.next_sparse_system()
    }

    /// Whether a commit may give a class of tree blocks space that this transaction has freed: on sequential zones it makes
    /// that dead, but in a group of which nothing is in use. Memory only.
    pub fn commit_frees(&self, class: Class) -> bool {
        self.groups.commit_frees(class)
    }

    /// Ends what can still be written of a group of [`Self::next_sparse`], all of which can be rewritten. `ENOSPC` where that was
    /// promised, or is being written. May talk to the device.
    pub fn close_sparse(&self, sparse: &Sparse) -> Result {
        self.groups.close_sparse(sparse)
    }

    /// The group of file data of which most is dead, of those that are worth emptying and were not `passed` over. Nothing is
    /// written there any more: may talk to the device. Groups of which that cannot be are passed over.
    pub fn next_sparse_data(
        &self,
        when: Reclaim,
        passed: &mut KVVec<Logical>,
    ) -> Result<Option<Sparse>> {
        self.groups.next_sparse_data(when, passed)
    }

    /// How many data writes have ended: to be asked before an allocation that [`Self::await_data`] may follow.
    pub fn data_ended(&self) -> u64 {
        self.data_zones.ended()
    }

    /// Waits for a data write to end since `seen` was counted, after an allocation was refused with `EAGAIN`. None
    /// does when none is under way. No lock may be held that ending a write takes.
    pub fn await_data(&self, seen: u64) -> DataWait {
        self.data_zones.wait(seen)
    }

    /// Tells that a data extent has reached the device, where the device says it is: the last one of a group gives
    /// its zones' active resources back. Called once for each extent that was not released, before its reference is
    /// added. This has no effect on regular devices.
    pub fn data_written(&self, extent: DataExtent) -> Result {
        self.data_zones.written(extent)
    }

    /// Gives back the zones of a data group that nothing can be allocated from and nothing is on its way to, so that
    /// another's can be activated. May talk to the device.
    ///
    /// What is free is never given up for that: it may be promised, and the smallest allocation can have it.
    pub fn relieve_zones(&self) -> Result<Relief> {
        self.data_zones.relieve()
    }

    /// Gives back the zones of the data group with the least left, if that was promised to no user: what is free there is
    /// lost until they are reset. May talk to the device.
    pub fn give_up_data_zone(&self) -> Result<Relief> {
        self.data_zones.give_up_one()
    }
}
