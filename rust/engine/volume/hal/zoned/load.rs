// SPDX-License-Identifier: GPL-2.0
//! Loading a block group: what its zones say, and evening out copies that a power cut left different.

use super::group::{GroupLoad, Uneven};
use super::{Postponed, States, Zoned, UNKNOWN};
use crate::disk::{Bug, Bytes, Physical, ZoneOffset};
use crate::volume::device::{Zone, ZoneCondition, ZoneKind};
use crate::volume::hal::Hal;
use crate::volume::{Chunk, GroupZones, Writes};
use latch::prelude::*;

const NO_ZONE: Bug = Bug::new("a chunk that was mapped is in no zone");

const NO_COPY: Bug = Bug::new("copies of a chunk differ that it does not have");
const TOO_LONG: Bug = Bug::new("copies of a chunk are evened out by more than fits the buffer");

/// Bytes to copy at a time.
const COPY_UNIT: usize = 64 * 1024;

impl Zoned {
    /// Does what [`crate::volume::ZoneManagement::load`] says.
    pub(super) fn load_group(
        &self,
        chunk: &Chunk,
        unit: Bytes,
        writes: Writes,
        last_allocated: &mut dyn FnMut() -> Result<ZoneOffset>,
    ) -> Result<GroupZones> {
        let mut group = self.read_zones(chunk)?;
        match (writes, group.uneven(unit)) {
            (Writes::Now, Some((uneven, goal))) => {
                self.even_out(chunk, uneven, goal)?;
                group = self.read_zones(chunk)?;
            }
            (Writes::Later, Some((_, goal))) => {
                self.postpone(chunk, Postponed::EvenOut)?;
                self.take_active(chunk)?;
                group.expect(goal);
            }
            _ => {}
        }
        let loaded = group.state(chunk, last_allocated)?;
        let unlimited =
            self.with_zones(|state, _| Ok(state.zones.as_ref().is_some_and(States::is_unlimited)))?;
        let has_room = loaded.alloc_offset.before() < loaded.capacity;
        let active = loaded.active || (unlimited && has_room);
        if group.active {
            self.with_zones(|state, _| {
                let count = self
                    .stripes(chunk)
                    .fold(0u64, |count, _| count.saturating_add(1));
                state.in_use.add(chunk.flags, count);
                Ok(())
            })?;
        }
        // Nothing will be written there any more: give the resources back.
        match writes {
            Writes::Now if group.active && !loaded.active => self.finish_unused(chunk),
            Writes::Later if group.active && !loaded.active => {
                self.postpone(chunk, Postponed::Finish)?;
            }
            _ => {}
        }
        Ok(GroupZones { active, ..loaded })
    }

    /// Does for a group what was left for later. Done once more it changes nothing.
    pub(super) fn catch_up(&self, chunk: &Chunk, unit: Bytes) -> Result {
        let is_postponed = |what| {
            let state = self.state.lock();
            state.postponed.contains(&(chunk.logical, what))
        };
        if is_postponed(Postponed::EvenOut) {
            if let Some((uneven, goal)) = self.read_zones(chunk)?.uneven(unit) {
                self.even_out(chunk, uneven, goal)?;
                self.read_zones(chunk)?;
            }
        }
        if is_postponed(Postponed::Finish) {
            self.finish_unused(chunk);
        }
        Ok(())
    }

    fn postpone(&self, chunk: &Chunk, what: Postponed) -> Result {
        let mut state = self.state.lock();
        state.postponed.push((chunk.logical, what), GFP_KERNEL)?;
        Ok(())
    }

    fn finish_unused(&self, chunk: &Chunk) {
        if let Err(error) = self.finish(chunk) {
            let (start, errno) = (chunk.logical.get(), error.to_errno());
            pr_warn!(
                "block group {}: its zones cannot be finished: {}\n",
                start,
                errno
            );
        }
    }

    /// Counts a chunk's zones as active.
    fn take_active(&self, chunk: &Chunk) -> Result {
        self.with_zones(|state, _| {
            let zones = state.zones.as_mut().ok_or(UNKNOWN)?;
            self.stripes(chunk)
                .for_each(|stripe| zones.activate(stripe.at));
            Ok(())
        })
    }

    /// Asks the device for one zone. A zone that is known to be empty is not asked for: with the queue frozen by
    /// another report that would wait for itself.
    fn zone(&self, at: Physical) -> Result<Zone> {
        let known = self.with_zones(|state, zone_size| {
            let zone = state
                .zones
                .as_ref()
                .and_then(|zones| zones.at(at))
                .ok_or(NO_ZONE)?;
            let kind = match zone.sequential {
                true => ZoneKind::Sequential,
                false => ZoneKind::Conventional,
            };
            let condition = match kind {
                _ if zone.unusable => ZoneCondition::Unusable,
                ZoneKind::Conventional => ZoneCondition::Active,
                ZoneKind::Sequential if zone.empty => ZoneCondition::Empty,
                ZoneKind::Sequential => return Ok(None),
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
        found.filter(|zone| zone.start == at).ok_or_else(|| {
            pr_err!("device {}: no zone begins at {at}\n", self.devid);
            EIO
        })
    }

    /// What the zones of a chunk say now; the account of active ones follows.
    fn read_zones(&self, chunk: &Chunk) -> Result<GroupLoad> {
        let mut group = GroupLoad::default();
        for stripe in self.stripes(chunk) {
            let zone = self.zone(stripe.at)?;
            group.add(&zone);
            self.with_zones(|state, _| {
                let zones = state.zones.as_mut().ok_or(UNKNOWN)?;
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
    fn even_out(&self, chunk: &Chunk, uneven: Uneven, goal: Bytes) -> Result {
        let (Some(from), Some(to)) = (
            self.stripes(chunk).nth(uneven.longer),
            self.stripes(chunk).nth(uneven.shorter),
        ) else {
            return Err(NO_COPY.report());
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
        self.take_active(chunk)?;
        let mut buffer = KVVec::from_elem(0u8, COPY_UNIT, GFP_KERNEL)?;
        let mut at = least;
        while at < most {
            let len = usize::try_from(most.saturating_sub(at))?.min(COPY_UNIT);
            let piece = buffer.get_mut(..len).ok_or(TOO_LONG)?;
            self.device.read(from.at.saturating_add(at), piece)?;
            self.device.write(to.at.saturating_add(at), piece)?;
            at = at.saturating_add(Bytes::from(len));
        }
        buffer.fill(0);
        let rest = usize::try_from(goal.saturating_sub(most))?;
        let rest = buffer.get(..rest).ok_or(TOO_LONG)?;
        for stripe in self.stripes(chunk).filter(|_| !rest.is_empty()) {
            self.device.write(stripe.at.saturating_add(most), rest)?;
        }
        Ok(())
    }
}
