// SPDX-License-Identifier: GPL-2.0
//! L2: devices, the chunk map, superblock copies and zones.
//!
//! A [`Volume`] is a set of devices under one logical address space. It finds and writes superblocks, knows which
//! chunk holds a logical address and where on the devices that chunk lies, plans new chunks, and on zoned volumes
//! keeps what is known of every zone and the budget of active ones. It reads no trees: the transaction layer feeds it
//! the chunks. It moves no bulk data either: callers submit IO for the places that [`Volume::map`] names.
//!
//! | file             | what it has                                                                     |
//! |------------------|----------------------------------------------------------------------------------|
//! | `device`         | what is asked of a block device                                                   |
//! | `open`           | from devices to a volume                                                          |
//! | `superblock`     | finding, holding and writing superblocks                                          |
//! | `superblock_log` | where they are on zoned devices                                                   |
//! | `chunk`          | chunks and the map of them                                                        |
//! | `allocate`       | where new chunks go                                                               |
//! | `hal/`           | what regular and zoned volumes do differently                                     |
//!
//! Lock order, outermost first: superblock writer, superblock, chunk map, zones. The writer's alone is held over IO.
//! Design: `Documentation/volume.md`.

mod allocate;
mod chunk;
pub mod device;
mod hal;
mod open;
mod superblock;
mod superblock_log;
mod zone_size;

pub use allocate::DeviceRange;
pub use chunk::{Chunk, Mapping, Place, Stripe, MAX_COPIES};
pub use superblock::SuperblockImage;

use crate::disk::raw::RawSuperblock;
use crate::disk::{
    BlockGroupFlags, Checksums, Format, Logical, Physical, Superblock, Uuid, ZoneOffset,
    STRIPE_LEN, SUPERBLOCK_PLACES,
};
use crate::map::insert_in_order;
use chunk::ChunkMap;
use core::sync::atomic::{AtomicBool, Ordering};
use device::Device;
use hal::Hal;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, RwLock};
use superblock::{InMemory, Reach, Writer};

/// Whether the volume may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is written.
    ReadOnly,
    /// Everything may be, once [`Volume::begin_writing`] was called: for a read-only mount that may be remounted.
    Deferred,
    /// Everything may be.
    ReadWrite,
}

/// Whether the devices may be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::volume) enum Writes {
    /// Not by this volume.
    Never,
    /// From [`Volume::begin_writing`] on.
    Later,
    /// Yes.
    Now,
}

/// Which superblock copies `open` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// The first alone, as every mount does.
    Primary,
    /// All of them; the newest good one is taken (`rescue=`).
    Any,
}

/// How to open a volume.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Asked for; the device or a feature can still make it read-only: see [`Volume::access`].
    pub access: Access,
    /// Which superblocks to look at.
    pub copies: Copies,
}

/// What is known of the zones below a block group when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupZones {
    /// At least one of the zones is sequential.
    pub sequential: bool,
    /// Bytes that can be allocated; the rest of the group's length is unusable.
    pub capacity: u64,
    /// Where the next allocation goes, from the group's start: the write pointer, or what the trees say on
    /// conventional zones.
    pub alloc_offset: ZoneOffset,
    /// The zones hold active resources (or need none).
    pub active: bool,
}

/// Whether a block group's zones could be made active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// They are active now.
    Active,
    /// The device has no more active zones to give: finish another group first.
    NoBudget,
}

/// A device as a part of the volume.
struct Member {
    device: Arc<dyn Device>,
    devid: u64,
    uuid: Uuid,
    hal: KBox<dyn Hal>,
}

/// A set of devices under one logical address space. Today the set has one.
pub struct Volume {
    member: Member,
    format: Format,
    checksums: Arc<dyn Checksums>,
    access: Access,
    /// [`Access::Deferred`] has become [`Access::ReadWrite`].
    begun: AtomicBool,
    writer: Mutex<Writer>,
    superblock: Mutex<KBox<InMemory>>,
    chunks: RwLock<ChunkMap>,
}

impl Volume {
    /// The constants of the file system, for the gate.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The checksum algorithms.
    pub fn checksums(&self) -> &dyn Checksums {
        &*self.checksums
    }

    /// Whether the volume may be changed: as asked for, unless the device or an unknown compat_ro feature forbids.
    ///
    /// [`Access::Deferred`] is told as [`Access::ReadWrite`]: all is read that a writer needs.
    pub fn access(&self) -> Access {
        match self.access {
            Access::ReadOnly => Access::ReadOnly,
            Access::Deferred | Access::ReadWrite => Access::ReadWrite,
        }
    }

    /// Does what was deferred at open, and allows writes; whether this call was the first to. Calls are serialised by
    /// the caller. `EROFS`.
    pub fn begin_writing(&self) -> Result<bool> {
        match self.writes() {
            Writes::Never => return Err(EROFS),
            Writes::Now => return Ok(false),
            Writes::Later => {}
        }
        let mut next = self.chunk_from(Logical::new(0));
        while let Some(chunk) = next {
            self.member.hal.begin_writing(&chunk, self.unit(&chunk))?;
            next = self.chunk_from(chunk.end());
        }
        self.begun.store(true, Ordering::Release);
        Ok(true)
    }

    fn writes(&self) -> Writes {
        match self.access {
            Access::ReadOnly => Writes::Never,
            Access::Deferred if !self.begun.load(Ordering::Acquire) => Writes::Later,
            Access::Deferred | Access::ReadWrite => Writes::Now,
        }
    }

    /// The device with this index (see [`Place`]).
    pub fn device(&self, index: usize) -> Option<&Arc<dyn Device>> {
        (index == 0).then_some(&self.member.device)
    }

    /// How many devices there are.
    pub fn devices(&self) -> usize {
        1
    }

    /// Bytes of all devices that may be used (C: `total_rw_bytes`).
    pub fn total_bytes(&self) -> u64 {
        self.superblock().device.total_bytes
    }

    fn index_of(&self, devid: u64) -> Option<usize> {
        (devid == self.member.devid).then_some(0)
    }
}

/// The superblock.
impl Volume {
    /// What the superblock in memory says.
    pub fn superblock(&self) -> Superblock {
        self.superblock.lock().checked
    }

    /// Reads members of the superblock in memory that [`Superblock`] leaves out (label, backups, system chunks).
    pub fn with_superblock<R>(&self, read: impl FnOnce(&RawSuperblock) -> R) -> R {
        read(&self.superblock.lock().raw)
    }

    /// Changes the superblock in memory. It goes out with the next [`Self::take_superblock`].
    pub fn update_superblock<R>(&self, change: impl FnOnce(&mut RawSuperblock) -> R) -> R {
        let mut superblock = self.superblock.lock();
        let result = change(&mut superblock.raw);
        superblock.refresh();
        result
    }

    /// The superblock in memory as it is now, to be written later.
    pub fn take_superblock(&self) -> Result<SuperblockImage> {
        let mut image = SuperblockImage::new()?;
        image.copy(&self.superblock.lock().raw);
        Ok(image)
    }

    /// Writes a superblock to all its places.
    ///
    /// All metadata it leads to must have been written (not necessarily flushed): the primary goes out with a flush
    /// before it and is durable on return. An error means that it may not be. Other copies that fail are logged.
    pub fn write_superblocks(&self, image: SuperblockImage) -> Result {
        self.write(image, Reach::All)
    }

    /// As [`Self::write_superblocks`], but the first copy alone: for the sync of a log tree.
    pub fn write_primary_superblock(&self, image: SuperblockImage) -> Result {
        self.write(image, Reach::Primary)
    }

    fn write(&self, image: SuperblockImage, reach: Reach) -> Result {
        if self.writes() != Writes::Now {
            return Err(EROFS);
        }
        let mut writer = self.writer.lock();
        writer.write(&*self.member.device, image, reach, &*self.checksums)
    }

    /// Adds a system chunk to the superblock in memory (C: `btrfs_add_system_chunk`). `EFBIG` when there is no room.
    pub fn add_system_chunk(&self, chunk: &Chunk) -> Result {
        self.superblock.lock().add_chunk(chunk)
    }

    /// Takes one out. `ENOENT`.
    pub fn remove_system_chunk(&self, logical: Logical) -> Result {
        self.superblock.lock().remove_chunk(logical)
    }
}

/// The chunk map.
impl Volume {
    /// Maps a chunk that the chunk tree has. The one there already from the superblock must be the same.
    pub fn add_chunk(&self, chunk: Chunk) -> Result<Arc<Chunk>> {
        self.check_chunk(&chunk)?;
        let chunk = self.chunks.write().insert(chunk)?;
        self.member.hal.claim(&chunk)?;
        Ok(chunk)
    }

    /// Only whole copies on this device can be mapped.
    fn check_chunk(&self, chunk: &Chunk) -> Result {
        let start = chunk.logical.get();
        let Some(copies) = allocate::copies_per_device(chunk.flags) else {
            pr_err!(
                "chunk {}: profile {} is not supported\n",
                start,
                chunk.flags.profile()
            );
            return Err(EOPNOTSUPP);
        };
        if u64::try_from(chunk.stripes.len())? != copies {
            pr_err!(
                "chunk {} has {} stripes, not {}\n",
                start,
                chunk.stripes.len(),
                copies
            );
            return Err(EUCLEAN);
        }
        for stripe in chunk.stripes.iter() {
            let end = stripe.at.checked_add(chunk.len).ok_or(EUCLEAN)?;
            let ours = stripe.devid == self.member.devid && stripe.dev_uuid == self.member.uuid;
            if !ours || end.get() > self.member.device.size() {
                let (devid, end) = (stripe.devid, end.get());
                pr_err!(
                    "chunk {} lies on device {} up to {}: not there\n",
                    start,
                    devid,
                    end
                );
                return Err(EUCLEAN);
            }
        }
        Ok(())
    }

    /// Forgets a chunk.
    pub fn remove_chunk(&self, logical: Logical) -> Option<Arc<Chunk>> {
        self.chunks.write().remove(logical)
    }

    /// The chunk that holds an address. `EUCLEAN` with a line in the log where none does.
    pub fn chunk(&self, addr: Logical) -> Result<Arc<Chunk>> {
        let chunk = self.chunks.read().find(addr).cloned();
        chunk.ok_or_else(|| no_chunk(addr))
    }

    /// The first chunk that starts at or behind an address: for walking all of them.
    pub fn chunk_from(&self, addr: Logical) -> Option<Arc<Chunk>> {
        self.chunks.read().from(addr).cloned()
    }

    /// Where `len` bytes at `addr` lie. `EUCLEAN` where no chunk has them.
    pub fn map(&self, addr: Logical, len: u64) -> Result<Mapping> {
        let mapping = self
            .chunks
            .read()
            .map(addr, len, |devid| self.index_of(devid));
        mapping.ok_or_else(|| no_chunk(addr))
    }

    /// The ranges of a chunk under superblock copies: never allocated (C: `exclude_super_stripes`). They ascend and
    /// do not overlap.
    pub fn superblock_ranges(&self, chunk: &Chunk) -> Result<KVec<(Logical, u64)>> {
        let mut ranges: KVec<(Logical, u64)> = KVec::new();
        // An old mkfs made chunks there.
        let [first, ..] = SUPERBLOCK_PLACES;
        if let Some(len) = first
            .checked_sub(chunk.logical.get())
            .filter(|&len| len > 0)
        {
            insert_in_order(&mut ranges, (chunk.logical, len.min(chunk.len)))?;
        }
        for &place in self.member.hal.superblock_places() {
            for stripe in chunk.stripes.iter() {
                let Some(offset) = Physical::new(place).checked_since(stripe.at) else {
                    continue;
                };
                if let Some(rest) = chunk.len.checked_sub(offset).filter(|&rest| rest > 0) {
                    let start = chunk.logical.saturating_add(offset);
                    insert_in_order(&mut ranges, (start, rest.min(STRIPE_LEN)))?;
                }
            }
        }
        let mut apart = KVec::new();
        let mut end = chunk.logical;
        for &(start, len) in ranges.iter() {
            let start = start.max(end);
            end = start.saturating_add(len).max(end);
            if let Some(len) = end.checked_since(start).filter(|&len| len > 0) {
                apart.push((start, len), GFP_KERNEL)?;
            }
        }
        Ok(apart)
    }

    /// Plans a chunk: where, and how long. Changes nothing; on zoned volumes it takes only empty zones.
    ///
    /// The caller serialises planning and what follows (chunk mutex), then writes CHUNK_ITEM, DEV_EXTENTs, DEV_ITEM
    /// and the block group, and calls [`Self::add_chunk`]. `used`: all DEV_EXTENTs of the device with this index,
    /// ascending. `ENOSPC` when nothing large enough is free.
    pub fn plan_chunk(
        &self,
        flags: BlockGroupFlags,
        device: usize,
        used: &[DeviceRange],
    ) -> Result<Chunk> {
        if device != 0 {
            return Err(ENODEV);
        }
        let copies = allocate::copies_per_device(flags).ok_or(EOPNOTSUPP)?;
        let DeviceRange { start, len } = self.member.hal.plan(flags, used)?;
        let logical = self.chunks.read().end();
        logical.checked_add(len).ok_or(ENOSPC)?;
        let mut stripes = KVec::new();
        for copy in 0..copies {
            let at = start.saturating_add(copy.saturating_mul(len));
            let Member { devid, uuid, .. } = self.member;
            stripes.push(
                Stripe {
                    devid,
                    at,
                    dev_uuid: uuid,
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Chunk {
            logical,
            len,
            flags,
            stripes,
        })
    }
}

/// Zones.
impl Volume {
    /// Whether the volume is zoned (by its feature; the device may be a regular one, then zones are emulated).
    pub fn is_zoned(&self) -> bool {
        self.format.incompat.contains(crate::disk::Incompat::ZONED)
    }

    /// Bytes in a zone; `None` on regular volumes, and on emulated zones until they are set.
    pub fn zone_size(&self) -> Option<u64> {
        self.member.hal.zone_size()
    }

    /// The longest data write, in bytes: an ordered extent of a zoned volume fits a zone append.
    pub fn max_extent_len(&self) -> u64 {
        self.member.hal.max_extent_len()
    }

    /// Zoned flag on a device without zones: sets the size of the zones to emulate, from the first DEV_EXTENT's
    /// length. Called once, after the device tree can be read and before block groups are loaded.
    pub fn set_emulated_zone_size(&self, size: u64) -> Result {
        self.member.hal.set_emulated_zone_size(size)?;
        // Chunks that were added before could not be compared with zones.
        let mut next = self.chunk_from(Logical::new(0));
        while let Some(chunk) = next {
            self.member.hal.claim(&chunk)?;
            next = self.chunk_from(chunk.end());
        }
        Ok(())
    }

    /// What the zones below a chunk say. `last_allocated` tells the end of the highest extent in the group, from the
    /// group's start, and is only called when a zone is conventional.
    ///
    /// Zones whose copies differ in length after a power cut are evened out first, if the volume may be changed; with
    /// [`Access::Deferred`] the answer is as if they were, and [`Self::begin_writing`] does it.
    pub fn load_group_zones(
        &self,
        chunk: &Chunk,
        last_allocated: &mut dyn FnMut() -> Result<ZoneOffset>,
    ) -> Result<GroupZones> {
        self.member
            .hal
            .load(chunk, self.unit(chunk), self.writes(), last_allocated)
    }

    /// What is allocated in a chunk is a multiple of this, in bytes.
    fn unit(&self, chunk: &Chunk) -> u64 {
        match chunk.flags.contains(BlockGroupFlags::DATA) {
            true => device::SECTOR,
            false => u64::from(self.format().node_size),
        }
    }

    /// Takes active resources for a group's zones. Regular volumes: always active.
    pub fn activate_zones(&self, chunk: &Chunk) -> Result<Activation> {
        Ok(self.member.hal.activate(chunk))
    }

    /// Whether [`Self::activate_zones`] would succeed for a new group of this kind.
    pub fn can_activate(&self, flags: BlockGroupFlags) -> bool {
        self.member.hal.can_activate(flags)
    }

    /// Finishes a group's zones and gives their active resources back. All writes to them have completed.
    pub fn finish_zones(&self, chunk: &Chunk) -> Result {
        self.member.hal.finish(chunk)
    }

    /// A group was written to its last byte: its zones are full and their resources free without a command.
    pub fn zones_filled(&self, chunk: &Chunk) {
        self.member.hal.filled(chunk);
    }

    /// Resets a group's zones: all contents are gone. The chunk's removal must be durable.
    pub fn reset_zones(&self, chunk: &Chunk) -> Result {
        self.member.hal.reset(chunk)
    }

    /// Resets zones that hold something and belong to no chunk: a power cut came between a chunk's removal and the
    /// reset. For mount, read-write, with the superblock's own roots. `used`: as for [`Self::plan_chunk`]. How many
    /// there were.
    pub fn reset_stray_zones(&self, used: &[DeviceRange]) -> Result<u64> {
        if self.writes() != Writes::Now {
            return Ok(0);
        }
        self.member.hal.reset_stray(used)
    }

    /// Whether all zones of a group are sequential (zone append works).
    pub fn is_sequential(&self, chunk: &Chunk) -> bool {
        self.member.hal.is_sequential(chunk)
    }
}

#[cold]
fn no_chunk(addr: Logical) -> Error {
    pr_err!("no chunk has address {}\n", addr.get());
    EUCLEAN
}
