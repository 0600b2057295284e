// SPDX-License-Identifier: GPL-2.0
//! Addresses: for tree blocks, for file data, and for what a log tree refers to.

use super::abandoned::BlockAddress;
use super::policy::FreeSpace;
use super::ranges::{round_up, Wish};
use crate::disk::Logical;
use crate::space::groups::group::{Body, Group};
use crate::space::groups::Groups;
use crate::space::root::NOWHERE;
use crate::space::{BlockClass, Class, Reservation, Space};
use crate::volume::Activation;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;

/// A newly allocated range for file data, contiguous in the logical space, both ends multiples of the sector size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataExtent {
    /// Its address. On sequential zones data is written by zone append, and the device tells where in the same group
    /// it really went.
    pub logical: Logical,
    /// Its bytes.
    pub len: u64,
}

/// Tree blocks are allocated where this many bytes are free in one piece, if there is such a place: those of one
/// transaction then lie next to each other and go out in long writes.
const CLUSTER: u64 = 1 << 20;

/// Which groups a search looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those that can be written without further ado.
    Active,
    /// Those whose zones must be activated too.
    All,
}

impl Space {
    /// An address for a tree block, aligned to its size: free becomes reserved. Draws from `from`, and from the global
    /// reserve when that is empty or of another class. Memory only. `ENOSPC` where reservations were not what they
    /// should be: the transaction must be aborted.
    pub fn allocate_block(
        &self,
        class: BlockClass,
        near: Logical,
        from: &Reservation,
    ) -> Result<BlockAddress<'_>> {
        let size = self.node_size;
        let wish = Wish {
            wanted: size,
            min: size,
            align: size,
            cluster: CLUSTER,
        };
        self.commit_may_free.store(true, Ordering::Relaxed);
        let groups = self.groups.read();
        let cursor = match class {
            BlockClass::System => &self.cursors.system,
            BlockClass::Metadata | BlockClass::TreeLog => &self.cursors.metadata,
        };
        if cursor.load(Ordering::Relaxed) == NOWHERE {
            let first = groups
                .holding(near.get(), near.get().saturating_add(1))
                .map(|group| group.start().get());
            cursor.store(first.unwrap_or(0), Ordering::Relaxed);
        }
        if class == BlockClass::TreeLog && self.volume.is_zoned() {
            if let Some(start) = self.allocate_log_block(&groups, wish, from)? {
                return Ok(BlockAddress::new(self, Logical::new(start)));
            }
        }
        let mut found = self.search(&groups, class.class(), cursor, wish, from, |group| {
            !self.cursors.is_log(group.start())
        })?;
        if found.is_none() {
            found = self.search(&groups, class.class(), cursor, wish, from, |_| true)?;
        }
        match found {
            Some((start, _)) => Ok(BlockAddress::new(self, Logical::new(start))),
            None => {
                pr_err!("no space for a {} block\n", class.class());
                Err(ENOSPC)
            }
        }
    }

    /// A data extent of at most `wanted` bytes, as long as free space allows but not under `min`; both are rounded to
    /// sectors. Free becomes reserved, drawn from `from`. May take zones' active resources; reads no tree.
    ///
    /// `ENOSPC` when every free range is shorter than `min`; `EAGAIN` on sequential zones when a zone would have to be
    /// activated and no more may be: finish some of the writes under way, call [`Self::relieve_zones`], ask again.
    pub fn allocate_data(&self, from: &Reservation, wanted: u64, min: u64) -> Result<DataExtent> {
        let sector = self.sector_size;
        let min = round_up(min.max(sector), sector).ok_or(EINVAL)?;
        let wanted = round_up(wanted, sector).ok_or(EINVAL)?.max(min);
        let groups = self.groups.read();
        let cursor = &self.cursors.data;
        let mut asked = wanted;
        loop {
            let wish = Wish {
                wanted,
                min: asked,
                align: sector,
                cluster: 0,
            };
            if let Some((start, end)) =
                self.search(&groups, Class::Data, cursor, wish, from, |_| true)?
            {
                return Ok(DataExtent {
                    logical: Logical::new(start),
                    len: end.saturating_sub(start),
                });
            }
            if asked == min {
                break;
            }
            asked = round_up(asked / 4, sector).ok_or(EINVAL)?.max(min);
        }
        let waiting = groups.of(Class::Data).any(|group| {
            let body = group.lock();
            !body.active && body.tally.free() >= min
        });
        Err(if waiting { EAGAIN } else { ENOSPC })
    }

    /// Takes a given range, which a log tree refers to: idle becomes reserved. `EEXIST` if a part of it is in use.
    pub fn take(&self, addr: Logical, len: u64) -> Result {
        let group = self.group_holding(addr.get(), len)?;
        group.take_at(addr.get(), addr.get().saturating_add(len))
    }

    /// Tries the groups of a class, first the one of the last allocation.
    fn search(
        &self,
        groups: &Groups,
        class: Class,
        cursor: &AtomicU64,
        wish: Wish,
        from: &Reservation,
        accept: impl Fn(&Group) -> bool,
    ) -> Result<Option<(u64, u64)>> {
        let first = cursor.load(Ordering::Relaxed);
        for reach in [Reach::Active, Reach::All] {
            for group in groups.around(class, if first == NOWHERE { 0 } else { first }) {
                if !group.may_hold(wish.min) || !accept(group) || !self.reaches(group, reach)? {
                    continue;
                }
                if let Some(span) = group.allocate(wish, from)? {
                    cursor.store(group.start().get(), Ordering::Relaxed);
                    return Ok(Some(span));
                }
            }
        }
        Ok(None)
    }

    /// Whether a group can be written, and makes it so if `reach` allows. Metadata's zones are the write order's matter.
    fn reaches(&self, group: &Group, reach: Reach) -> Result<bool> {
        if group.class() != Class::Data {
            return Ok(reach == Reach::Active);
        }
        let mut body = group.lock();
        if body.active || reach == Reach::Active {
            return Ok(body.active);
        }
        body.active = self.volume.activate_zones(group.chunk())? == Activation::Active;
        Ok(body.active)
    }

    /// A block from the log trees' own group on sequential zones; `None` where there is no such group.
    fn allocate_log_block(
        &self,
        groups: &Groups,
        wish: Wish,
        from: &Reservation,
    ) -> Result<Option<u64>> {
        let current = self.cursors.log.load(Ordering::Relaxed);
        if let Some(group) = groups.holding(current, current.saturating_add(1)) {
            if let Some((start, _)) = group.allocate(wish, from)? {
                return Ok(Some(start));
            }
        }
        let in_use = self.cursors.metadata.load(Ordering::Relaxed);
        let fresh = |group: &&Arc<Group>| group.start().get() != in_use && is_fresh(&group.lock());
        let Some(group) = groups.of(Class::Metadata).find(fresh) else {
            self.cursors.log.store(NOWHERE, Ordering::Relaxed);
            return Ok(None);
        };
        self.cursors
            .log
            .store(group.start().get(), Ordering::Relaxed);
        Ok(group.allocate(wish, from)?.map(|(start, _)| start))
    }
}

/// Whether a group lies on sequential zones and nothing was allocated there since their reset.
fn is_fresh(body: &Body) -> bool {
    matches!(&body.free_space, FreeSpace::Append(appending) if appending.offset.get() == 0)
}
