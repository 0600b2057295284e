// SPDX-License-Identifier: GPL-2.0
//! The superblock: finding it, holding it in memory, writing it to all devices.
//!
//! | module      | what it has                                                               |
//! |-------------|---------------------------------------------------------------------------|
//! | `log`       | the copies on zoned devices: each is a log in a pair of zones              |
//! | `of_volume` | what is asked of the superblocks and done to them: [`Superblocks`]         |

mod log;
mod of_volume;

pub(super) use log::LogPlaces;
pub use of_volume::Superblocks;

use super::chunk::Chunk;
use super::device::{Device, ZoneGeometry};
use crate::disk::{
    Bytes, ChecksumKind, Checksums, DevItem, DeviceId, Physical, Site, Superblock, SuperblockBytes,
    SUPERBLOCK_PLACES, SUPERBLOCK_SIZE,
};
use crate::volume::zone_size::check_zone_size;
use crate::volume::Copies;
use latch::prelude::*;
use log::{Durability, Newest, SuperblockLog, Written};

/// How a device keeps superblock copies.
pub(super) enum Places {
    /// The copies are at [`SUPERBLOCK_PLACES`].
    Fixed,
    /// The copies are in pairs of zones.
    Log(KBox<SuperblockLog>),
}

impl Places {
    /// How a device keeps them, by what it is.
    pub(super) fn of(device: &dyn Device) -> Result<Self> {
        match device.zones() {
            None => Ok(Self::Fixed),
            Some(ZoneGeometry {
                zone_size, zones, ..
            }) => {
                let zone_size = check_zone_size(zone_size)?;
                let log = SuperblockLog::new(zone_size, zones);
                Ok(Self::Log(KBox::new(log, GFP_KERNEL)?))
            }
        }
    }

    /// Reads a copy's newest superblock.
    fn newest(&mut self, device: &dyn Device, copy: usize) -> Result<Newest> {
        match self {
            Self::Log(log) => log.newest(device, copy),
            Self::Fixed => {
                let place = SUPERBLOCK_PLACES.get(copy).copied();
                let fits = |place: &Physical| {
                    place.saturating_add(SUPERBLOCK_SIZE) <= Physical::after(device.size())
                };
                match place.filter(fits) {
                    Some(at) => Ok(Newest::alone(log::read(device, at)?)),
                    None => Ok(Newest::default()),
                }
            }
        }
    }

    /// Writes a copy, if there is a place for it. `limit`: bytes of the device that may be used.
    fn write(
        &mut self,
        device: &dyn Device,
        copy: usize,
        limit: Bytes,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<Written> {
        let log = match self {
            Self::Log(log) => log,
            Self::Fixed => {
                let place = SUPERBLOCK_PLACES.get(copy).copied();
                let fits = |place: &Physical| {
                    place.saturating_add(SUPERBLOCK_SIZE) < Physical::after(limit)
                };
                let Some(place) = place.filter(fits) else {
                    return Ok(Written::Nowhere);
                };
                durability.write(device, place, bytes)?;
                return Ok(Written::There);
            }
        };
        log.write(device, copy, limit, bytes, durability)
    }
}

/// Finds the newest good superblock of a device. `EINVAL` where it has no place for one.
#[inline(never)]
pub(super) fn find(
    device: &dyn Device,
    places: &mut Places,
    copies: Copies,
    checksums: &dyn Checksums,
) -> Result<KBox<InMemory>> {
    let count = match copies {
        Copies::Primary => 1,
        Copies::Any => SUPERBLOCK_PLACES.len(),
    };
    let mut best: Option<KBox<InMemory>> = None;
    let mut failure = EINVAL;
    for copy in 0..count {
        match read_copy(device, places, copy, checksums) {
            Ok(Some(found)) => {
                let newest = best.as_ref().map(|best| best.checked.generation);
                if newest.is_none_or(|newest| found.checked.generation > newest) {
                    best = Some(found);
                }
            }
            Ok(None) => {}
            Err(error) => {
                if copy == 0 {
                    failure = error;
                }
            }
        }
    }
    best.ok_or(failure)
}

/// Reads a copy. `None` where the device has none.
///
/// One whose write was completed may have been promised: nothing older is taken in its stead.
#[inline(never)]
fn read_copy(
    device: &dyn Device,
    places: &mut Places,
    copy: usize,
    checksums: &dyn Checksums,
) -> Result<Option<KBox<InMemory>>> {
    let Some(&name) = SUPERBLOCK_PLACES.get(copy) else {
        return Ok(None);
    };
    let Newest { superblock, rival } = places.newest(device, copy)?;
    let check = |bytes: &SuperblockBytes| {
        let checked = bytes.check(name, checksums);
        checked.map_err(|error| error.report(copy))
    };
    if let Some(rival) = rival {
        check(&rival)?;
    }
    let Some(bytes) = superblock else {
        return Ok(None);
    };
    let checked = check(&bytes)?;
    let device = bytes
        .device()
        .map_err(|flaw| flaw.at(Site::Superblock(name)).report())?;
    let mut devices = KVec::new();
    devices.push(device, GFP_KERNEL)?;
    let found = InMemory {
        bytes,
        checked,
        devices,
    };
    Ok(Some(KBox::new(found, GFP_KERNEL)?))
}

/// The superblock in memory.
pub(super) struct InMemory {
    pub(super) bytes: KBox<SuperblockBytes>,
    /// What the bytes said when they last made sense.
    pub(super) checked: Superblock,
    /// What the copies of each device say of that device, in the order of the volume's members.
    pub(super) devices: KVec<DevItem>,
}

/// Of the superblocks of some devices and of one more device that which is newer, with all those devices. They are of one file
/// system, and no device is among them twice.
pub(super) fn join(some: KBox<InMemory>, more: KBox<InMemory>) -> Result<KBox<InMemory>> {
    let mut devices = KVec::with_capacity(some.devices.len(), GFP_KERNEL)?;
    devices.extend_from_slice(&some.devices, GFP_KERNEL)?;
    for device in more.devices.iter() {
        if more.checked.fsid != some.checked.fsid {
            pr_err!("device {} is of another file system\n", device.devid);
            return Err(EINVAL);
        }
        if devices.iter().any(|known| known.devid == device.devid) {
            pr_err!("device {} was given twice\n", device.devid);
            return Err(EINVAL);
        }
    }
    devices.extend_from_slice(&more.devices, GFP_KERNEL)?;
    let mut newest = match more.checked.generation > some.checked.generation {
        true => more,
        false => some,
    };
    newest.devices = devices;
    Ok(newest)
}

impl InMemory {
    /// What the copies of a device say of it.
    pub(super) fn device(&self, devid: DeviceId) -> Option<&DevItem> {
        self.devices.iter().find(|device| device.devid == devid)
    }

    /// Changes how many bytes of a device are in chunks.
    pub(super) fn set_device_used(&mut self, devid: DeviceId, used: Bytes) {
        let mut devices = self.devices.iter_mut();
        if let Some(device) = devices.find(|device| device.devid == devid) {
            device.bytes_used = used;
        }
    }

    /// Changes what they say. What makes no sense is not written out later.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Superblock)) {
        let mut changed = self.checked;
        change(&mut changed);
        self.bytes.write(&changed);
        if let Ok(checked) = self.bytes.check_to_write() {
            self.checked = checked;
        }
    }

    /// How many more chunks like this one the list has room for.
    pub(super) fn room_for(&self, chunk: &Chunk) -> usize {
        let item = chunk.item(self.checked.sector_size);
        self.bytes.room_for_system_chunks(&item)
    }

    /// Appends a chunk to the list. `EFBIG` when there is no room.
    pub(super) fn add_chunk(&mut self, chunk: &Chunk) -> Result {
        let item = chunk.item(self.checked.sector_size);
        self.bytes.add_system_chunk(chunk.logical, &item)
    }
}

/// A superblock to be written: as it was when it was taken, whatever is changed in memory meanwhile.
#[must_use = "a commit without its superblock is none"]
pub struct SuperblockImage {
    bytes: KBox<SuperblockBytes>,
    /// The item of each device that its copies have, in the order of the volume's members.
    devices: KVec<DevItem>,
}

impl SuperblockImage {
    /// An image of nothing yet, with room for as many devices.
    pub(super) fn new(devices: usize) -> Result<Self> {
        Ok(Self {
            bytes: SuperblockBytes::new()?,
            devices: KVec::with_capacity(devices, GFP_NOFAIL)?,
        })
    }

    /// Takes what is in memory.
    pub(super) fn copy(&mut self, superblock: &InMemory) -> Result {
        let bytes = self.bytes.as_mut_bytes();
        bytes.copy_from_slice(superblock.bytes.as_bytes());
        Ok(self
            .devices
            .extend_from_slice(&superblock.devices, GFP_NOFAIL)?)
    }
}

/// Writes superblocks, one at a time.
pub(super) struct SuperblockWriter {
    /// How each device keeps its copies, in the order of the volume's members.
    pub(super) places: KVec<Places>,
}

impl SuperblockWriter {
    /// Writes a superblock to every device, each of which is flushed before it takes its own. The others have been flushed
    /// before the first gets one, which leads there.
    pub(super) fn write<'a>(
        &mut self,
        devices: impl Iterator<Item = &'a dyn Device>,
        mut image: SuperblockImage,
        checksums: &dyn Checksums,
    ) -> Result {
        let devices = devices.zip(image.devices.iter());
        for ((device, item), places) in devices.zip(self.places.iter_mut()) {
            image.bytes.set_device(item);
            write_all(device, places, &mut image.bytes, item, checksums)?;
        }
        Ok(())
    }
}

/// Writes all copies of a device: the primary durably, then the others. An error when the primary may not have arrived; the
/// others are a second chance that a mount does not need.
fn write_all(
    device: &dyn Device,
    places: &mut Places,
    bytes: &mut SuperblockBytes,
    item: &DevItem,
    checksums: &dyn Checksums,
) -> Result {
    let superblock = bytes.check_to_write().map_err(|error| {
        pr_crit!("a wrong superblock was about to be written\n");
        error.report(0)
    })?;
    let mut copies = CopyWriter {
        device,
        places,
        limit: item.total_bytes,
        kind: superblock.checksum,
        checksums,
    };
    copies.write(bytes, 0)?;
    for copy in 1..SUPERBLOCK_PLACES.len() {
        if let Err(error) = copies.write(bytes, copy) {
            let (devid, errno) = (item.devid, error.to_errno());
            pr_err!("device {devid}: superblock copy {copy} could not be written: {errno}\n");
        }
    }
    Ok(())
}

/// Writes the copies of one device.
struct CopyWriter<'a> {
    device: &'a dyn Device,
    places: &'a mut Places,
    /// Bytes of the device that may be used.
    limit: Bytes,
    kind: ChecksumKind,
    checksums: &'a dyn Checksums,
}

impl CopyWriter<'_> {
    fn write(&mut self, bytes: &mut SuperblockBytes, copy: usize) -> Result {
        let Some(&place) = SUPERBLOCK_PLACES.get(copy) else {
            return Ok(());
        };
        bytes.seal(place, self.kind, self.checksums);
        let durability = if copy == 0 {
            Durability::Now
        } else {
            Durability::Later
        };
        let bytes = bytes.as_bytes();
        let written = self
            .places
            .write(self.device, copy, self.limit, bytes, durability)?;
        match written {
            Written::There => Ok(()),
            // Only the primary is needed.
            Written::Nowhere if copy > 0 => Ok(()),
            Written::Nowhere => {
                pr_err!("device is too small for a superblock at {place}\n");
                Err(EIO)
            }
        }
    }
}
