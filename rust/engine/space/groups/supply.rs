// SPDX-License-Identifier: GPL-2.0
//! When to add a chunk and when to remove one. The trees of chunks and devices are txn's; the groups are ours.

use super::group::{Allocation, Group};
use super::items::Items;
use super::load::{self, new_body};
use crate::btree::Allocate;
use crate::disk::{BlockGroupFlags, Logical, ZoneOffset, DEVICE_RESERVED};
use crate::space::reserve::Growth;
use crate::space::{Class, Space};
use crate::volume::Chunk;
use kernel::sync::Arc;
use latch::prelude::*;

/// Devices with less than this left, for one copy, are full.
const SMALLEST_CHUNK: u64 = 1 << 20;
/// The largest data chunk (C: `BTRFS_MAX_DATA_CHUNK_SIZE` is 10 GiB; mkfs and C allocate 1 GiB on usual volumes).
const DATA_CHUNK: u64 = 1 << 30;
/// Where superblock logs are on zoned volumes, two zones each (C: `BTRFS_SB_LOG_*_OFFSET`).
const LOG_PLACES: [u64; 3] = [0, 512 << 30, 4096 << 30];
/// Free bytes for the chunk tree below which it gets a chunk.
const SYSTEM_MARGIN: u64 = 1 << 20;
/// Free bytes for metadata, beyond what is needed at worst, below which it gets a chunk.
const METADATA_MARGIN: u64 = 16 << 20;

/// An empty group on its way out: nothing is allocated from it any more. Dropped, it is usable again.
///
/// txn removes the DEV_EXTENTs and the chunk item and calls [`Removal::delete_items`] in the same transaction; when
/// that is durable the zones are reset ([`crate::volume::Volume::reset_zones`]) and the chunk leaves the map.
pub struct Removal {
    space: Arc<Space>,
    group: Arc<Group>,
    fate: Fate,
}

/// What becomes of a group when its [`Removal`] is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Reopens,
    Gone,
}

impl Removal {
    /// The group's, and the chunk's, address.
    pub fn start(&self) -> Logical {
        self.group.start()
    }

    /// The chunk.
    pub fn chunk(&self) -> &Arc<Chunk> {
        self.group.chunk()
    }

    /// Deletes the group's items: the group is gone. No tree block lock is held. After an error the transaction must
    /// be aborted.
    pub fn delete_items(mut self, txn: &dyn Allocate) -> Result {
        self.space.write_order.remove(self.group.start())?;
        self.fate = Fate::Gone;
        let (space, group) = (&self.space, &self.group);
        let start = group.start().get();
        space.groups.write().remove(start);
        space.writeouts.lock().forget(start);
        group.space_info().subtract(&group.lock().tally);
        space.cursors.forget_log(group.start());
        let mut items = group.items.lock();
        items.remove(txn, &space.block_groups, &space.free_space)?;
        space.refresh_growth();
        Ok(())
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if self.fate == Fate::Gone {
            return;
        }
        let mut body = self.group.lock();
        if self.group.open(&mut body).is_ok() {
            self.group.publish(&body);
        }
    }
}

impl Space {
    /// The class that should get a chunk now, before anyone runs short; `None` also when the devices are full. Asked
    /// by txn at each start of a handle and between batches of delayed references. Memory only.
    pub fn chunk_wanted(&self) -> Option<Class> {
        let system = *self.space_infos.get(Class::System).lock();
        if system.growth.next_chunk > 0
            && system.tally.free() < SYSTEM_MARGIN.min(system.tally.total / 2)
        {
            return Some(Class::System);
        }
        let metadata = *self.space_infos.get(Class::Metadata).lock();
        (metadata.growth.next_chunk > 0 && metadata.is_low(METADATA_MARGIN))
            .then_some(Class::Metadata)
    }

    /// Type and profile for a new chunk: those of the newest group of the class.
    pub fn new_chunk_flags(&self, class: Class) -> u64 {
        self.profile(class).get()
    }

    /// The same, typed.
    pub(in crate::space) fn profile(&self, class: Class) -> BlockGroupFlags {
        let newest = self
            .groups
            .read()
            .of(class)
            .last()
            .map(|group| group.chunk().flags);
        newest.unwrap_or(match class {
            Class::Data => BlockGroupFlags::DATA,
            Class::Metadata => BlockGroupFlags::METADATA.with(BlockGroupFlags::DUP),
            Class::System => BlockGroupFlags::SYSTEM.with(BlockGroupFlags::DUP),
        })
    }

    /// The device ranges of removed chunks can be used again: their transaction is durable.
    pub fn ranges_freed(&self) {
        self.refresh_growth();
    }

    /// The volume found no place for a chunk of this class ([`crate::volume::Volume::plan_chunk`] was `ENOSPC`): do not
    /// count on one until [`Self::ranges_freed`].
    pub fn chunk_refused(&self, class: Class) {
        let space_info = self.space_infos.get(class);
        space_info.set_growth(Growth::default());
    }

    /// A chunk was added to the volume's map: makes its block group, usable at once, and inserts its items. `start` is
    /// the chunk's address. No tree block lock is held. After an error the transaction must be aborted.
    pub fn add_group(&self, txn: &dyn Allocate, start: Logical) -> Result {
        let group = self.new_group(start)?;
        // Held from before others can find the group until its items exist: they could be asked to change them.
        let items = group.items.lock();
        self.publish(&group)?;
        self.refresh_growth();
        items.insert(txn, &self.block_groups, &self.free_space)
    }

    /// The group of a new chunk, all of it free. In a frame of its own: it is large.
    #[inline(never)]
    fn new_group(&self, start: Logical) -> Result<Arc<Group>> {
        let chunk = self.volume.chunk(start)?;
        let class = load::class_of(&chunk)?;
        let (first, end) = (
            chunk.logical.get(),
            chunk.logical.saturating_add(chunk.len).get(),
        );
        let zones = match self.volume.is_zoned() {
            true => Some(
                self.volume
                    .load_group_zones(&chunk, &mut || Ok(ZoneOffset::new(0)))?,
            ),
            false => None,
        };
        let mut body = new_body(
            &self.volume,
            &chunk,
            zones,
            class,
            0,
            self.granularity_of(class),
        )?;
        load::fill(&mut body, first, end)?;
        load::exclude_superblocks(&self.volume, &chunk, &mut body)?;
        let free_space = self.free_space.new_group(first, end);
        let items = Items::new(first, chunk.len, chunk.flags, 0, free_space);
        let group = Group::new(
            chunk,
            class,
            self.space_infos.get(class).clone(),
            body,
            items,
        )?;
        Ok(Arc::new(group, GFP_NOFAIL)?)
    }

    /// Makes a group known to all.
    pub(in crate::space) fn publish(&self, group: &Arc<Group>) -> Result {
        let tally = group.lock().tally;
        load::join_write_order(&self.write_order, group)?;
        self.groups.write().insert(group.clone())?;
        group.space_info().add(&tally);
        Ok(())
    }

    /// An empty group that is worth removing, never the last of its class; it is closed from now on.
    pub fn next_unused(self: &Arc<Self>) -> Option<Removal> {
        for class in [Class::Data, Class::Metadata] {
            let candidates = self.groups.read().count(class);
            if candidates < 2 {
                continue;
            }
            let mut from = 0;
            while let Some(group) = self.next_in(class, from) {
                from = group.start().get().saturating_add(1);
                if self.write_order.is_quiet(group.start()) && self.close_if_unused(&group) {
                    return Some(Removal {
                        space: self.clone(),
                        group,
                        fate: Fate::Reopens,
                    });
                }
            }
        }
        None
    }

    /// The first group of a class at or behind `from`.
    pub(in crate::space) fn next_in(&self, class: Class, from: u64) -> Option<Arc<Group>> {
        let groups = self.groups.read();
        let found = groups
            .around(class, from)
            .next()
            .filter(|group| group.start().get() >= from)
            .cloned();
        found
    }

    fn close_if_unused(&self, group: &Group) -> bool {
        let mut body = group.lock();
        let tally = body.tally;
        let empty = tally.used == 0 && tally.reserved == 0 && tally.pinned == 0;
        if !empty || body.allocation == Allocation::Closed {
            return false;
        }
        let spare = group.space_info().lock().can_spare(&tally);
        spare && group.close(&mut body).is_ok()
    }

    /// Bytes in which a class is allocated.
    pub(in crate::space) fn granularity_of(&self, class: Class) -> u64 {
        match class {
            Class::Data => self.sector_size,
            Class::Metadata | Class::System => self.node_size,
        }
    }

    /// Recounts what the devices could still add to each class.
    pub(in crate::space) fn refresh_growth(&self) {
        let taken = self.groups.read().iter().fold(0u64, |sum, group| {
            sum.saturating_add(device_bytes(group.chunk()))
        });
        let total = self.volume.total_bytes();
        let left = total
            .saturating_sub(taken)
            .saturating_sub(self.never_in_chunks(total));
        let zone_size = self.volume.zone_size();
        let step = zone_size.unwrap_or(SMALLEST_CHUNK).max(1);
        for class in Class::ALL {
            let bytes = left
                .checked_div(copies_of(self.profile(class)))
                .unwrap_or(0);
            let chunks = bytes.checked_div(step).unwrap_or(0);
            let bytes = chunks.saturating_mul(self.capacity_of(class, step));
            let growth = Growth {
                bytes,
                next_chunk: bytes.min(DATA_CHUNK),
                data_chunk: zone_size.unwrap_or(DATA_CHUNK.min(total / 10)),
            };
            self.space_infos.get(class).set_growth(growth);
        }
    }

    /// Bytes of the devices that chunks never take: for superblocks.
    fn never_in_chunks(&self, total: u64) -> u64 {
        let devices = u64::try_from(self.volume.devices()).unwrap_or(0);
        match self.volume.zone_size() {
            None => DEVICE_RESERVED.saturating_mul(devices),
            Some(zone_size) => {
                let logs = LOG_PLACES.iter().filter(|&&place| place < total).count();
                u64::try_from(logs)
                    .unwrap_or(0)
                    .saturating_mul(zone_size.saturating_mul(2))
            }
        }
    }

    /// What a chunk of `len` bytes can hold: less, if sequential zones hold less than they are long.
    pub(in crate::space) fn capacity_of(&self, class: Class, len: u64) -> u64 {
        let capacity = self.volume.zone_capacity().unwrap_or(len).min(len);
        let rest = capacity
            .checked_rem(self.granularity_of(class))
            .unwrap_or(0);
        capacity.saturating_sub(rest)
    }
}

/// Bytes that a chunk takes on its devices.
fn device_bytes(chunk: &Chunk) -> u64 {
    chunk
        .len
        .saturating_mul(u64::try_from(chunk.stripes.len()).unwrap_or(1))
}

/// How many copies a profile keeps.
pub(in crate::space) fn copies_of(flags: BlockGroupFlags) -> u64 {
    let two = BlockGroupFlags::DUP
        .with(BlockGroupFlags::RAID1)
        .with(BlockGroupFlags::RAID10);
    if flags.intersects(BlockGroupFlags::RAID1C4) {
        4
    } else if flags.intersects(BlockGroupFlags::RAID1C3) {
        3
    } else if flags.intersects(two) {
        2
    } else {
        1
    }
}
