// SPDX-License-Identifier: GPL-2.0
//! The superblock: finding it, holding it in memory, writing its copies.
//!
//! On zoned devices `log` finds and writes the copies: each is a log in a pair of zones.

mod log;

pub(super) use log::LogPlaces;

use crate::disk::{
    ChecksumKind, Checksums, Physical, Superblock, SuperblockBytes, SUPERBLOCK_PLACES,
    SUPERBLOCK_SIZE,
};
use crate::volume::chunk::Chunk;
use crate::volume::device::{Device, ZoneGeometry};
use crate::volume::zone_size::ZoneSize;
use crate::volume::Copies;
use latch::prelude::*;
use log::{Durability, Newest, SuperblockLog, Written};

/// How a device keeps superblock copies.
pub(super) enum Places {
    /// At [`SUPERBLOCK_PLACES`].
    Fixed,
    /// In pairs of zones.
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
                let zone_size = ZoneSize::new(zone_size).ok_or(EINVAL)?;
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
                let fits = |place: &u64| place.saturating_add(SUPERBLOCK_SIZE) <= device.size();
                match place.filter(fits).map(Physical::new) {
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
        limit: u64,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<Written> {
        let log = match self {
            Self::Log(log) => log,
            Self::Fixed => {
                let place = SUPERBLOCK_PLACES.get(copy).copied();
                let fits = |place: &u64| place.saturating_add(SUPERBLOCK_SIZE) < limit;
                let Some(place) = place.filter(fits).map(Physical::new) else {
                    return Ok(Written::Nowhere);
                };
                durability.write(device, place, bytes)?;
                return Ok(Written::There);
            }
        };
        log.write(device, copy, bytes, durability)
    }
}

/// Finds the newest good superblock of a device.
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
    Ok(Some(KBox::new(InMemory { bytes, checked }, GFP_KERNEL)?))
}

/// The superblock in memory.
pub(super) struct InMemory {
    pub(super) bytes: KBox<SuperblockBytes>,
    /// What the bytes said when they last made sense.
    pub(super) checked: Superblock,
}

impl InMemory {
    /// Changes what they say. What makes no sense is not written out later.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Superblock)) {
        let mut changed = self.checked;
        change(&mut changed);
        self.bytes.write(&changed);
        if let Ok(checked) = self.bytes.check_to_write() {
            self.checked = checked;
        }
    }

    /// Appends a chunk to the list. `EFBIG` when there is no room.
    pub(super) fn add_chunk(&mut self, chunk: &Chunk) -> Result {
        let item = chunk.item(self.checked.sector_size);
        self.bytes.add_system_chunk(chunk.logical, &item)
    }
}

/// A superblock to be written: as it was when it was taken, whatever is changed in memory meanwhile.
#[must_use = "a commit without its superblock is none"]
pub struct SuperblockImage(KBox<SuperblockBytes>);

impl SuperblockImage {
    /// Of nothing yet.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(SuperblockBytes::new()?))
    }

    pub(super) fn copy(&mut self, bytes: &SuperblockBytes) {
        self.0.as_mut_bytes().copy_from_slice(bytes.as_bytes());
    }
}

/// Writes superblocks, one at a time.
pub(super) struct Writer {
    pub(super) places: Places,
}

impl Writer {
    /// Writes a superblock: the primary durably, then the others. An error when the primary may not
    /// have arrived; the others are a second chance that a mount does not need.
    pub(super) fn write(
        &mut self,
        device: &dyn Device,
        mut image: SuperblockImage,
        checksums: &dyn Checksums,
    ) -> Result {
        let bytes = &mut *image.0;
        let superblock = bytes.check_to_write().map_err(|error| {
            pr_crit!("a wrong superblock was about to be written\n");
            error.report(0)
        })?;
        let (kind, limit) = (superblock.checksum, superblock.device.total_bytes);
        self.write_copy(device, bytes, 0, limit, kind, checksums)?;
        for copy in 1..SUPERBLOCK_PLACES.len() {
            if let Err(error) = self.write_copy(device, bytes, copy, limit, kind, checksums) {
                let errno = error.to_errno();
                pr_err!("superblock copy {} could not be written: {}\n", copy, errno);
            }
        }
        Ok(())
    }

    fn write_copy(
        &mut self,
        device: &dyn Device,
        bytes: &mut SuperblockBytes,
        copy: usize,
        limit: u64,
        kind: ChecksumKind,
        checksums: &dyn Checksums,
    ) -> Result {
        let Some(&place) = SUPERBLOCK_PLACES.get(copy) else {
            return Ok(());
        };
        bytes.seal(place, kind, checksums);
        let durability = if copy == 0 {
            Durability::Now
        } else {
            Durability::Later
        };
        let written = self
            .places
            .write(device, copy, limit, bytes.as_bytes(), durability)?;
        match written {
            Written::There => Ok(()),
            // Only the primary is needed.
            Written::Nowhere if copy > 0 => Ok(()),
            Written::Nowhere => Err(EIO),
        }
    }
}
