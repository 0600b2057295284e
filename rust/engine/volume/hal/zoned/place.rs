// SPDX-License-Identifier: GPL-2.0
//! Which zones a new chunk can have, and zones that nobody has.

use super::{States, ZoneState, Zoned, UNKNOWN};
use crate::disk::{Bytes, Physical, SUPERBLOCK_LOG_PLACES, SUPERBLOCK_PLACES, SUPERBLOCK_SIZE};
use crate::volume::allocate::Holes;
use crate::volume::device::ZoneAction;
use crate::volume::superblock::LogPlaces;
use crate::volume::zone_size::ZoneSize;
use crate::volume::{DeviceRange, MAX_COPIES};
use latch::prelude::*;

impl Zoned {
    /// The first `count` zones outside of the `used` ranges that a chunk may use: each copy has one of its own, wherever it is. They
    /// are of one kind. `ENOSPC`.
    pub(super) fn find_zones(&self, used: &[DeviceRange], count: u64) -> Result<KVec<Physical>> {
        // Nothing is allocated under the lock.
        let room = || KVec::with_capacity(MAX_COPIES, GFP_NOFAIL);
        let (mut sequential, mut conventional) = (room()?, room()?);
        self.with_zones(|state, zone_size| {
            let zones = state.zones.as_ref().ok_or(UNKNOWN)?;
            for (number, zone) in unused_zones(used, zone_size, self.total_bytes, zones) {
                let found = match zone.sequential {
                    true => &mut sequential,
                    false => &mut conventional,
                };
                found.push(zone_size.start(number), GFP_NOFAIL)?;
                if found.len() as u64 == count {
                    return Ok(core::mem::take(found));
                }
            }
            Err(ENOSPC)
        })
    }

    /// Does what [`crate::volume::ZoneManagement::reset_stray`] says.
    pub(super) fn reset_all_stray(&self, used: &[DeviceRange]) -> Result<u64> {
        let zone_size = self.size().ok_or(UNKNOWN)?;
        let mut count = 0u64;
        for number in zones_outside(used, zone_size, self.total_bytes) {
            if self.is_stray(number, zone_size)? {
                self.reset_stray_zone(number, zone_size)?;
                count = count.saturating_add(1);
            }
        }
        Ok(count)
    }

    /// Whether a zone holds something that no chunk has.
    fn is_stray(&self, number: u64, zone_size: ZoneSize) -> Result<bool> {
        self.with_zones(|state, _| {
            let zones = state.zones.as_ref().ok_or(UNKNOWN)?;
            let places = LogPlaces::new(zone_size, zones.count());
            let written = zones.number(number).is_some_and(|zone| {
                zone.sequential && !zone.empty && !zone.claimed && !zone.unusable
            });
            Ok(written && !places.contains(number))
        })
    }

    fn reset_stray_zone(&self, number: u64, zone_size: ZoneSize) -> Result {
        let at = zone_size.start(number);
        self.device.manage_zone(at, ZoneAction::Reset)?;
        self.with_zones(|state, _| {
            if let Some(zones) = &mut state.zones {
                zones.emptied(at);
            }
            Ok(())
        })
    }
}

/// The zones that lie outside of the `used` ranges as a whole, ascending.
fn zones_outside(
    used: &[DeviceRange],
    zone_size: ZoneSize,
    total_bytes: Bytes,
) -> impl Iterator<Item = u64> + '_ {
    let holes = Holes::new(used, Physical::new(0), Physical::after(total_bytes));
    holes.flat_map(move |hole| zone_size.number_above(hole.start)..zone_size.number(hole.end()))
}

/// Those of [`zones_outside`] that can be written from their start and have no superblock.
fn unused_zones<'a>(
    used: &'a [DeviceRange],
    zone_size: ZoneSize,
    total_bytes: Bytes,
    zones: &'a States,
) -> impl Iterator<Item = (u64, &'a ZoneState)> + 'a {
    let places = LogPlaces::new(zone_size, zones.count());
    let unused = zones_outside(used, zone_size, total_bytes)
        .filter(move |&number| !places.contains(number) && !covers_superblock(number, zone_size));
    unused
        .filter_map(|number| Some((number, zones.number(number)?)))
        .filter(|(_, zone)| is_free(zone))
}

/// How many of the zones in `total_bytes` no chunk gets: those of the logs, those with a superblock of a device without zones, and
/// those that take no writes and are in no chunk.
pub(super) fn kept_from_chunks(zones: &States, zone_size: ZoneSize, total_bytes: Bytes) -> u64 {
    let end = zone_size.number(Physical::after(total_bytes));
    let places = LogPlaces::new(zone_size, zones.count());
    let logs = SUPERBLOCK_LOG_PLACES.iter().flat_map(|&place| {
        let first = zone_size.number(place);
        [first, first.saturating_add(1)]
    });
    let (mut kept, mut last) = (zones.lost(), None);
    for number in logs.filter(|&number| number < end) {
        kept = kept.saturating_add(u64::from(places.contains(number)));
    }
    for &place in &SUPERBLOCK_PLACES {
        let number = zone_size.number(place);
        let is_one_more = number < end && !places.contains(number) && last != Some(number);
        kept = kept.saturating_add(u64::from(is_one_more));
        last = Some(number);
    }
    kept
}

/// Whether one of the places of a device without zones is in a zone.
pub(super) fn covers_superblock(number: u64, zone_size: ZoneSize) -> bool {
    let start = zone_size.start(number);
    let end = zone_size.start(number.saturating_add(1));
    SUPERBLOCK_PLACES
        .iter()
        .any(|&place| place < end && start < place.saturating_add(SUPERBLOCK_SIZE))
}

/// Whether a zone can be written from its start.
fn is_free(zone: &ZoneState) -> bool {
    !zone.unusable && (!zone.sequential || (zone.empty && !zone.claimed))
}
