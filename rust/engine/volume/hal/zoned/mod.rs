// SPDX-License-Identifier: GPL-2.0
//! Zoned volumes: a chunk's copies are whole zones, written from their start to their end.
//!
//! | module   | what it has                                                |
//! |----------|------------------------------------------------------------|
//! | `states` | what is known of every zone, and the budget of active ones |
//! | `place`  | which zones a new chunk can have                           |
//! | `group`  | a block group's state, from those of its zones             |
//! | `load`   | loading a block group, and evening out its copies          |
//!
//! On a device without zones (the feature is set, the device is a file or an ordinary disk) conventional zones of the
//! size that the chunks have are emulated.

mod group;
mod load;
mod place;
mod states;

use super::{Hal, SIZED};
use crate::disk::{
    BlockGroupFlags, Bug, Bytes, DevItem, DeviceId, Flaw, Logical, Physical, Site, Stripe,
    ZoneOffset, DEVICE_RESERVED, MAX_EXTENT_SIZE,
};
use crate::volume::allocate::Plan;
use crate::volume::device::{Device, ZoneAction, ZoneGeometry, SECTOR};
use crate::volume::profile::{copies_of, Profile};
use crate::volume::superblock::LogPlaces;
use crate::volume::zone_size::{check_zone_size, ZoneSize};
use crate::volume::{Activation, Chunk, DeviceRange, GroupZones, Writes};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};
use place::{covers_superblock, kept_from_chunks};
use states::{InUse, States, ZoneState};

/// Whoever needs zones comes after a mount has read them, or has said how large those are that it emulates.
const UNKNOWN: Bug = Bug::new("zones are used before they are known");

/// A device of a zoned volume.
pub(in crate::volume) struct Zoned {
    device: Arc<dyn Device>,
    devid: DeviceId,
    geometry: Option<ZoneGeometry>,
    /// Bytes that may be used.
    total_bytes: Bytes,
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
    /// Active zones of groups.
    in_use: InUse,
    /// What is to be done before anything is written.
    postponed: KVec<(Logical, Postponed)>,
}

/// What loading a group left for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Postponed {
    /// Evening out its zones.
    EvenOut,
    /// The zones are being finished.
    Finish,
}

impl Zoned {
    /// Reads the state of all zones.
    pub(in crate::volume) fn new(device: Arc<dyn Device>, item: &DevItem) -> Result<Self> {
        let geometry = device.zones();
        let zones = match &geometry {
            None => None,
            Some(geometry) => {
                let zone_size = check_zone_size(geometry.zone_size)?;
                let places = LogPlaces::new(zone_size, geometry.zones);
                let is_log = |number| places.contains(number);
                Some(States::report(
                    &*device,
                    item.devid,
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
            in_use: InUse::default(),
            postponed: KVec::new(),
        };
        Ok(Self {
            device,
            devid: item.devid,
            geometry,
            total_bytes: item.total_bytes,
            zone_size: AtomicU64::new(geometry.map_or(0, |geometry| geometry.zone_size.get())),
            state: Mutex::new(state, Rank::Zones)?,
        })
    }

    fn size(&self) -> Option<ZoneSize> {
        ZoneSize::new(Bytes::new(self.zone_size.load(Ordering::Acquire)))
    }

    /// Runs with the states of the zones, once they are known.
    fn with_zones<R>(&self, run: impl FnOnce(&mut State, ZoneSize) -> Result<R>) -> Result<R> {
        let zone_size = self.size().ok_or(UNKNOWN)?;
        run(&mut self.state.lock(), zone_size)
    }

    /// The stripes of a chunk that are zones of this device.
    fn stripes<'a>(&self, chunk: &'a Chunk) -> impl Iterator<Item = &'a Stripe> + Clone {
        chunk.stripes_on(self.devid)
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

    /// Runs a command on every sequential zone of a chunk, which holds no active resources after it. `EIO` where one takes
    /// none any more; the others do.
    fn manage(&self, chunk: &Chunk, action: ZoneAction) -> Result {
        let mut managed = Ok(());
        for stripe in self.stripes(chunk) {
            if !self.zone_is(stripe.at, |zone| zone.sequential) {
                continue;
            }
            if self.zone_is(stripe.at, |zone| zone.unusable) {
                managed = Err(EIO);
                continue;
            }
            self.device.manage_zone(stripe.at, action)?;
            let mut state = self.state.lock();
            state.deactivate(chunk.flags, stripe.at);
            if let (ZoneAction::Reset, Some(zones)) = (action, &mut state.zones) {
                zones.emptied(stripe.at);
            }
        }
        managed
    }

    /// Gives the active resources of a chunk's zones back.
    fn deactivate(&self, chunk: &Chunk) {
        let mut state = self.state.lock();
        for stripe in self.stripes(chunk) {
            state.deactivate(chunk.flags, stripe.at);
        }
    }
}

impl State {
    /// Gives the active resources of a zone of such a chunk back.
    fn deactivate(&mut self, flags: BlockGroupFlags, at: Physical) {
        let Some(zones) = &mut self.zones else {
            return;
        };
        if zones.at(at).is_some_and(|zone| zone.active) {
            self.in_use.remove_one(flags);
        }
        zones.deactivate(at);
    }
}

impl Hal for Zoned {
    fn rewrites_in_place(&self) -> bool {
        false
    }

    fn writes_in_order(&self) -> bool {
        true
    }

    fn reuses_by_reset(&self) -> bool {
        true
    }

    // Emulated zones can be written anywhere, and as many at a time as one likes.
    fn frees_whole_groups(&self) -> bool {
        self.geometry.is_some()
    }

    fn fills_begun_groups(&self) -> bool {
        self.geometry.is_some()
    }

    fn zone_size(&self) -> Option<Bytes> {
        self.size().map(ZoneSize::get)
    }

    fn zone_capacity(&self) -> Option<Bytes> {
        self.state.lock().zones.as_ref()?.capacity()
    }

    fn lacks_zone_size(&self) -> bool {
        self.size().is_none()
    }

    fn set_emulated_zone_size(&self, size: Bytes) -> Result {
        if self.geometry.is_some() {
            return Err(SIZED.report());
        }
        let zone_size = check_zone_size(size)?;
        self.state.lock().zones = Some(States::emulated(zone_size, self.device.size())?);
        self.zone_size.store(size.get(), Ordering::Release);
        Ok(())
    }

    fn max_extent_len(&self) -> Bytes {
        let append = self
            .geometry
            .map_or(MAX_EXTENT_SIZE, |geometry| geometry.max_append);
        append.min(MAX_EXTENT_SIZE).round_down(SECTOR)
    }

    fn never_in_chunks(&self) -> Bytes {
        let zones = self.with_zones(|state, zone_size| {
            let zones = state.zones.as_ref().ok_or(UNKNOWN)?;
            let kept = kept_from_chunks(zones, zone_size, self.total_bytes);
            Ok(zone_size.start(kept))
        });
        zones.unwrap_or(DEVICE_RESERVED).before()
    }

    fn superblock_places(&self) -> &'static [Physical] {
        // Chunks keep away from them altogether.
        &[]
    }

    fn claim(&self, chunk: &Chunk) -> Result {
        let Some(zone_size) = self.size() else {
            return Ok(());
        };
        let mut state = self.state.lock();
        let state = &mut *state;
        let zones = state.zones.as_mut().ok_or(UNKNOWN)?;
        let places = LogPlaces::new(zone_size, zones.count());
        for stripe in self.stripes(chunk) {
            let number = zone_size.number(stripe.at);
            let aligned = zone_size.is_start(stripe.at) && chunk.len == zone_size.get();
            if !aligned || places.contains(number) || zones.number(number).is_none() {
                let (at, size) = (stripe.at.get(), zone_size.get().get());
                let flaw = Flaw::new("stripe is not one zone for chunks", at, size);
                return Err(flaw.at(Site::Chunk(chunk.logical)).report());
            }
            // Such a device has its superblocks in the places that one without zones has them in.
            if self.geometry.is_none() && covers_superblock(number, zone_size) {
                let (at, size) = (stripe.at.get(), zone_size.get().get());
                let flaw = Flaw::new("zone of a chunk has a superblock copy", at, size);
                return Err(flaw.at(Site::Chunk(chunk.logical)).report());
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

    fn plan(&self, flags: BlockGroupFlags, used: &[DeviceRange]) -> Result<Plan> {
        let copies = Profile::of(flags).ok_or(EOPNOTSUPP)?.copies();
        let len = self.zone_size().ok_or(UNKNOWN)?;
        let starts = self.find_zones(used, copies)?;
        Ok(Plan { starts, len })
    }

    fn load(
        &self,
        chunk: &Chunk,
        unit: Bytes,
        writes: Writes,
        last_allocated: &mut dyn FnMut() -> Result<ZoneOffset>,
    ) -> Result<GroupZones> {
        self.load_group(chunk, unit, writes, last_allocated)
    }

    fn begin_writing(&self, chunk: &Chunk, unit: Bytes) -> Result {
        self.catch_up(chunk, unit)
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
        let idle = self.stripes(chunk).filter(|stripe| idle(zones, stripe.at));
        let needed = idle.fold(0u64, |count, _| count.saturating_add(1));
        if !zones.can_activate(chunk.flags, needed, &state.in_use) {
            return Activation::NoBudget;
        }
        for stripe in self.stripes(chunk) {
            zones.activate(stripe.at);
        }
        state.in_use.add(chunk.flags, needed);
        Activation::Active
    }

    fn can_activate(&self, flags: BlockGroupFlags) -> bool {
        let state = self.state.lock();
        let copies = copies_of(flags);
        let zones = state.zones.as_ref();
        zones.is_some_and(|zones| zones.can_activate(flags, copies, &state.in_use))
    }

    fn has_spare(&self, chunk: &Chunk) -> bool {
        let state = self.state.lock();
        let copies = copies_of(chunk.flags);
        let zones = state.zones.as_ref();
        zones.is_some_and(|zones| zones.has_spare(copies))
    }

    fn owes(&self, chunk: &Chunk) -> bool {
        let state = self.state.lock();
        let copies = copies_of(chunk.flags);
        let zones = state.zones.as_ref();
        zones.is_some_and(|zones| zones.is_reserved_for(copies, &state.in_use))
    }

    fn check_active(&self) -> Result {
        let limit = self.geometry.and_then(|geometry| geometry.max_active);
        let Some(limit) = limit else {
            return Ok(());
        };
        let needed = self.with_zones(|state, _| {
            let zones = state.zones.as_ref().ok_or(UNKNOWN)?;
            Ok(zones.needed())
        })?;
        if u64::from(limit) < needed {
            pr_err!(
                "device {} lets {} zones be active, to write takes {}\n",
                self.devid,
                limit,
                needed
            );
            return Err(EINVAL);
        }
        Ok(())
    }

    fn finish(&self, chunk: &Chunk) -> Result {
        self.manage(chunk, ZoneAction::Finish)
    }

    fn filled(&self, chunk: &Chunk) {
        self.deactivate(chunk);
    }

    fn reset(&self, chunk: &Chunk) -> Result {
        self.manage(chunk, ZoneAction::Reset)
    }

    fn reset_stray(&self, used: &mut dyn FnMut() -> Result<KVVec<DeviceRange>>) -> Result<u64> {
        self.reset_all_stray(&used()?)
    }

    fn is_ordered(&self, chunk: &Chunk) -> bool {
        let mut stripes = self.stripes(chunk);
        stripes.any(|stripe| self.zone_is(stripe.at, |zone| zone.sequential))
    }

    fn is_sequential(&self, chunk: &Chunk) -> bool {
        let mut stripes = self.stripes(chunk);
        stripes.all(|stripe| self.zone_is(stripe.at, |zone| zone.sequential))
    }
}
