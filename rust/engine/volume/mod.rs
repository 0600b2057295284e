// SPDX-License-Identifier: GPL-2.0
//! Devices, the chunk map, superblock copies and zones.
//!
//! A [`Volume`] is a set of devices under one logical address space. It finds and writes superblocks, knows which
//! chunk holds a logical address and where on the devices that chunk lies, plans new chunks, and on zoned volumes
//! keeps what is known of every zone and the budget of active ones. It reads no trees: the transaction layer feeds it
//! the chunks. It moves no bulk data either: callers submit IO for the places that [`Volume::map`] names.
//!
//! | module        | what it has                                                                      |
//! |---------------|----------------------------------------------------------------------------------|
//! | `device`      | what is asked of a block device                                                   |
//! | `members`     | the devices of a volume, by their ids                                             |
//! | `open`        | from devices to a volume                                                          |
//! | `superblock/` | finding, holding and writing superblocks; where they are on zoned devices         |
//! | `chunk`       | a chunk, and where a range of it lies                                             |
//! | `profile`     | how a chunk's bytes are kept on devices                                           |
//! | `chunk_map`   | the map of chunks, and what the volume does with it                               |
//! | `data`        | file data where it is kept, and where new data goes: [`DataAccess`]               |
//! | `unused`      | what of the devices is in no chunk: [`Unused`]                                    |
//! | `allocate`    | where new chunks go                                                               |
//! | `writes`      | whether the volume may be written: states and transitions                         |
//! | `zones`       | what block groups and the mount ask of zones and do to them: [`ZoneManagement`]   |
//! | `rules`       | what a volume allows by its kind: [`Rules`]                                       |
//! | `zone_size`   | arithmetic with zones                                                             |
//! | `hal/`        | what regular and zoned volumes do differently                                     |
//!
//! Lock order: `SuperblockWriter` > `Superblock` > `ChunkMap` > `Zones`. The writer's alone is held over IO.
//! Design: `Documentation/volume.md`.

mod allocate;
mod chunk;
mod chunk_map;
mod data;
pub mod device;
mod hal;
mod members;
mod open;
mod profile;
mod rules;
mod superblock;
mod unused;
mod writes;
mod zone_size;
mod zones;

pub use crate::disk::Stripe;
pub use allocate::DeviceRange;
pub use chunk::{Chunk, ChunkMapping, DeviceAddress, MAX_COPIES};
pub use chunk_map::no_chunk;
pub use data::{DataAccess, WriteTarget};
pub use profile::copies_of;
pub use rules::Rules;
pub use superblock::{SuperblockImage, Superblocks};
pub use unused::Unused;
pub use writes::Writes;
pub use zones::ZoneManagement;

use crate::disk::{Bug, Bytes, Checksums, DeviceId, Format, Logical, Superblock, ZoneOffset};
use chunk_map::ChunkMap;
use device::Device;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, RwLock};
use members::Members;
use superblock::{InMemory, SuperblockWriter};

/// A mount opens all devices that its chunks and trees name.
pub const NO_DEVICE: Bug = Bug::new("a range is on a device that is not open");

/// A chunk without stripes passes no gate.
pub const NO_COPY: Bug = Bug::new("a mapped range has no copy");

/// Which superblock copies `open` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// The first alone, as every mount does.
    Primary,
    /// All copies are looked at; the newest good one is taken (`rescue=`).
    Any,
}

/// How to open a volume.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Asked for, of the first three; the device or a feature can still forbid it: see [`Volume::writes`].
    pub writes: Writes,
    /// Which superblocks to look at.
    pub copies: Copies,
}

/// What is known of the zones below a block group when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupZones {
    /// At least one of the zones is sequential.
    pub sequential: bool,
    /// Bytes that can be allocated; the rest of the group's length is unusable.
    pub capacity: Bytes,
    /// Where the next allocation goes, from the group's start: the write pointer, or what the trees say on
    /// conventional zones.
    pub alloc_offset: ZoneOffset,
    /// The zones hold active resources (or need none).
    pub active: bool,
    /// One of the zones takes no writes and no commands any more.
    pub unusable: bool,
}

impl GroupZones {
    /// What these zones and others say of the group that lies on both.
    fn with(self, others: Self) -> Self {
        Self {
            sequential: self.sequential || others.sequential,
            capacity: self.capacity.min(others.capacity),
            alloc_offset: self.alloc_offset.max(others.alloc_offset),
            active: self.active && others.active,
            unusable: self.unusable || others.unusable,
        }
    }
}

/// Whether a block group's zones could be made active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The zones are active now.
    Active,
    /// The device has no more active zones to give: finish another group first.
    NoBudget,
}

/// A set of devices under one logical address space.
pub struct Volume {
    members: Members,
    format: Format,
    checksums: Arc<dyn Checksums>,
    writes: writes::State,
    writer: Mutex<SuperblockWriter>,
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

    /// The device with this id (see [`DeviceAddress`]).
    pub fn device(&self, devid: DeviceId) -> Option<&Arc<dyn Device>> {
        self.members.find(devid).map(|member| &member.device)
    }

    /// How many devices there are.
    pub fn devices(&self) -> usize {
        self.members.iter().count()
    }

    /// The ids of all devices, in the order in which they were given to [`Self::open`].
    pub fn device_ids(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.members.iter().map(|member| member.devid)
    }

    /// What the superblock in memory says.
    pub fn superblock(&self) -> Superblock {
        self.superblock.lock().checked
    }
}
