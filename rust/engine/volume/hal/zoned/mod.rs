// SPDX-License-Identifier: GPL-2.0
//! Zoned volumes: a chunk's copies are whole zones, written from their start to their end.
//!
//! On a device without zones (the feature is set, the device is a file or an ordinary disk) conventional zones of the
//! size that the chunks have are emulated.

mod group;
mod states;

use super::super::allocate::{copies_per_device, Holes};
use super::super::device::{
    Device, Zone, ZoneAction, ZoneCondition, ZoneGeometry, ZoneKind, SECTOR,
};
use super::super::superblock_log::LogPlaces;
use super::super::zone_size::ZoneSize;
use super::super::{Access, Activation, Chunk, DeviceRange, GroupZones};
use super::Hal;
use crate::disk::{
    BlockGroupFlags, Physical, ZoneOffset, MAX_EXTENT_SIZE, SUPERBLOCK_PLACES, SUPERBLOCK_SIZE,
};
use core::sync::atomic::{AtomicU64, Ordering};
use group::{GroupLoad, Uneven};
use kernel::prelude::*;
use kernel::sync::Arc;
use latch::Mutex;
use states::{States, ZoneState};

/// Zones from 4 MiB to 8 GiB are known to exist (C: `BTRFS_MIN_ZONE_SIZE`, `BTRFS_MAX_ZONE_SIZE`).
const ZONE_SIZES: core::ops::RangeInclusive<u64> = 1 << 22..=1 << 33;

/// Bytes to copy at a time.
const COPY_UNIT: usize = 64 * 1024;

/// Tree blocks are aligned to their size, and none is larger.
const BLOCK_UNIT: u64 = 64 * 1024;

/// A device of a zoned volume.
pub(in super::super) struct Zoned {
    device: Arc<dyn Device>,
    geometry: Option<ZoneGeometry>,
    access: Access,
    /// Bytes that may be used.
    total_bytes: u64,
    /// Zero until an emulated size is known.
    zone_size: AtomicU64,
    state: Mutex<State>,
}

/// What the lock is for. Taken last, never held over IO.
struct State {
    zones: Option<States>,
    /// How metadata and system chunks are kept.
    metadata: BlockGroupFlags,
    system: BlockGroupFlags,
    /// Active zones of metadata and system groups.
    active_metadata: u64,
}

impl Zoned {
    /// Reads the state of all zones.
    pub(in super::super) fn new(
        device: Arc<dyn Device>,
        access: Access,
        total_bytes: u64,
    ) -> Result<Self> {
        let geometry = device.zones();
        let zones = match &geometry {
            None => None,
            Some(geometry) => {
                let zone_size = check_zone_size(geometry.zone_size)?;
                let places = LogPlaces::new(zone_size, geometry.zones);
                let is_log = |number| places.contains(number, 1);
                Some(States::report(
                    &*device,
                    geometry,
                    zone_size,
                    places.count(),
                    is_log,
                )?)
            }
        };
        let state = State {
            zones,
            metadata: BlockGroupFlags::NONE,
            system: BlockGroupFlags::NONE,
            active_metadata: 0,
        };
        Ok(Self {
            device,
            geometry,
            access,
            total_bytes,
            zone_size: AtomicU64::new(geometry.map_or(0, |geometry| geometry.zone_size)),
            state: Mutex::new(state, latch::class!("rbtrfs_zones"))?,
        })
    }

    fn size(&self) -> Option<ZoneSize> {
        ZoneSize::new(self.zone_size.load(Ordering::Acquire))
    }

    /// Runs with the states of the zones, once they are known.
    fn with_zones<R>(&self, run: impl FnOnce(&mut State, ZoneSize) -> Result<R>) -> Result<R> {
        let zone_size = self.size().ok_or(EINVAL)?;
        run(&mut self.state.lock(), zone_size)
    }

    /// Whether what is known of the zone at an address fits.
    fn zone_is(&self, at: Physical, fits: impl FnOnce(&ZoneState) -> bool) -> bool {
        let state = self.state.lock();
        state
            .zones
            .as_ref()
            .and_then(|zones| zones.at(at))
            .is_some_and(fits)
    }

    fn is_manageable(&self, at: Physical) -> bool {
        self.zone_is(at, |zone| zone.sequential && !zone.unusable)
    }

    /// Asks the device for one zone. A zone that is known to be empty is not asked for: with the queue frozen by
    /// another report that would wait for itself.
    fn zone(&self, at: Physical) -> Result<Zone> {
        let known = self.with_zones(|state, zone_size| {
            let zone = state
                .zones
                .as_ref()
                .and_then(|zones| zones.at(at))
                .ok_or(EUCLEAN)?;
            let (kind, condition) = match (zone.sequential, zone.empty) {
                (false, _) => (ZoneKind::Conventional, ZoneCondition::Active),
                (true, true) => (ZoneKind::Sequential, ZoneCondition::Empty),
                _ => return Ok(None),
            };
            let (len, capacity) = (zone_size.get(), zone.capacity());
            Ok(Some(Zone {
                start: at,
                len,
                capacity,
                write_pointer: at,
                kind,
                condition,
            }))
        })?;
        if let Some(zone) = known {
            return Ok(zone);
        }
        let mut found = None;
        self.device.report_zones(at, 1, &mut |zone| {
            found = Some(zone);
            Ok(())
        })?;
        found.filter(|zone| zone.start == at).ok_or(EIO)
    }

    /// The first run of `count` zones inside a hole that a chunk may use.
    fn find_zones(&self, hole: &DeviceRange, count: u64) -> Result<Option<Physical>> {
        self.with_zones(|state, zone_size| {
            let zones = state.zones.as_ref().ok_or(EINVAL)?;
            let first = zone_size.number_above(hole.start.get());
            let end = zone_size.number(hole.start.saturating_add(hole.len).get());
            let places = LogPlaces::new(zone_size, zones.count());
            let mut number = first;
            while number.saturating_add(count) <= end.min(zones.count()) {
                if !places.contains(number, count)
                    && !covers_superblock(number, count, zone_size)
                    && is_free_run(zones, number, count)
                {
                    return Ok(Some(Physical::new(zone_size.start(number))));
                }
                number = number.saturating_add(1);
            }
            Ok(None)
        })
    }

    /// What the zones of a chunk say now; the account of active ones follows.
    fn read_zones(&self, chunk: &Chunk) -> Result<GroupLoad> {
        let mut group = GroupLoad::default();
        for stripe in chunk.stripes.iter() {
            let zone = self.zone(stripe.at)?;
            group.add(&zone);
            self.with_zones(|state, _| {
                let zones = state.zones.as_mut().ok_or(EINVAL)?;
                match zone.condition {
                    ZoneCondition::Active => zones.activate(stripe.at),
                    _ => zones.deactivate(stripe.at),
                }
                Ok(())
            })?;
        }
        Ok(group)
    }

    /// The power was cut between the writes of two copies, or in the middle of a tree block: brings the shorter one up
    /// to the longer and fills both up to `goal`. What is copied belongs to no committed transaction (that waits for
    /// both), but without it the group could not be written on.
    fn even_out(&self, chunk: &Chunk, uneven: Uneven, goal: u64) -> Result {
        let (Some(from), Some(to)) = (
            chunk.stripes.get(uneven.longer),
            chunk.stripes.get(uneven.shorter),
        ) else {
            return Ok(());
        };
        let start = chunk.logical.get();
        let (least, most) = (uneven.least, uneven.most);
        pr_info!(
            "block group {}: copies written to {} and {}: evened out to {}\n",
            start,
            least,
            most,
            goal
        );
        let mut buffer = KVVec::from_elem(0u8, COPY_UNIT, GFP_KERNEL)?;
        let mut at = least;
        while at < most {
            let len = usize::try_from(most.saturating_sub(at))?.min(COPY_UNIT);
            let piece = buffer.get_mut(..len).ok_or(EINVAL)?;
            self.device.read(from.at.saturating_add(at), piece)?;
            self.device.write(to.at.saturating_add(at), piece)?;
            at = at.saturating_add(u64::try_from(len)?);
        }
        buffer.fill(0);
        let rest = usize::try_from(goal.saturating_sub(most))?;
        let rest = buffer.get(..rest).ok_or(EINVAL)?;
        for stripe in chunk.stripes.iter().filter(|_| !rest.is_empty()) {
            self.device.write(stripe.at.saturating_add(most), rest)?;
        }
        Ok(())
    }

    /// Runs a command on every sequential zone of a chunk, except those that take none any more.
    fn manage(&self, chunk: &Chunk, action: ZoneAction) -> Result {
        for stripe in chunk
            .stripes
            .iter()
            .filter(|stripe| self.is_manageable(stripe.at))
        {
            self.device.manage_zone(stripe.at, action)?;
        }
        Ok(())
    }

    /// Gives the active resources of a chunk's zones back.
    fn deactivate(&self, chunk: &Chunk) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(zones) = &mut state.zones else {
            return;
        };
        for stripe in chunk.stripes.iter() {
            let active = zones.at(stripe.at).is_some_and(|zone| zone.active);
            if active && !chunk.flags.contains(BlockGroupFlags::DATA) {
                state.active_metadata = state.active_metadata.saturating_sub(1);
            }
            zones.deactivate(stripe.at);
        }
    }
}

fn check_zone_size(size: u64) -> Result<ZoneSize> {
    let supported = ZoneSize::new(size).filter(|_| ZONE_SIZES.contains(&size));
    if supported.is_none() {
        pr_err!("zones of {} bytes are not supported\n", size);
    }
    supported.ok_or(EINVAL)
}

/// Whether one of the places of a device without zones is in a run of zones.
fn covers_superblock(number: u64, count: u64, zone_size: ZoneSize) -> bool {
    let start = zone_size.start(number);
    let end = zone_size.start(number.saturating_add(count));
    SUPERBLOCK_PLACES
        .iter()
        .any(|&place| place < end && start < place.saturating_add(SUPERBLOCK_SIZE))
}

/// Whether a run of zones is of one kind and can be written from its start.
fn is_free_run(zones: &States, number: u64, count: u64) -> bool {
    let Some(first) = zones.number(number) else {
        return false;
    };
    (number..number.saturating_add(count)).all(|number| {
        zones.number(number).is_some_and(|zone| {
            let fits = zone.sequential == first.sequential && !zone.unusable;
            fits && (!zone.sequential || zone.empty)
        })
    })
}

impl Hal for Zoned {
    fn zone_size(&self) -> Option<u64> {
        self.size().map(ZoneSize::get)
    }

    fn set_emulated_zone_size(&self, size: u64) -> Result {
        if self.geometry.is_some() {
            return Err(EINVAL);
        }
        let zone_size = check_zone_size(size)?;
        self.state.lock().zones = Some(States::emulated(zone_size, self.device.size())?);
        self.zone_size.store(size, Ordering::Release);
        Ok(())
    }

    fn max_extent_len(&self) -> u64 {
        let append = self
            .geometry
            .map_or(MAX_EXTENT_SIZE, |geometry| geometry.max_append);
        (append.min(MAX_EXTENT_SIZE) / SECTOR).saturating_mul(SECTOR)
    }

    fn superblock_places(&self) -> &'static [u64] {
        // Chunks keep away from them altogether.
        &[]
    }

    fn claim(&self, chunk: &Chunk) -> Result {
        let Some(zone_size) = self.size() else {
            return Ok(());
        };
        let mut state = self.state.lock();
        let state = &mut *state;
        let zones = state.zones.as_mut().ok_or(EINVAL)?;
        let places = LogPlaces::new(zone_size, zones.count());
        for stripe in chunk.stripes.iter() {
            let number = zone_size.number(stripe.at.get());
            let aligned = zone_size.is_start(stripe.at.get()) && chunk.len == zone_size.get();
            if !aligned || places.contains(number, 1) || zones.number(number).is_none() {
                let (start, at) = (chunk.logical.get(), stripe.at.get());
                pr_err!(
                    "chunk {} at {} of its device is not in one zone\n",
                    start,
                    at
                );
                return Err(EUCLEAN);
            }
            zones.claim(stripe.at);
        }
        // A profile of several copies stays in the account once it was seen.
        let kept = if chunk.flags.contains(BlockGroupFlags::METADATA) {
            &mut state.metadata
        } else if chunk.flags.contains(BlockGroupFlags::SYSTEM) {
            &mut state.system
        } else {
            return Ok(());
        };
        *kept = kept.with(chunk.flags.profile());
        zones.set_reserved(state.metadata, state.system);
        Ok(())
    }

    fn plan(&self, flags: BlockGroupFlags, used: &[DeviceRange]) -> Result<DeviceRange> {
        let copies = copies_per_device(flags).ok_or(EOPNOTSUPP)?;
        let len = self.zone_size().ok_or(EINVAL)?;
        for hole in Holes::new(used, 0, self.total_bytes) {
            if let Some(start) = self.find_zones(&hole, copies)? {
                return Ok(DeviceRange { start, len });
            }
        }
        Err(ENOSPC)
    }

    fn load(
        &self,
        chunk: &Chunk,
        last_allocated: &mut dyn FnMut() -> Result<ZoneOffset>,
    ) -> Result<GroupZones> {
        let mut group = self.read_zones(chunk)?;
        let unit = match chunk.flags.contains(BlockGroupFlags::DATA) {
            true => SECTOR,
            false => BLOCK_UNIT,
        };
        let uneven = group.uneven(unit);
        if let Some((uneven, goal)) = uneven.filter(|_| self.access == Access::ReadWrite) {
            self.even_out(chunk, uneven, goal)?;
            group = self.read_zones(chunk)?;
        }
        let loaded = group.settle(chunk, last_allocated)?;
        let unlimited =
            self.with_zones(|state, _| Ok(state.zones.as_ref().is_some_and(States::is_unlimited)))?;
        let has_room = loaded.alloc_offset.get() < loaded.capacity;
        let active = loaded.active || (unlimited && has_room);
        if group.active && !chunk.flags.contains(BlockGroupFlags::DATA) {
            self.with_zones(|state, _| {
                let count = u64::try_from(chunk.stripes.len())?;
                state.active_metadata = state.active_metadata.saturating_add(count);
                Ok(())
            })?;
        }
        if group.active && !loaded.active && self.access == Access::ReadWrite {
            // Nothing will be written there any more: give the resources back.
            if let Err(error) = self.finish(chunk) {
                let (start, errno) = (chunk.logical.get(), error.to_errno());
                pr_warn!(
                    "block group {}: its zones cannot be finished: {}\n",
                    start,
                    errno
                );
            }
        }
        Ok(GroupZones { active, ..loaded })
    }

    fn activate(&self, chunk: &Chunk) -> Activation {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(zones) = &mut state.zones else {
            return Activation::NoBudget;
        };
        let idle = |zones: &States, at| {
            zones
                .at(at)
                .is_some_and(|zone| zone.sequential && !zone.active)
        };
        let idle = chunk.stripes.iter().filter(|stripe| idle(zones, stripe.at));
        let needed = idle.fold(0u64, |count, _| count.saturating_add(1));
        if !zones.can_activate(chunk.flags, needed, state.active_metadata) {
            return Activation::NoBudget;
        }
        for stripe in chunk.stripes.iter() {
            zones.activate(stripe.at);
        }
        if !chunk.flags.contains(BlockGroupFlags::DATA) {
            state.active_metadata = state.active_metadata.saturating_add(needed);
        }
        Activation::Active
    }

    fn can_activate(&self, flags: BlockGroupFlags) -> bool {
        let state = self.state.lock();
        let copies = copies_per_device(flags).unwrap_or(1);
        let zones = state.zones.as_ref();
        zones.is_some_and(|zones| zones.can_activate(flags, copies, state.active_metadata))
    }

    fn finish(&self, chunk: &Chunk) -> Result {
        self.manage(chunk, ZoneAction::Finish)?;
        self.deactivate(chunk);
        Ok(())
    }

    fn filled(&self, chunk: &Chunk) {
        self.deactivate(chunk);
    }

    fn reset(&self, chunk: &Chunk) -> Result {
        self.manage(chunk, ZoneAction::Reset)?;
        self.deactivate(chunk);
        let mut state = self.state.lock();
        if let Some(zones) = &mut state.zones {
            for stripe in chunk.stripes.iter() {
                zones.emptied(stripe.at);
            }
        }
        Ok(())
    }

    fn reset_stray(&self, used: &[DeviceRange]) -> Result<u64> {
        let zone_size = self.size().ok_or(EINVAL)?;
        let mut count = 0u64;
        for hole in Holes::new(used, 0, self.total_bytes) {
            let end = zone_size.number(hole.start.saturating_add(hole.len).get());
            for number in zone_size.number_above(hole.start.get())..end {
                count = count.saturating_add(u64::from(self.reset_if_stray(number, zone_size)?));
            }
        }
        Ok(count)
    }

    fn is_sequential(&self, chunk: &Chunk) -> bool {
        !chunk.stripes.is_empty()
            && chunk
                .stripes
                .iter()
                .all(|stripe| self.zone_is(stripe.at, |zone| zone.sequential))
    }
}

impl Zoned {
    /// Resets a zone that no chunk uses; whether it had to be.
    fn reset_if_stray(&self, number: u64, zone_size: ZoneSize) -> Result<bool> {
        let at = Physical::new(zone_size.start(number));
        let stray = self.with_zones(|state, _| {
            let zones = state.zones.as_ref().ok_or(EINVAL)?;
            let places = LogPlaces::new(zone_size, zones.count());
            let written = zones
                .number(number)
                .is_some_and(|zone| zone.sequential && !zone.empty && !zone.unusable);
            Ok(written && !places.contains(number, 1))
        })?;
        if stray {
            self.device.manage_zone(at, ZoneAction::Reset)?;
            self.with_zones(|state, _| {
                if let Some(zones) = &mut state.zones {
                    zones.emptied(at);
                }
                Ok(())
            })?;
        }
        Ok(stray)
    }
}
