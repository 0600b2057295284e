// SPDX-License-Identifier: GPL-2.0
//! The root of the layer.

use super::free::on_disk::OnDisk;
use super::free::pinned::Pins;
use super::free::trim::{Discard, Trims};
use super::groups::group::Group;
use super::groups::items::Writeouts;
use super::groups::zones::DataProgress;
use super::groups::{Groups, PerClass};
use super::reserve::SpaceInfo;
use super::write_order::WriteOrder;
use super::{Class, Reservation, Shortage, Urgency};
use crate::btree::Tree;
use crate::disk::{Flaw, Logical, Place};
use crate::volume::Volume;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, RwLock};

/// The trees that describe space. All are those of the running transaction.
pub struct Trees {
    /// The extent tree.
    pub extent: Arc<Tree>,
    /// Where the BLOCK_GROUP_ITEMs are: the block group tree, or the extent tree.
    pub block_groups: Arc<Tree>,
    /// The free space tree, if the volume has one.
    pub free_space: Option<Arc<Tree>>,
}

/// What the mount asked for.
#[derive(Clone, Default)]
pub struct Options {
    /// Whether devices are told of freed ranges, at first.
    pub discard: Discard,
    /// The order in which the block cache writes: [`WriteOrder::for_volume`]. It is `None` when there is no cache that
    /// writes, or when the cache takes [`Space::write_order`] before it writes anything.
    pub write_order: Option<Arc<WriteOrder>>,
}

/// Where the last allocation of a kind was; [`NOWHERE`] before the first.
pub(super) struct Cursors {
    /// The start of the group that data came from last.
    pub(super) data: AtomicU64,
    /// The same for tree blocks.
    pub(super) metadata: AtomicU64,
    /// The same for the chunk tree.
    pub(super) system: AtomicU64,
    /// The group of the log trees; on sequential zones nothing else is allocated there.
    pub(super) log: AtomicU64,
}

/// No group starts here.
pub(super) const NOWHERE: u64 = u64::MAX;

/// Block groups, free space, pinned ranges, reservations and the order of metadata writes of a volume.
///
/// All methods may be called by many threads.
pub struct Space {
    pub(super) volume: Arc<Volume>,
    pub(super) block_groups: Arc<Tree>,
    pub(super) free_space: OnDisk,
    pub(super) trims: Trims,
    pub(super) node_size: u64,
    pub(super) sector_size: u64,
    pub(super) space_infos: PerClass<Arc<SpaceInfo>>,
    pub(super) groups: RwLock<Groups>,
    pub(super) cursors: Cursors,
    /// A transaction has begun since the last [`Space::unpin`]: its commit may give space back that is not even
    /// pinned yet, by delayed references.
    pub(super) commit_may_free: AtomicBool,
    /// Calls of [`Space::unpin`].
    pub(super) reuses: AtomicU64,
    pub(super) pins: Mutex<Pins>,
    pub(super) writeouts: Mutex<Writeouts>,
    pub(super) progress: Arc<DataProgress>,
    pub(super) write_order: Arc<WriteOrder>,
}

impl Space {
    pub(super) fn new(
        volume: Arc<Volume>,
        block_groups: Arc<Tree>,
        free_space: Option<Arc<Tree>>,
        options: Options,
        order: Arc<WriteOrder>,
    ) -> Result<Self> {
        let (node_size, sector_size) = (volume.format().node_size, volume.format().sector_size);
        Ok(Self {
            trims: Trims::new(options.discard)?,
            volume,
            block_groups,
            free_space: OnDisk::new(free_space, sector_size),
            node_size: node_size.into(),
            sector_size: sector_size.into(),
            space_infos: PerClass::try_new(|class| {
                Ok(Arc::new(SpaceInfo::new(class)?, GFP_KERNEL)?)
            })?,
            groups: RwLock::new(Groups::new()?, latch::class!("rbtrfs_block_groups"))?,
            cursors: Cursors {
                data: AtomicU64::new(NOWHERE),
                metadata: AtomicU64::new(NOWHERE),
                system: AtomicU64::new(NOWHERE),
                log: AtomicU64::new(NOWHERE),
            },
            commit_may_free: AtomicBool::new(false),
            reuses: AtomicU64::new(0),
            pins: Mutex::new(Pins::new(), latch::class!("rbtrfs_pinned"))?,
            writeouts: Mutex::new(Writeouts::new(), latch::class!("rbtrfs_dirty_block_groups"))?,
            progress: order.data_progress()?,
            write_order: order,
        })
    }

    /// Promises `bytes` of `class`. Memory only.
    pub fn reserve(
        &self,
        class: Class,
        bytes: u64,
        urgency: Urgency,
    ) -> Result<Reservation, Shortage> {
        let space_info = self.space_infos.get(class);
        space_info
            .promise(bytes, urgency)
            .map_err(|shortage| match shortage {
                Shortage::Full if self.commit_may_free.load(Ordering::Relaxed) => {
                    Shortage::NeedCommit
                }
                shortage => shortage,
            })?;
        Ok(Reservation::new(space_info.clone(), bytes))
    }

    /// A reservation of nothing, to merge others into.
    pub fn reserve_nothing(&self, class: Class) -> Reservation {
        Reservation::new(self.space_infos.get(class).clone(), 0)
    }

    /// Sizes what is kept back for commits and for freeing on a full volume, from the bytes of the extent, checksum,
    /// root, free space and block group trees (`bytes_used` of their root items, together) and how many those are. At
    /// mount and in each commit.
    pub fn size_global_reserve(&self, tree_bytes: u64, trees: u32) {
        const MIN: u64 = 16 << 20;
        const MAX: u64 = 512 << 20;
        /// New blocks and splits on each level of one path.
        const PATH: u64 = 2 * crate::disk::MAX_LEVELS as u64;
        let space_info = self.space_infos.get(Class::Metadata);
        let growth = space_info.lock().growth.bytes;
        let paths = u64::from(trees).saturating_mul(PATH.saturating_mul(self.node_size));
        // On zones, what a group holds: to empty one takes as much, and on a full volume frees the next.
        let group = match self.volume.zone_size() {
            Some(zone_size) => self.capacity_of(Class::Metadata, zone_size),
            None => 0,
        };
        let size = tree_bytes.max(paths).clamp(MIN, MAX).saturating_add(group);
        let all = self.metadata_capacity().saturating_add(growth / 2);
        // A tiny volume must have something left for its files; but a group must fill up and another be emptied.
        let affordable = (all / 4).max(group.saturating_mul(2).min(all / 2));
        space_info.resize_global(size.min(affordable));
    }

    /// What all groups of metadata hold.
    fn metadata_capacity(&self) -> u64 {
        let groups = self.groups.read();
        groups.of(Class::Metadata).fold(0u64, |sum, group| {
            sum.saturating_add(group.lock().free_space.capacity(group.len()))
        })
    }

    /// The order of metadata writes on sequential zones.
    pub fn write_order(&self) -> &Arc<WriteOrder> {
        &self.write_order
    }

    /// The group that holds all of `[start, start + len)`. Where none does, the extent is corrupt.
    pub(super) fn group_holding(&self, start: u64, len: u64) -> Result<Arc<Group>> {
        let group = start
            .checked_add(len)
            .and_then(|end| self.groups.read().holding(start, end).cloned());
        group.ok_or_else(|| {
            let flaw = Flaw::missing("extent lies in no block group");
            flaw.at(Place::Extent(Logical::new(start))).report()
        })
    }

    /// The group that starts at `start`.
    pub(super) fn group_at(&self, start: Logical) -> Option<Arc<Group>> {
        let start = start.get();
        self.groups
            .read()
            .holding(start, start.checked_add(1)?)
            .filter(|group| group.start().get() == start)
            .cloned()
    }
}

impl Cursors {
    /// Whether `start` is the group of the log trees.
    pub(super) fn is_log(&self, start: Logical) -> bool {
        self.log.load(Ordering::Relaxed) == start.get()
    }

    /// The log trees leave their group.
    pub(super) fn forget_log(&self, start: Logical) {
        let _ =
            self.log
                .compare_exchange(start.get(), NOWHERE, Ordering::Relaxed, Ordering::Relaxed);
    }
}
