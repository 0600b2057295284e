// SPDX-License-Identifier: GPL-2.0
//! L4: block groups, free space, pinned ranges, reservations and the metadata write gate.
//!
//! A byte of a block group is in one state at a time, and each call below moves bytes from one to another:
//!
//! ```text
//! free     --allocate_block, allocate_data, take-->  reserved     promised to a block or a data extent
//! reserved --note_allocated--> used                               its extent item was inserted
//! reserved --release_unwritten--> free (zoned: unusable)          never written, never in the extent tree
//! reserved --pin--> pinned                                        written, never in the extent tree (log trees)
//! used     --note_freed--> pinned                                 its extent item was removed
//! pinned   --unpin--> free (zoned: unusable)                      the superblock of that transaction is durable
//! ```
//!
//! Above the groups, a [`Reservation`] promises bytes of a class before any address is chosen; ENOSPC is decided
//! there and nowhere later.
//!
//! Lock order, outermost first: a group's free space items (above tree block locks; only `note_*` and
//! `write_dirty_groups` take it), tree block locks, the metadata gate, a block group, the list of groups, the totals.
//! No call marked "memory only" reads or writes a tree: those may be made under tree block locks.
//!
//! THIS IS THE PUBLISHED SIGNATURE SHEET; bodies follow. Names and arguments are meant to stay.

use crate::btree::{Allocate, Tree};
use crate::disk::{Generation, Logical};
use crate::volume::Volume;
use kernel::prelude::*;
use kernel::sync::Arc;

/// What a chunk holds (C: `BTRFS_BLOCK_GROUP_TYPE_MASK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// File contents.
    Data,
    /// Tree blocks, except those of the chunk tree.
    Metadata,
    /// Blocks of the chunk tree.
    System,
}

/// Which tree blocks a block belongs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockClass {
    /// All but the following.
    Metadata,
    /// The log trees: on zoned volumes they have a group of their own.
    TreeLog,
    /// The chunk tree.
    System,
}

/// How hard a reservation may press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Anything that can fail with ENOSPC.
    Ordinary,
    /// What gives space back (unlink, truncate, orphans): may draw on the global reserve.
    Freeing,
    /// What a commit cannot do without: never refused while the global reserve lasts.
    Commit,
}

/// Why a reservation was refused now, and what may help. The caller does it once and asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Allocate a chunk of this class, then ask again.
    NeedChunk(Class),
    /// Bytes are pinned (or write-out of delayed work would give some back): commit, then ask again.
    NeedCommit,
    /// Neither would help: ENOSPC.
    Full,
}

/// Bytes of a class, promised. Dropping it gives back what was not used.
///
/// `&Reservation` can be drawn from by many threads (a transaction handle shares it).
pub struct Reservation { /* pool: Arc<Pool>, class, bytes: AtomicU64 */ }

impl Reservation {
    /// What is left, in bytes.
    pub fn bytes(&self) -> u64;
    /// Parts `bytes` off; `None` when it has fewer.
    pub fn split(&self, bytes: u64) -> Option<Reservation>;
    /// Takes over all of `other`, of the same class.
    pub fn merge(&self, other: Reservation);
    /// Gives `bytes` (or all that is left) back to the pool.
    pub fn give_back(&self, bytes: u64);
}

/// A newly allocated range for file data, contiguous in the logical space, sector aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataExtent {
    pub logical: Logical,
    pub len: u64,
}

/// The trees that describe space. All are those of the running transaction.
pub struct Trees {
    /// The extent tree.
    pub extent: Arc<Tree>,
    /// Where BLOCK_GROUP_ITEMs are: the block group tree, or the extent tree.
    pub block_groups: Arc<Tree>,
    /// The free space tree, with the compat_ro bits FREE_SPACE_TREE and FREE_SPACE_TREE_VALID.
    pub free_space: Option<Arc<Tree>>,
}

/// What the mount asked for.
pub struct Options {
    /// Tell the devices about freed ranges at [`Space::unpin`].
    pub discard: bool,
}

impl Space {
    /// Reads all block groups and their free space. A valid free space tree is read, else the extent tree is scanned.
    pub fn load(volume: Arc<Volume>, trees: Trees, options: Options) -> Result<Arc<Space>>;

    // ---- reservations (memory only) ----

    /// Promises `bytes` of `class`.
    pub fn reserve(&self, class: Class, bytes: u64, urgency: Urgency) -> Result<Reservation, Shortage>;
    /// A reservation of nothing, to merge into.
    pub fn reserve_nothing(&self, class: Class) -> Reservation;
    /// The class that should get a chunk now, before anyone runs short: asked by txn at each start and between batches
    /// of delayed references (no tree lock held). System first. `None` also when the devices are full.
    pub fn chunk_wanted(&self) -> Option<Class>;
    /// Sizes the global reserve from the bytes of the extent, checksum, root, free space and block group trees
    /// (root items' `bytes_used`). Called at mount and by each commit.
    pub fn size_global_reserve(&self, tree_bytes: u64, trees: u32);

    // ---- addresses (memory only: may be called under tree block locks) ----

    /// An address for a tree block: node-size aligned. Moves one node of bytes from `from` (and, when that is empty,
    /// from the global reserve) to reserved. ENOSPC means a bug or a full disk: abort.
    pub fn allocate_block(&self, class: BlockClass, near: Logical, from: &Reservation) -> Result<Logical>;
    /// A data extent of at most `wanted` and at least `min` bytes, drawn from `from`. ENOSPC when fragments are all
    /// smaller than `min`.
    pub fn allocate_data(&self, from: &Reservation, wanted: u64, min: u64) -> Result<DataExtent>;
    /// free -> reserved at a given address: for extents found in a log tree at replay. EEXIST if not free.
    pub fn take(&self, addr: Logical, len: u64) -> Result;
    /// reserved -> free at once (regular), unusable (sequential zone). For a block allocated and dropped in the same
    /// transaction, never written and without an extent item; also for a data extent whose write never started.
    pub fn release_unwritten(&self, addr: Logical, len: u64);
    /// reserved -> pinned until `unpin(generation)`: written, but without an extent item (log tree blocks, blocks
    /// written out before they were dropped, failed data writes).
    pub fn pin(&self, addr: Logical, len: u64, generation: Generation) -> Result;
    /// pinned -> free (zoned: unusable), for all pinned by `generation` and before. After that superblock is durable.
    pub fn unpin(&self, generation: Generation) -> Result;

    // ---- when extent items change: called by txn with no tree block lock held ----

    /// reserved -> used: the extent item for the range was inserted. Records the change for the free space tree.
    pub fn note_allocated(&self, txn: &dyn Allocate, addr: Logical, len: u64) -> Result;
    /// used -> pinned: the extent item was removed. It pins by itself: do not call `pin` as well.
    pub fn note_freed(&self, txn: &dyn Allocate, addr: Logical, len: u64) -> Result;

    // ---- at commit: no tree block lock held ----

    /// Whether some group's item or free space items are not yet in the trees.
    pub fn has_dirty_groups(&self) -> bool;
    /// Writes the free space items and the block group items of the dirty groups. Writing dirties further groups
    /// (the trees' own blocks): txn alternates this with running delayed references until `has_dirty_groups` is false.
    /// Stage 1 of the commit (others may still join) makes one pass; stage 2 repeats, bounded. Returns groups written.
    pub fn write_dirty_groups(&self, txn: &dyn Allocate) -> Result<usize>;

    // ---- chunks ----

    /// A chunk was added to volume and the chunk tree: inserts the block group item and the free space items, and opens the group.
    /// `start`: the chunk's logical address; all else is asked from volume.
    pub fn add_group(&self, txn: &dyn Allocate, start: Logical) -> Result;
    /// The next empty group worth removing (never the last of its class), now read-only and out of the allocator.
    /// Drop the value and the group is usable again.
    pub fn next_unused(self: &Arc<Self>) -> Option<Removal>;
    /// The profile and size a new chunk of `class` should have (flags as on disk).
    pub fn new_chunk_flags(&self, class: Class) -> u64;

    // ---- others ----

    /// The gate that serialises metadata IO on sequential zones.
    pub fn gate(&self) -> &MetadataGate;
    /// Numbers for statfs.
    pub fn statistics(&self) -> Statistics;
}

/// An empty group on its way out: txn removes the dev extents and the chunk item, then calls `finish` in the same
/// transaction; the zones are reset and the chunk map entry goes after that commit.
pub struct Removal { /* group */ }

impl Removal {
    /// The group's (and chunk's) address.
    pub fn start(&self) -> Logical;
    /// Deletes the block group item and the free space items. The group is gone.
    pub fn delete_items(self, txn: &dyn Allocate) -> Result;
}
