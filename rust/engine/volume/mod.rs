// SPDX-License-Identifier: GPL-2.0
//! L2: devices, the chunk map, superblock copies and zones.
//!
//! A [`Volume`] is a set of devices under one logical address space. It finds and writes superblocks, knows which
//! chunk holds a logical address and where on the devices that chunk lies, plans new chunks, and on zoned volumes
//! keeps what is known of every zone and the budget of active ones. It reads no trees: the transaction layer feeds it
//! the chunks. It moves no bulk data either: callers submit IO for the places that [`Volume::map`] names.
//!
//! Lock order, outermost first: superblock, chunk map, zones. None is held while another layer is called.
//! Design: `Documentation/volume.md`.

pub mod device;

use crate::disk::raw::RawSuperblock;
use crate::disk::{
    BlockGroupFlags, Checksums, Format, Logical, Physical, Superblock, Uuid, ZoneOffset,
};
use device::Device;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Whether the volume may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is written.
    ReadOnly,
    /// Everything may be.
    ReadWrite,
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

/// A place on a device of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The device's index in the volume.
    pub device: usize,
    /// The address there.
    pub at: Physical,
}

/// Where a logical range lies.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// Bytes from the address on that lie in one piece, at most what was asked for.
    pub len: u64,
    copies: [Place; MAX_COPIES],
    count: usize,
}

/// The most copies that a profile has.
pub const MAX_COPIES: usize = 4;

impl Mapping {
    /// Where each copy is. Reads take any, writes go to all. Never empty.
    pub fn copies(&self) -> &[Place] {
        self.copies.get(..self.count).unwrap_or(&[])
    }
}

/// A chunk: a range of the logical space and where it lies.
#[derive(Debug)]
pub struct Chunk {
    /// Its address.
    pub logical: Logical,
    /// Its bytes, in the logical space.
    pub len: u64,
    /// What it holds and how.
    pub flags: BlockGroupFlags,
    /// Where each stripe begins. Two for DUP.
    pub stripes: KVec<Stripe>,
}

/// Where a copy or part of a chunk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripe {
    /// The device, by the format's number.
    pub devid: u64,
    /// Where on it.
    pub at: Physical,
    /// The device's UUID.
    pub dev_uuid: Uuid,
}

/// A range of a device that a chunk uses, as DEV_EXTENT items have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceRange {
    /// The first byte.
    pub start: Physical,
    /// Bytes.
    pub len: u64,
}

/// What is known of the zones below a block group when it is loaded (zoned volumes).
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

/// A set of devices under one logical address space.
pub struct Volume {
    _private: (),
}

// Until the bodies come: nobody gets a volume from `open`, so no other call is made.
#[allow(unused_variables, clippy::empty_loop)]
impl Volume {
    /// Finds the newest valid superblock, checks it, and maps the chunks it lists (those of the chunk tree).
    ///
    /// `EINVAL` where there is no btrfs, `EOPNOTSUPP` for features that are not supported, `EUCLEAN` for corruption,
    /// each with one line in the log.
    pub fn open(
        devices: KVec<Arc<dyn Device>>,
        checksums: Arc<dyn Checksums>,
        options: Options,
    ) -> Result<Arc<Volume>> {
        let _ = (devices, checksums, options);
        Err(EOPNOTSUPP)
    }

    /// The constants of the file system, for the gate.
    pub fn format(&self) -> &Format { loop {} }
    /// The checksum algorithms.
    pub fn checksums(&self) -> &dyn Checksums { loop {} }
    /// Whether the volume may be changed: as asked for, unless the device or an unknown compat_ro feature forbids.
    pub fn access(&self) -> Access { loop {} }
    /// The device with this index (see [`Place`]).
    pub fn device(&self, index: usize) -> Option<&Arc<dyn Device>> { loop {} }
    /// How many devices there are.
    pub fn devices(&self) -> usize { loop {} }
    /// Bytes of all devices that may be used (C: `total_rw_bytes`).
    pub fn total_bytes(&self) -> u64 { loop {} }

    // ---- superblock ----

    /// What the superblock in memory says.
    pub fn superblock(&self) -> Superblock { loop {} }
    /// Reads members of the superblock in memory that [`Superblock`] leaves out (label, backups, system chunks).
    pub fn with_superblock<R>(&self, read: impl FnOnce(&RawSuperblock) -> R) -> R { loop {} }
    /// Changes the superblock in memory. It goes out with the next [`Self::write_superblocks`].
    pub fn update_superblock<R>(&self, change: impl FnOnce(&mut RawSuperblock) -> R) -> R { loop {} }
    /// Writes the superblock in memory to all its places. All metadata it leads to must have been written (not
    /// necessarily flushed): the primary goes out with a flush before it and is durable on return. An error means
    /// that it may not be. Mirrors that fail are counted and logged, no error.
    pub fn write_superblocks(&self) -> Result { loop {} }
    /// Adds a system chunk to the superblock in memory (C: `btrfs_add_system_chunk`). `EFBIG` when there is no room.
    pub fn add_system_chunk(&self, chunk: &Chunk) -> Result { loop {} }
    /// Takes one out. `ENOENT`.
    pub fn remove_system_chunk(&self, logical: Logical) -> Result { loop {} }

    // ---- chunk map ----

    /// Maps a chunk that the chunk tree has. The one there already from the superblock must be the same.
    pub fn add_chunk(&self, chunk: Chunk) -> Result<Arc<Chunk>> { loop {} }
    /// Forgets a chunk.
    pub fn remove_chunk(&self, logical: Logical) -> Option<Arc<Chunk>> { loop {} }
    /// The chunk that holds an address. `EUCLEAN` with a line in the log where none does.
    pub fn chunk(&self, addr: Logical) -> Result<Arc<Chunk>> { loop {} }
    /// The first chunk at or behind an address: for walking all of them.
    pub fn chunk_from(&self, addr: Logical) -> Option<Arc<Chunk>> { loop {} }
    /// Where `len` bytes at `addr` lie. `EUCLEAN` where no chunk has them.
    pub fn map(&self, addr: Logical, len: u64) -> Result<Mapping> { loop {} }
    /// The ranges of a chunk under superblock copies: never allocated (C: `exclude_super_stripes`).
    pub fn superblock_ranges(&self, chunk: &Chunk) -> Result<KVec<(Logical, u64)>> { loop {} }

    // ---- new chunks ----

    /// Plans a chunk: where, and how long. Changes nothing; on zoned volumes it takes only empty zones. The caller
    /// serialises planning and what follows (chunk mutex), then writes CHUNK_ITEM, DEV_EXTENTs, DEV_ITEM and the block
    /// group, and calls [`Self::add_chunk`]. `used`: all DEV_EXTENTs of the device with this index, ascending.
    /// `ENOSPC` when nothing large enough is free.
    pub fn plan_chunk(&self, flags: BlockGroupFlags, device: usize, used: &[DeviceRange]) -> Result<Chunk> { loop {} }

    // ---- zones: all but the first three are for zoned volumes ----

    /// Whether the volume is zoned (by its feature; the device may be a regular one, then zones are emulated).
    pub fn is_zoned(&self) -> bool { loop {} }
    /// Bytes in a zone, or `None` on regular volumes.
    pub fn zone_size(&self) -> Option<u64> { loop {} }
    /// The longest data write, in bytes: an ordered extent of a zoned volume fits a zone append.
    pub fn max_extent_len(&self) -> u64 { loop {} }
    /// Zoned flag on a device without zones: sets the size of the zones to emulate, from the first DEV_EXTENT's
    /// length. Called once, after the device tree can be read and before block groups are loaded.
    pub fn set_emulated_zone_size(&self, size: u64) -> Result { loop {} }
    /// What the zones below a chunk say. `last_allocated` tells the end of the highest extent in the group, from the
    /// group's start, and is only called when a zone is conventional.
    pub fn load_group_zones(
        &self,
        chunk: &Chunk,
        last_allocated: &mut dyn FnMut() -> Result<ZoneOffset>,
    ) -> Result<GroupZones> { loop {} }
    /// Takes active resources for a group's zones. Regular volumes: always active.
    pub fn activate_zones(&self, chunk: &Chunk) -> Result<Activation> { loop {} }
    /// Whether [`Self::activate_zones`] would succeed for a new group of this kind.
    pub fn can_activate(&self, flags: BlockGroupFlags) -> bool { loop {} }
    /// Finishes a group's zones and gives their active resources back. All writes to them have completed.
    pub fn finish_zones(&self, chunk: &Chunk) -> Result { loop {} }
    /// A group was written to its last byte: its zones are full and their resources free without a command.
    pub fn zones_filled(&self, chunk: &Chunk) { loop {} }
    /// Resets a group's zones: all contents are gone.
    pub fn reset_zones(&self, chunk: &Chunk) -> Result { loop {} }
    /// Whether all zones of a group are sequential (zone append works).
    pub fn is_sequential(&self, chunk: &Chunk) -> bool { loop {} }
}
