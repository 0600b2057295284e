// SPDX-License-Identifier: GPL-2.0
//! Superblock copies on zoned devices: a log in a pair of zones for each (C: `fs/btrfs/zoned.c`, "superblock logging").
//!
//! Superblocks are appended. When a zone is full the log goes on in the other, which is reset just before it is written
//! again: at all times the newest superblock is the last one before the write pointer, but for such as were cut off.
//!
//! A device whose blocks are smaller than a superblock may write the first part of one alone when the power goes. Nobody
//! was told that it is there. Before the next is written its place is filled up, with what is taken for no superblock.
//!
//! `pair`: how far the two zones are written, and which of them the log goes on in.

mod pair;

use crate::disk::{
    Bug, Bytes, Generation, Physical, SuperblockBytes, SUPERBLOCK_LOG_PLACES, SUPERBLOCK_SIZE,
};
use crate::volume::device::Device;
use crate::volume::zone_size::ZoneSize;
use latch::prelude::*;
use pair::{LogZone, Pair, ZoneNumber};

/// What was cut off is the rest of a place.
const TOO_FAR: Bug = Bug::new("more of a superblock was written than it has");

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

    /// Where a log ends, on the device as large as it is.
    fn end(&self, copy: usize) -> Option<Physical> {
        let first = self.first(copy)?;
        Some(self.zone_size.start(first.saturating_add(LOG_ZONES)))
    }

    /// How many logs there are.
    pub(in crate::volume) fn count(&self) -> u64 {
        (0..SUPERBLOCK_LOG_PLACES.len())
            .filter_map(|copy| self.first(copy))
            .fold(0, |n, _| n.saturating_add(1))
    }

    /// Whether a zone is one of a log, or would be if the device were larger.
    pub(in crate::volume) fn contains(&self, number: u64) -> bool {
        SUPERBLOCK_LOG_PLACES.iter().any(|&offset| {
            let first = self.zone_size.number(offset);
            (first..first.saturating_add(LOG_ZONES)).contains(&number)
        })
    }
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
    /// The superblock is at its place.
    There,
    /// What may be used of the device is too small to have a place for it.
    Nowhere,
}

/// What a mount reads of a copy.
#[derive(Default)]
pub(super) struct Newest {
    /// The newest superblock, if there is any.
    pub(super) superblock: Option<KBox<SuperblockBytes>>,
    /// The last one of the other zone, where both are full. It must be good too: if it is damaged, it may have been the
    /// newer of both.
    pub(super) rival: Option<KBox<SuperblockBytes>>,
}

impl Newest {
    /// What was found at a place that has one superblock.
    pub(super) fn alone(superblock: KBox<SuperblockBytes>) -> Self {
        Self {
            superblock: Some(superblock),
            rival: None,
        }
    }
}

/// Whether a write must be durable on return, with all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// The reset takes effect before the call returns.
    Now,
    /// The reset takes effect with the next flush.
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
            let start = self.places.zone_size.start(first);
            *known = Some(Pair::report(device, start)?);
        }
        Ok(*known)
    }

    /// What of a copy's log a mount reads.
    pub(super) fn newest(&mut self, device: &dyn Device, copy: usize) -> Result<Newest> {
        let Some(pair) = self.pair(device, copy)? else {
            return Ok(Newest::default());
        };
        if let Some(at) = pair.in_place() {
            return Ok(Newest::alone(read(device, at)?));
        }
        let (newest, cut_off) = newest_of(device, &pair)?;
        if !cut_off.is_zero() && newest.superblock.is_some() {
            pr_warn!("superblock copy {}: the newest was cut off while it was written, the one before it is taken\n", copy);
        }
        Ok(newest)
    }

    /// Writes a superblock as the newest of a copy's log, if there is one in the `limit` bytes of the device that may be
    /// used. What is behind is somebody else's, or nobody's any more.
    pub(super) fn write(
        &mut self,
        device: &dyn Device,
        copy: usize,
        limit: Bytes,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<Written> {
        let end = self.places.end(copy);
        if end.is_none_or(|end| end > Physical::after(limit)) {
            return Ok(Written::Nowhere);
        }
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
    if let Some(at) = pair.in_place() {
        return durability.write(device, at, bytes);
    }
    for zone in pair.zones_mut() {
        fill_up(device, zone)?;
    }
    let number = pair.next(|pair| newer_zone(device, pair))?;
    let zone = pair.zone_mut(number);
    zone.make_room(device)?;
    zone.append(device, bytes, durability)
}

/// Fills up the place of a superblock that was cut off, so that the next begins where one is looked for.
fn fill_up(device: &dyn Device, zone: &mut LogZone) -> Result {
    let Some(there) = usize::try_from(zone.cut_off()).ok().filter(|&len| len > 0) else {
        return Ok(());
    };
    let filler = SuperblockBytes::filler()?;
    let rest = filler.as_bytes().get(there..).ok_or(TOO_FAR)?;
    zone.append(device, rest, Durability::Later)
}

/// Finds the newest superblock of a log that was not cut off, and how many bytes of such as were are behind it.
fn newest_of(device: &dyn Device, pair: &Pair) -> Result<(Newest, Bytes)> {
    let number = pair.next(|pair| newer_zone(device, pair))?;
    let (zone, other) = (pair.zone(number), pair.zone(number.other()));
    let here = Tail::of(device, zone)?;
    if !zone.is_full() && here.whole.is_some() {
        let newest = Newest {
            superblock: here.whole,
            rival: None,
        };
        return Ok((newest, here.cut_off));
    }
    let there = match other.is_full() {
        true => Tail::of(device, other)?,
        false => Tail::default(),
    };
    let cut_off = match here.whole {
        Some(_) => there.cut_off,
        None => there.cut_off.saturating_add(here.cut_off),
    };
    let newest = Newest {
        superblock: there.whole,
        rival: here.whole,
    };
    Ok((newest, cut_off))
}

/// Tells which of two full zones has the newer last superblock.
fn newer_zone(device: &dyn Device, pair: &Pair) -> Result<ZoneNumber> {
    let generation = |number| -> Result<Option<Generation>> {
        let last = Tail::of(device, pair.zone(number))?.whole;
        Ok(last.map(|superblock| superblock.generation()))
    };
    Ok(
        match generation(ZoneNumber::Second)? >= generation(ZoneNumber::First)? {
            true => ZoneNumber::Second,
            false => ZoneNumber::First,
        },
    )
}

/// What a zone of a log ends with.
#[derive(Default)]
struct Tail {
    /// The last superblock that was written as a whole.
    whole: Option<KBox<SuperblockBytes>>,
    /// Bytes behind it: superblocks that were cut off, all but perhaps the last filled up.
    cut_off: Bytes,
}

impl Tail {
    fn of(device: &dyn Device, zone: &LogZone) -> Result<Self> {
        let mut end = zone.written();
        let mut whole = None;
        while whole.is_none() && end > zone.start() {
            let at = end.saturating_sub(SUPERBLOCK_SIZE);
            let bytes = read(device, at)?;
            if bytes.is_filled_up() {
                end = at;
            } else {
                whole = Some(bytes);
            }
        }
        let cut_off = zone.reached().saturating_since(end);
        Ok(Self { whole, cut_off })
    }
}

/// What is at a superblock's place, whatever it is.
pub(super) fn read(device: &dyn Device, at: Physical) -> Result<KBox<SuperblockBytes>> {
    let mut bytes = SuperblockBytes::new()?;
    device.read(at, bytes.as_mut_bytes())?;
    Ok(bytes)
}
