// SPDX-License-Identifier: GPL-2.0
//! What the engine asks of a block device.

use crate::disk::{Bytes, Physical};
use latch::prelude::*;

/// The smallest unit of device IO here, in bytes. Offsets and lengths are multiples of it.
pub const SECTOR: Bytes = Bytes::new(4096);

/// What a zone takes and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneKind {
    /// Takes writes anywhere.
    Conventional,
    /// Takes writes at its write pointer alone.
    Sequential,
}

/// The state of a sequential zone, as far as it matters for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneCondition {
    /// Nothing written since the last reset.
    Empty,
    /// Open or closed: holds one of the device's active resources.
    Active,
    /// Full or finished: takes nothing until reset.
    Full,
    /// Read-only or offline: broken.
    Unusable,
}

/// A zone as the device reports it. All numbers are bytes.
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    /// Where the zone starts.
    pub start: Physical,
    /// How far it is from this zone's start to the next zone's.
    pub len: Bytes,
    /// What it can hold: at most `len`.
    pub capacity: Bytes,
    /// Where the next write goes. It has no meaning for conventional and full zones.
    pub write_pointer: Physical,
    /// Conventional or sequential.
    pub kind: ZoneKind,
    /// Empty, active, full or broken.
    pub condition: ZoneCondition,
}

/// The zones of a device, for the whole device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneGeometry {
    /// Bytes from one zone's start to the next; a power of two.
    pub zone_size: Bytes,
    /// How many zones there are.
    pub zones: u64,
    /// How many zones may be active at once; `None` is no limit. The lower of the device's open and active limits.
    pub max_active: Option<u32>,
    /// The longest zone append, in bytes.
    pub max_append: Bytes,
}

/// What a sequential zone is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneAction {
    /// Forget the contents; the write pointer returns to the start.
    Reset,
    /// Take no more writes; gives its active resource back.
    Finish,
    /// Take an active resource now.
    Open,
}

/// A write that was begun. It has ended when it was waited for, which dropping it does, too: whoever has the place next is never
/// written over.
pub trait BegunWrite {
    /// Waits until it is complete, and tells what came of it; durable only after [`Device::flush`].
    fn wait(&self) -> Result;
}

/// A block device.
///
/// All calls may sleep, and all but [`Self::begin_write`] are synchronous. What users read and write does not go through here: the
/// kernel edge submits its own bios from the mappings that [`super::Volume`] gives. This trait serves superblocks, mount, the zones,
/// the free space cache, and data that moves from one zone to another.
pub trait Device: Send + Sync {
    /// Bytes on the device.
    fn size(&self) -> Bytes;

    /// The device's zones, or `None` for a device without.
    fn zones(&self) -> Option<ZoneGeometry>;

    /// Whether the device, or the way it was opened, refuses writes.
    fn is_read_only(&self) -> bool;

    /// Reads `buf.len()` bytes at `at`.
    fn read(&self, at: Physical, buf: &mut [u8]) -> Result;

    /// Writes `buf` at `at`; durable only after [`Self::flush`]. Where a zone's write pointer is at no multiple of
    /// [`SECTOR`] for the device's blocks are smaller, this may go from there to such a multiple.
    fn write(&self, at: Physical, buf: &[u8]) -> Result;

    /// Begins to write `buf`, of which it keeps a copy, at `at`, which is in no sequential zone. What is begun and not waited for
    /// completes in any order. `ENOMEM`.
    fn begin_write(&self, at: Physical, buf: &[u8]) -> Result<KBox<dyn BegunWrite + '_>>;

    /// Writes `buf`, of no more than [`ZoneGeometry::max_append`], where the write pointer of the sequential zone is that starts
    /// at `zone`; tells where that was.
    fn append(&self, zone: Physical, buf: &[u8]) -> Result<Physical>;

    /// Writes `buf` at `at` with a flush before and forced unit access: durable on return, and so is all that
    /// had completed before the call.
    fn write_durable(&self, at: Physical, buf: &[u8]) -> Result;

    /// Makes all completed writes durable.
    fn flush(&self) -> Result;

    /// Tells the device that a range is unused. A hint: errors are the caller's to ignore.
    fn discard(&self, at: Physical, len: Bytes) -> Result;

    /// Reports `count` zones from the one that starts at `first`, in order. `EOPNOTSUPP` without zones.
    fn report_zones(
        &self,
        first: Physical,
        count: u64,
        each: &mut dyn FnMut(Zone) -> Result,
    ) -> Result;

    /// Changes the state of the sequential zone that starts at `start`.
    fn manage_zone(&self, start: Physical, action: ZoneAction) -> Result;
}
