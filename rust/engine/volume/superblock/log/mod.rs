// SPDX-License-Identifier: GPL-2.0
//! Superblock copies on zoned devices: a log in a pair of zones for each (C: `fs/btrfs/zoned.c`, "superblock logging").
//!
//! Superblocks are appended. When a zone is full the log goes on in the other, which is reset just before it is written
//! again: at all times the newest superblock is the last one before the write pointer.

use crate::disk::{
    Flaw, Generation, Physical, Place, SuperblockBytes, SUPERBLOCK_LOG_PLACES, SUPERBLOCK_SIZE,
};
use crate::volume::device::{Device, Zone, ZoneAction, ZoneCondition, ZoneKind};
use crate::volume::zone_size::ZoneSize;
use latch::prelude::*;

/// Zones in a log.
const LOG_ZONES: u64 = 2;

/// Which zones of a device are for superblock logs.
#[derive(Clone, Copy)]
pub(in crate::volume) struct LogPlaces {
    zone_size: ZoneSize,
    zones: u64,
}

impl LogPlaces {
    /// The zones of logs on a device of so many zones.
    pub(in crate::volume) fn new(zone_size: ZoneSize, zones: u64) -> Self {
        Self { zone_size, zones }
    }

    /// The number of a log's first zone, where the device is large enough.
    fn first(&self, copy: usize) -> Option<u64> {
        let number = self.zone_size.number(*SUPERBLOCK_LOG_PLACES.get(copy)?);
        (number.saturating_add(LOG_ZONES) <= self.zones).then_some(number)
    }

    /// How many logs there are.
    pub(in crate::volume) fn count(&self) -> u64 {
        (0..SUPERBLOCK_LOG_PLACES.len())
            .filter_map(|copy| self.first(copy))
            .fold(0, |n, _| n.saturating_add(1))
    }

    /// Whether any of `count` zones is one of a log, or would be if the device were larger.
    pub(in crate::volume) fn contains(&self, number: u64, count: u64) -> bool {
        let end = number.saturating_add(count);
        SUPERBLOCK_LOG_PLACES.iter().any(|&offset| {
            let first = self.zone_size.number(offset);
            number < first.saturating_add(LOG_ZONES) && first < end
        })
    }
}

/// A log's two zones, as they are now.
#[derive(Clone, Copy)]
struct Pair([Zone; 2]);

/// Where a superblock is in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    zone: usize,
    at: u64,
}

impl Pair {
    /// Reads the state of both zones.
    fn report(device: &dyn Device, start: Physical) -> Result<Self> {
        let mut zones = (None, None);
        device.report_zones(start, LOG_ZONES, &mut |zone| {
            match zones {
                (None, _) => zones.0 = Some(zone),
                _ => zones.1 = Some(zone),
            }
            Ok(())
        })?;
        match zones {
            (Some(first), Some(second)) => Ok(Self([first, second])),
            _ => Err(EIO),
        }
    }

    fn zone(&self, index: usize) -> Result<&Zone> {
        self.0.get(index).ok_or(EINVAL)
    }

    /// One that is written in place holds no log: there is one superblock at its start.
    fn in_place(&self) -> Option<Slot> {
        let [first, _] = &self.0;
        (first.kind == ZoneKind::Conventional).then_some(Slot {
            zone: 0,
            at: first.start.get(),
        })
    }

    /// Where the next superblock goes; `newer` tells which zone has the newer one when both are full.
    ///
    /// | zones 0, 1 | next                                                    |
    /// |------------|---------------------------------------------------------|
    /// | 0 not full, 1 empty or full | zone 0                                 |
    /// | 0 full, 1 not full | zone 1                                          |
    /// | both full  | the older zone, from its start                          |
    /// | otherwise  | nobody writes like that                                 |
    fn next(&self, newer: impl FnOnce(&Self) -> Result<usize>) -> Result<Slot> {
        let [first, second] = &self.0;
        let zone = match (is_full(first), is_full(second)) {
            (true, true) => usize::from(newer(self)? == 0),
            (true, false) => 1,
            (false, full) if full || second.condition == ZoneCondition::Empty => 0,
            _ => {
                let at = Place::Superblock(first.start.get());
                let flaw = Flaw::new("both zones of a superblock log are in use", 2, 1);
                return Err(flaw.at(at).report());
            }
        };
        let zone_state = self.zone(zone)?;
        let at = match is_full(zone_state) {
            true => zone_state.start.get(),
            false => zone_state.write_pointer.get(),
        };
        Ok(Slot { zone, at })
    }

    /// The slot before one: at a zone's start, the last of the other zone, if that was written.
    fn before(&self, slot: Slot) -> Result<Option<Slot>> {
        let zone = self.zone(slot.zone)?;
        if slot.at > zone.start.get() {
            return Ok(Some(Slot {
                at: slot.at.saturating_sub(SUPERBLOCK_SIZE),
                ..slot
            }));
        }
        let other = usize::from(slot.zone == 0);
        match is_full(self.zone(other)?) {
            true => Ok(Some(Slot {
                zone: other,
                at: last_slot(self.zone(other)?),
            })),
            false => Ok(None),
        }
    }
}

/// Whether no superblock fits any more.
fn is_full(zone: &Zone) -> bool {
    let end = zone.start.saturating_add(zone.capacity);
    zone.condition == ZoneCondition::Full
        || (zone.condition == ZoneCondition::Active
            && zone.write_pointer.saturating_add(SUPERBLOCK_SIZE) > end)
}

/// Where the last superblock of a full zone is.
fn last_slot(zone: &Zone) -> u64 {
    let end = zone.start.saturating_add(zone.capacity).get();
    (end / SUPERBLOCK_SIZE)
        .saturating_sub(1)
        .saturating_mul(SUPERBLOCK_SIZE)
}

/// The logs of a device.
pub(in crate::volume) struct SuperblockLog {
    places: LogPlaces,
    /// What is known of each log; `None` before it is asked for, and after an error.
    pairs: [Option<Pair>; SUPERBLOCK_LOG_PLACES.len()],
}

/// What became of a copy that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is at its place.
    There,
    /// The device is too small to have a place for it.
    Nowhere,
}

/// Whether a write must be durable on return, with all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// On return.
    Now,
    /// With the next flush.
    Later,
}

impl Durability {
    /// Writes bytes so.
    pub(super) fn write(self, device: &dyn Device, at: Physical, bytes: &[u8]) -> Result {
        match self {
            Self::Now => device.write_durable(at, bytes),
            Self::Later => device.write(at, bytes),
        }
    }
}

impl SuperblockLog {
    pub(super) fn new(zone_size: ZoneSize, zones: u64) -> Self {
        Self {
            places: LogPlaces::new(zone_size, zones),
            pairs: [None; SUPERBLOCK_LOG_PLACES.len()],
        }
    }

    /// The state of a copy's log; `None` where the device is too small for one.
    fn pair(&mut self, device: &dyn Device, copy: usize) -> Result<Option<Pair>> {
        let (Some(first), Some(known)) = (self.places.first(copy), self.pairs.get_mut(copy)) else {
            return Ok(None);
        };
        if known.is_none() {
            let start = Physical::new(self.places.zone_size.start(first));
            *known = Some(Pair::report(device, start)?);
        }
        Ok(*known)
    }

    /// Where a copy's newest superblock is, and the one before it.
    pub(super) fn newest(
        &mut self,
        device: &dyn Device,
        copy: usize,
    ) -> Result<[Option<Physical>; 2]> {
        let Some(pair) = self.pair(device, copy)? else {
            return Ok([None, None]);
        };
        if let Some(slot) = pair.in_place() {
            return Ok([Some(Physical::new(slot.at)), None]);
        }
        let next = pair.next(|pair| newer_zone(device, pair))?;
        let Some(newest) = pair.before(next)? else {
            return Ok([None, None]);
        };
        // When the newest is its zone's first, the one before it is in the other zone, if that is still there.
        let before = pair.before(newest)?;
        Ok([
            Some(Physical::new(newest.at)),
            before.map(|slot| Physical::new(slot.at)),
        ])
    }

    /// Writes a superblock as the newest of a copy's log, if the device has one.
    pub(super) fn write(
        &mut self,
        device: &dyn Device,
        copy: usize,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<Written> {
        let Some(mut pair) = self.pair(device, copy)? else {
            return Ok(Written::Nowhere);
        };
        // Until it is known how the write ended, the device must be asked.
        if let Some(known) = self.pairs.get_mut(copy) {
            *known = None;
        }
        append(device, &mut pair, bytes, durability)?;
        if let Some(known) = self.pairs.get_mut(copy) {
            *known = Some(pair);
        }
        Ok(Written::There)
    }
}

fn append(device: &dyn Device, pair: &mut Pair, bytes: &[u8], durability: Durability) -> Result {
    if let Some(slot) = pair.in_place() {
        return durability.write(device, Physical::new(slot.at), bytes);
    }
    let slot = pair.next(|pair| newer_zone(device, pair))?;
    let zone = pair.0.get_mut(slot.zone).ok_or(EINVAL)?;
    if slot.at == zone.start.get() && zone.condition != ZoneCondition::Empty {
        device.manage_zone(zone.start, ZoneAction::Reset)?;
        zone.condition = ZoneCondition::Empty;
        zone.write_pointer = zone.start;
    }
    durability.write(device, Physical::new(slot.at), bytes)?;
    zone.condition = ZoneCondition::Active;
    zone.write_pointer = Physical::new(slot.at.saturating_add(SUPERBLOCK_SIZE));
    if is_full(zone) {
        // A zone whose last byte was written is full by itself.
        if zone.write_pointer != zone.start.saturating_add(zone.capacity) {
            device.manage_zone(zone.start, ZoneAction::Finish)?;
        }
        zone.condition = ZoneCondition::Full;
    }
    Ok(())
}

/// Of two full zones, the one whose last superblock is newer.
fn newer_zone(device: &dyn Device, pair: &Pair) -> Result<usize> {
    let [first, second] = &pair.0;
    let first = generation_at(device, last_slot(first))?;
    let second = generation_at(device, last_slot(second))?;
    Ok(usize::from(second >= first))
}

/// The generation of the superblock at an address, whatever else is there.
fn generation_at(device: &dyn Device, at: u64) -> Result<Generation> {
    let mut bytes = SuperblockBytes::new()?;
    device.read(Physical::new(at), bytes.as_mut_bytes())?;
    Ok(bytes.generation())
}
