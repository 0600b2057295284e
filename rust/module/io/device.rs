// SPDX-License-Identifier: GPL-2.0

//! A block device as the engine sees it: superblocks, mount, zones.

use crate::linux::block::{Condition, SentWrite, ZoneOperation, ZoneReport};
use crate::linux::{BlockDevice, FolioBytes, WriteUrgency};
use engine::disk::{Bytes, DeviceId, Physical};
use engine::volume::device::{
    BegunWrite, Device, Zone, ZoneAction, ZoneCondition, ZoneGeometry, ZoneKind,
};
use engine::volume::Volume;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// Bytes of one bounce buffer: four pages.
const BOUNCE: usize = 16384;
const BOUNCE_ORDER: u32 = 2;

/// Bytes of the pieces that an append is made of: as many as can be had in one piece of memory without trouble.
const PIECE: usize = 32768;
const PIECE_ORDER: u32 = 3;

/// The open devices of a volume, by their ids.
pub(crate) struct Devices(KVec<(DeviceId, Arc<BlockDevice>)>);

impl Devices {
    /// The devices that `volume` was opened with, in the same order.
    pub(crate) fn new(volume: &Volume, opened: &[Arc<BlockDevice>]) -> Result<Arc<Self>> {
        let mut devices = KVec::new();
        for (devid, device) in volume.device_ids().zip(opened) {
            devices.push((devid, device.clone()), GFP_KERNEL)?;
        }
        Ok(Arc::new(Self(devices), GFP_KERNEL)?)
    }

    /// The device with this id.
    pub(crate) fn get(&self, devid: DeviceId) -> Option<&Arc<BlockDevice>> {
        let found = self.0.iter().find(|(id, _)| *id == devid);
        found.map(|(_, device)| device)
    }
}

/// An open device.
pub(crate) struct Disk {
    device: Arc<BlockDevice>,
    /// What goes to the device or comes from it, for one task at a time: a superblock is written without memory.
    bounce: Mutex<FolioBytes>,
}

impl Disk {
    /// Takes the device.
    pub(crate) fn new(device: Arc<BlockDevice>) -> Result<Self> {
        let bounce = FolioBytes::alloc(BOUNCE_ORDER)?;
        Ok(Self {
            device,
            bounce: Mutex::new(bounce, Rank::Bounce)?,
        })
    }

    /// Reads by way of `room`, as much at a time as that has.
    fn read_through(&self, room: &mut FolioBytes, at: Physical, buf: &mut [u8]) -> Result {
        let mut pos = at;
        for piece in buf.chunks_mut(room.len().max(1)) {
            self.device.read(pos, room, piece.len().into())?;
            if let Some(read) = room.as_slice().get(..piece.len()) {
                piece.copy_from_slice(read);
            }
            pos = pos.saturating_add(piece.len().into());
        }
        Ok(())
    }

    /// Writes piece by piece, in order; every piece is complete before the next.
    fn write_pieces(&self, kind: WriteUrgency, at: Physical, buf: &[u8]) -> Result {
        let mut bounce = self.bounce.lock();
        let mut pos = at;
        for piece in buf.chunks(BOUNCE) {
            fill(&mut bounce, piece);
            self.device.write(kind, pos, &bounce, piece.len().into())?;
            pos = pos.saturating_add(piece.len().into());
        }
        Ok(())
    }
}

/// Copies `bytes` to the beginning of `room`, which is as long.
fn fill(room: &mut FolioBytes, bytes: &[u8]) {
    if let Some(room) = room.as_mut_slice().get_mut(..bytes.len()) {
        room.copy_from_slice(bytes);
    }
}

/// The pieces of a write that was begun.
struct SentPieces(KVec<SentWrite>);

impl BegunWrite for SentPieces {
    fn wait(&self) -> Result {
        let pieces = self.0.iter().map(SentWrite::wait);
        pieces.fold(Ok(()), Result::and)
    }
}

impl Device for Disk {
    fn size(&self) -> Bytes {
        self.device.size()
    }

    fn zones(&self) -> Option<ZoneGeometry> {
        if !self.device.is_zoned() {
            return None;
        }
        let (open, active) = self.device.zone_limits();
        let max_active = match (open, active) {
            (0, 0) => None,
            (0, limit) | (limit, 0) => Some(limit),
            (open, active) => Some(open.min(active)),
        };
        Some(ZoneGeometry {
            zone_size: self.device.zone_size(),
            zones: self.device.zone_count().into(),
            max_active,
            max_append: self.device.max_zone_append(Bytes::of_memory(PIECE)),
        })
    }

    fn is_read_only(&self) -> bool {
        self.device.is_read_only()
    }

    fn read(&self, at: Physical, buf: &mut [u8]) -> Result {
        // Who reads much does not keep others from their superblocks, if there is memory.
        if buf.len() > BOUNCE {
            if let Ok(mut room) = FolioBytes::alloc_at_once(PIECE_ORDER) {
                return self.read_through(&mut room, at, buf);
            }
        }
        self.read_through(&mut self.bounce.lock(), at, buf)
    }

    fn write(&self, at: Physical, buf: &[u8]) -> Result {
        self.write_pieces(WriteUrgency::Sync, at, buf)
    }

    fn begin_write(&self, at: Physical, buf: &[u8]) -> Result<KBox<dyn BegunWrite + '_>> {
        let mut sent = SentPieces(KVec::new());
        let mut pos = at;
        for piece in buf.chunks(BOUNCE) {
            let pages = piece.len().div_ceil(kernel::page::PAGE_SIZE);
            let pages = pages.checked_next_power_of_two().ok_or(ENOMEM)?;
            let mut bytes = FolioBytes::alloc(pages.trailing_zeros())?;
            fill(&mut bytes, piece);
            let device = &self.device;
            let write = device.begin_write(WriteUrgency::Sync, pos, bytes, piece.len().into())?;
            sent.0.push(write, GFP_KERNEL)?;
            pos = pos.saturating_add(piece.len().into());
        }
        Ok(KBox::new(sent, GFP_KERNEL)?)
    }

    fn append(&self, zone: Physical, buf: &[u8]) -> Result<Physical> {
        let mut pieces = KVec::new();
        for part in buf.chunks(PIECE) {
            let mut piece = FolioBytes::alloc(PIECE_ORDER)?;
            fill(&mut piece, part);
            pieces.push(piece, GFP_KERNEL)?;
        }
        self.device.append(zone, &pieces, buf.len().into())
    }

    fn write_durable(&self, at: Physical, buf: &[u8]) -> Result {
        self.write_pieces(WriteUrgency::Durable, at, buf)
    }

    fn flush(&self) -> Result {
        self.device.flush()
    }

    fn discard(&self, at: Physical, len: Bytes) -> Result {
        self.device.discard(at, len)
    }

    fn report_zones(
        &self,
        first: Physical,
        count: u64,
        each: &mut dyn FnMut(Zone) -> Result,
    ) -> Result {
        if !self.device.is_zoned() {
            return Err(EOPNOTSUPP);
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.device
            .report_zones(first, count, &mut |zone| each(zone_of(zone)))
    }

    fn manage_zone(&self, start: Physical, action: ZoneAction) -> Result {
        let operation = match action {
            ZoneAction::Reset => ZoneOperation::Reset,
            ZoneAction::Finish => ZoneOperation::Finish,
            ZoneAction::Open => ZoneOperation::Open,
        };
        self.device
            .manage_zone(operation, start, self.device.zone_size())
    }
}

fn zone_of(zone: &ZoneReport) -> Zone {
    Zone {
        start: zone.start,
        len: zone.len,
        capacity: zone.capacity,
        write_pointer: zone.write_pointer,
        kind: match zone.is_conventional {
            true => ZoneKind::Conventional,
            false => ZoneKind::Sequential,
        },
        condition: match zone.condition {
            Condition::Empty => ZoneCondition::Empty,
            Condition::Active => ZoneCondition::Active,
            Condition::Full => ZoneCondition::Full,
            Condition::Broken => ZoneCondition::Unusable,
        },
    }
}
