// SPDX-License-Identifier: GPL-2.0
//! All block groups of a volume, and the space infos of their classes.

use super::group::Group;
use super::set::GroupSet;
use crate::disk::{Bytes, Flaw, Logical, Site};
use crate::space::free::policy::FreeSpace;
use crate::space::reserve::{ByteState, PerClass, SpaceInfo};
use crate::space::write_order::WriteOrder;
use crate::space::Class;
use crate::volume::Volume;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Rank, RwLock, RwLockReadGuard};

/// The block groups of a volume. The parts of the layer share it.
pub(in crate::space) struct BlockGroups {
    pub(in crate::space) volume: Arc<Volume>,
    pub(in crate::space) write_order: Arc<WriteOrder>,
    pub(in crate::space) node_size: Bytes,
    pub(in crate::space) sector_size: Bytes,
    /// A transaction has begun since the last one became durable: its commit may free space that is not even pinned
    /// yet, by delayed references.
    pub(in crate::space) commit_may_free: AtomicBool,
    /// How many transactions became durable.
    pub(in crate::space) commits: AtomicU64,
    /// How often addresses of file data, or their place on a device, became free to be used again.
    reuses: AtomicU64,
    space_infos: PerClass<Arc<SpaceInfo>>,
    set: RwLock<GroupSet>,
}

impl BlockGroups {
    pub(in crate::space) fn new(volume: Arc<Volume>, write_order: Arc<WriteOrder>) -> Result<Self> {
        Ok(Self {
            write_order,
            node_size: volume.format().node_size.into(),
            sector_size: volume.format().sector_size.into(),
            commit_may_free: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            reuses: AtomicU64::new(0),
            space_infos: PerClass::try_new(|class| {
                Ok(Arc::new(SpaceInfo::new(class)?, GFP_KERNEL)?)
            })?,
            set: RwLock::new(GroupSet::new()?, Rank::BlockGroups)?,
            volume,
        })
    }

    /// Does what [`crate::space::Space::reuses`] says.
    pub(in crate::space) fn reuses(&self) -> u64 {
        self.reuses.load(Ordering::Acquire)
    }

    /// To be called before any of what was freed can be used again.
    pub(in crate::space) fn count_reuse(&self) {
        self.reuses.fetch_add(1, Ordering::AcqRel);
    }

    /// The set of groups, which does not change meanwhile.
    pub(in crate::space) fn read(&self) -> RwLockReadGuard<'_, GroupSet> {
        self.set.read()
    }

    /// The set of groups, unless somebody changes it or waits to.
    pub(in crate::space) fn try_read(&self) -> Option<RwLockReadGuard<'_, GroupSet>> {
        self.set.try_read()
    }

    /// The space info of a class.
    pub(in crate::space) fn info(&self, class: Class) -> &Arc<SpaceInfo> {
        self.space_infos.get(class)
    }

    /// Bytes of the groups of which it is known where they are free, and may be anywhere.
    pub(in crate::space) fn known(&self) -> Bytes {
        Class::ALL.iter().fold(Bytes::ZERO, |sum, &class| {
            sum.saturating_add(self.info(class).lock().known)
        })
    }

    /// Bytes in which a class is allocated.
    pub(in crate::space) fn granularity_of(&self, class: Class) -> Bytes {
        match class {
            Class::Data => self.sector_size,
            Class::Metadata | Class::System => self.node_size,
        }
    }

    /// The group that holds all of `[start, start + len)`. Where none does, the extent is corrupt.
    pub(in crate::space) fn holding(&self, start: Logical, len: Bytes) -> Result<Arc<Group>> {
        let group = start
            .checked_add(len)
            .and_then(|end| self.read().holding(start, end).cloned());
        group.ok_or_else(|| {
            let flaw = Flaw::missing("extent lies in no block group");
            flaw.at(Site::Extent(start)).report()
        })
    }

    /// Gives back what was reserved at an address, and does the rest with its group. Where that fails it stays reserved
    /// until unmount; what is on disk is right.
    pub(in crate::space) fn give_back(
        &self,
        addr: Logical,
        len: Bytes,
        rest: impl FnOnce(&Group) -> Result,
    ) {
        let (start, end) = (addr, addr.saturating_add(len));
        let given = self.holding(start, len).and_then(|group| {
            group.give_back(start, end, ByteState::Reserved)?;
            rest(&group)
        });
        if let Err(error) = given {
            pr_warn!("{len} bytes at {start} could not be given back: {error:?}\n");
        }
    }

    /// The group that starts at `start`.
    pub(in crate::space) fn at(&self, start: Logical) -> Option<Arc<Group>> {
        self.read()
            .holding(start, start.checked_add(Bytes::new(1))?)
            .filter(|group| group.start() == start)
            .cloned()
    }

    /// The first group of a class at or behind `from`.
    pub(in crate::space) fn next_in(&self, class: Class, from: Logical) -> Option<Arc<Group>> {
        self.read().next_of(class, from).cloned()
    }

    /// The first group of a class at or behind `from` in which there is nothing.
    pub(in crate::space) fn next_unused(&self, class: Class, from: Logical) -> Option<Arc<Group>> {
        let start = self.info(class).index().unused_from(from)?;
        self.at(start)
    }

    /// Makes a group known to all; the write order knows it.
    pub(in crate::space) fn add(&self, group: &Arc<Group>) -> Result {
        let mut set = self.set.write();
        set.insert(group.clone())?;
        // Before others find it: its bytes are counted once.
        let mut body = group.lock();
        drop(set);
        group.space_info().index().insert(group.start())?;
        group.publish(&mut body)?;
        group.space_info().add(&body.tally);
        if let FreeSpace::Anywhere(_) = body.free_space {
            group.space_info().note_known(group.len());
        }
        Ok(())
    }

    /// Takes a group out of the set and its bytes out of its class. `EBUSY` while blocks of it are on their way.
    pub(in crate::space) fn remove(&self, group: &Group) -> Result {
        self.write_order.remove(group.start())?;
        self.set.write().remove(group.start());
        group.space_info().index().remove(group.start());
        let body = group.lock();
        group.space_info().subtract(&body.tally);
        if let FreeSpace::Anywhere(_) = body.free_space {
            group.space_info().note_forgotten(group.len());
        }
        Ok(())
    }
}
