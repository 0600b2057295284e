// SPDX-License-Identifier: GPL-2.0
//! The two zones of a log: how far they are written, and which of them the log goes on in.

use super::{Durability, LOG_ZONES};
use crate::disk::{Bytes, Flaw, Physical, Site, SUPERBLOCK_SIZE};
use crate::volume::device::{Device, Zone, ZoneAction, ZoneCondition, ZoneKind};
use latch::prelude::*;

/// Which of the two zones of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZoneNumber {
    /// The one that begins where the log does.
    First,
    /// The one behind it.
    Second,
}

impl ZoneNumber {
    /// The one beside it.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A log's two zones, as they are now.
#[derive(Clone, Copy)]
pub(super) struct Pair([LogZone; 2]);

impl Pair {
    /// Reads the state of both zones.
    pub(super) fn report(device: &dyn Device, start: Physical) -> Result<Self> {
        let mut zones = (None, None);
        device.report_zones(start, LOG_ZONES, &mut |zone| {
            match zones {
                (None, _) => zones.0 = Some(LogZone(zone)),
                _ => zones.1 = Some(LogZone(zone)),
            }
            Ok(())
        })?;
        match zones {
            (Some(first), Some(second)) => Ok(Self([first, second])),
            _ => {
                pr_err!("device reports fewer than two zones of a superblock log, at {start}\n");
                Err(EIO)
            }
        }
    }

    /// The zone with this number.
    pub(super) fn zone(&self, number: ZoneNumber) -> &LogZone {
        let [first, second] = &self.0;
        match number {
            ZoneNumber::First => first,
            ZoneNumber::Second => second,
        }
    }

    /// The zone with this number, to be changed.
    pub(super) fn zone_mut(&mut self, number: ZoneNumber) -> &mut LogZone {
        let [first, second] = &mut self.0;
        match number {
            ZoneNumber::First => first,
            ZoneNumber::Second => second,
        }
    }

    /// Both zones of the pair, in the order of their addresses.
    pub(super) fn zones_mut(&mut self) -> &mut [LogZone; 2] {
        &mut self.0
    }

    /// Where the pair is, if it is written in place: it holds no log then, but one superblock at its start.
    pub(super) fn in_place(&self) -> Option<Physical> {
        let [LogZone(first), _] = &self.0;
        (first.kind == ZoneKind::Conventional).then_some(first.start)
    }

    /// Which zone the next superblock goes to; `newer` tells which has the newer one when both are full.
    ///
    /// | zones 0, 1 | next                                                    |
    /// |------------|---------------------------------------------------------|
    /// | 0 not full, 1 empty or full | zone 0                                 |
    /// | 0 full, 1 not full | zone 1                                          |
    /// | both full  | the older zone, from its start                          |
    /// | otherwise  | nobody writes like that                                 |
    pub(super) fn next(
        &self,
        newer: impl FnOnce(&Self) -> Result<ZoneNumber>,
    ) -> Result<ZoneNumber> {
        let [first, second] = &self.0;
        match (first.is_full(), second.is_full()) {
            (true, true) => newer(self).map(ZoneNumber::other),
            (true, false) => Ok(ZoneNumber::Second),
            (false, full) if full || second.0.condition == ZoneCondition::Empty => {
                Ok(ZoneNumber::First)
            }
            _ => {
                let at = Site::Superblock(first.0.start);
                let flaw = Flaw::new("both zones of a superblock log are in use", 2, 1);
                Err(flaw.at(at).report())
            }
        }
    }
}

/// A zone of a log: places for superblocks, one behind the other. A device may have cut the last one off between two
/// of its blocks, which may be smaller than a superblock; then the write pointer is inside of its place.
#[derive(Clone, Copy)]
pub(super) struct LogZone(Zone);

impl LogZone {
    /// Where the zone begins.
    pub(super) fn start(&self) -> Physical {
        self.0.start
    }

    /// Where the last whole place ends.
    pub(super) fn end(&self) -> Physical {
        round_down(self.0.start.saturating_add(self.0.capacity))
    }

    /// Whether no superblock fits any more. One that was cut off does: it is written again, or filled up.
    pub(super) fn is_full(&self) -> bool {
        match self.0.condition {
            ZoneCondition::Full => true,
            ZoneCondition::Active => self.written() >= self.end(),
            ZoneCondition::Empty | ZoneCondition::Unusable => false,
        }
    }

    /// Where what was written ends.
    pub(super) fn reached(&self) -> Physical {
        match self.0.condition {
            ZoneCondition::Empty => self.start(),
            ZoneCondition::Full => self.end(),
            ZoneCondition::Active | ZoneCondition::Unusable => self.0.write_pointer,
        }
    }

    /// Where the last place ends that was written as a whole.
    pub(super) fn written(&self) -> Physical {
        round_down(self.reached())
    }

    /// What of a place is written that comes behind whole ones, and was cut off; 0 where there is no such.
    pub(super) fn cut_off(&self) -> Bytes {
        match self.is_full() || self.written() == self.start() {
            true => Bytes::ZERO,
            false => self.reached().saturating_since(self.written()),
        }
    }

    /// Makes room for a superblock, where what is there is old, or nothing but one that was cut off.
    pub(super) fn make_room(&mut self, device: &dyn Device) -> Result {
        let is_used = self.0.condition != ZoneCondition::Empty;
        if is_used && (self.is_full() || self.written() == self.start()) {
            device.manage_zone(self.0.start, ZoneAction::Reset)?;
            self.0.condition = ZoneCondition::Empty;
            self.0.write_pointer = self.0.start;
        }
        Ok(())
    }

    /// Writes bytes at the write pointer. A zone in which no superblock fits any more is finished.
    pub(super) fn append(
        &mut self,
        device: &dyn Device,
        bytes: &[u8],
        durability: Durability,
    ) -> Result {
        durability.write(device, self.0.write_pointer, bytes)?;
        let zone = &mut self.0;
        zone.condition = ZoneCondition::Active;
        zone.write_pointer = zone.write_pointer.saturating_add(Bytes::from(bytes.len()));
        if self.is_full() {
            let zone = &mut self.0;
            // A zone whose last byte was written is full by itself.
            if zone.write_pointer != zone.start.saturating_add(zone.capacity) {
                device.manage_zone(zone.start, ZoneAction::Finish)?;
            }
            zone.condition = ZoneCondition::Full;
        }
        Ok(())
    }
}

fn round_down(at: Physical) -> Physical {
    Physical::after(at.before().round_down(SUPERBLOCK_SIZE))
}
