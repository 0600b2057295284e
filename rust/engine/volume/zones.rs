// SPDX-License-Identifier: GPL-2.0
//! The volume's zones, by the chunks above them.

use super::hal::Hal;
use super::{device, Activation, Chunk, DeviceRange, GroupZones, Volume, Writes, NO_DEVICE};
use crate::disk::{BlockGroupFlags, Bytes, DeviceId, Logical, ZoneOffset};
use latch::prelude::*;

/// What block groups and the mount ask of zones and do to them: [`Volume::zones`]. Where there are none, nothing is done.
#[derive(Clone, Copy)]
pub struct ZoneManagement<'a>(&'a Volume);

impl Volume {
    /// The zones, to be asked and commanded.
    pub fn zones(&self) -> ZoneManagement<'_> {
        ZoneManagement(self)
    }
}

impl<'a> ZoneManagement<'a> {
    /// The rules of each device that a chunk lies on.
    fn hals(&self, chunk: &'a Chunk) -> impl Iterator<Item = &'a dyn Hal> {
        self.0.members.hals(chunk)
    }

    /// Bytes in a zone, the same on all devices; `None` on regular volumes, and on emulated zones until they are set.
    pub fn size(&self) -> Option<Bytes> {
        self.0
            .members
            .iter()
            .find_map(|member| member.hal.zone_size())
    }

    /// Bytes that a sequential zone holds; `None` as for [`Self::size`]. Conventional ones may hold more.
    pub fn capacity(&self) -> Option<Bytes> {
        let members = self.0.members.iter();
        members
            .filter_map(|member| member.hal.zone_capacity())
            .min()
    }

    /// Bytes of all devices that no chunk gets.
    pub fn never_in_chunks(&self) -> Bytes {
        let members = self.0.members.iter();
        let each = members.map(|member| member.hal.never_in_chunks());
        each.fold(Bytes::ZERO, Bytes::saturating_add)
    }

    /// Whether any zone of a group is sequential: tree blocks go there in the order of their addresses.
    pub fn is_ordered(&self, chunk: &Chunk) -> bool {
        self.hals(chunk).any(|hal| hal.is_ordered(chunk))
    }

    /// Whether all zones of a group are sequential (zone append works).
    pub fn is_sequential(&self, chunk: &Chunk) -> bool {
        self.hals(chunk).all(|hal| hal.is_sequential(chunk))
    }

    /// What is allocated in a chunk is a multiple of this, in bytes.
    pub(super) fn unit(&self, chunk: &Chunk) -> Bytes {
        match chunk.flags.contains(BlockGroupFlags::DATA) {
            true => device::SECTOR,
            false => Bytes::from(self.0.format().node_size),
        }
    }

    /// Whether [`Self::set_emulated_size`] is to be called: zones are emulated whose size is not known yet.
    pub fn lack_size(&self) -> bool {
        self.0
            .members
            .iter()
            .any(|member| member.hal.lacks_zone_size())
    }

    /// Zoned flag on a device without zones: sets the size of the zones to emulate, from the first DEV_EXTENT's
    /// length. Called once, after the device tree can be read and before block groups are loaded.
    pub fn set_emulated_size(&self, size: Bytes) -> Result {
        for member in self.0.members.iter() {
            member.hal.set_emulated_zone_size(size)?;
        }
        // Chunks that were added before could not be compared with zones.
        let mut next = self.0.chunk_from(Logical::new(0));
        while let Some(chunk) = next {
            for hal in self.hals(&chunk) {
                hal.claim(&chunk)?;
            }
            next = self.0.chunk_from(chunk.end());
        }
        Ok(())
    }

    /// What the zones below a chunk say. `last_allocated` tells the end of the highest extent in the group, from the
    /// group's start, and is only called when a zone is conventional.
    ///
    /// Zones whose copies differ in length after a power cut are evened out first, if the volume may be changed; with
    /// [`Writes::Later`] the answer is as if they were, and [`Volume::begin_writing`] does it.
    pub fn load(
        &self,
        chunk: &Chunk,
        last_allocated: &mut dyn FnMut() -> Result<ZoneOffset>,
    ) -> Result<GroupZones> {
        let (unit, writes) = (self.unit(chunk), self.0.writes());
        let mut loaded: Option<GroupZones> = None;
        for hal in self.hals(chunk) {
            let more = hal.load(chunk, unit, writes, last_allocated)?;
            loaded = Some(loaded.map_or(more, |some| some.with(more)));
        }
        Ok(loaded.ok_or(NO_DEVICE)?)
    }

    /// Takes active resources for a group's zones. Regular volumes: always active.
    pub fn activate(&self, chunk: &Chunk) -> Result<Activation> {
        // Zones that are active already cost nothing when this is tried again.
        let mut hals = self.hals(chunk);
        Ok(
            match hals.all(|hal| hal.activate(chunk) == Activation::Active) {
                true => Activation::Active,
                false => Activation::NoBudget,
            },
        )
    }

    /// Whether [`Self::activate`] would succeed for a new group of this kind.
    pub fn can_activate(&self, flags: BlockGroupFlags) -> bool {
        self.0
            .members
            .iter()
            .any(|member| member.hal.can_activate(flags))
    }

    /// Whether [`Self::activate`] would succeed and leave all that a commit may need: one group each for
    /// metadata, log trees and system chunks.
    pub fn has_spare(&self, chunk: &Chunk) -> bool {
        self.hals(chunk).all(|hal| hal.has_spare(chunk))
    }

    /// Whether the active zones that a group of metadata or system asks for are of those that are kept for them.
    pub fn owes(&self, chunk: &Chunk) -> bool {
        self.hals(chunk).any(|hal| hal.owes(chunk))
    }

    /// `EINVAL`, with one line in the log, where the device lets fewer zones be active than writing takes. Asked when all
    /// chunks are mapped; with [`Writes::Later`], [`Volume::begin_writing`] asks.
    pub fn check_active(&self) -> Result {
        match self.0.writes() {
            Writes::Now => {
                let mut members = self.0.members.iter();
                members.try_for_each(|member| member.hal.check_active())
            }
            _ => Ok(()),
        }
    }

    /// Finishes a group's zones and gives their active resources back. All writes to them have completed. `EIO` where one
    /// takes no commands any more.
    pub fn finish(&self, chunk: &Chunk) -> Result {
        self.hals(chunk).try_for_each(|hal| hal.finish(chunk))
    }

    /// A group was written to its last byte: its zones are full and their resources free without a command.
    pub fn filled(&self, chunk: &Chunk) {
        self.hals(chunk).for_each(|hal| hal.filled(chunk));
    }

    /// Resets a group's zones: all contents are gone. The chunk's removal must be durable. `EIO` as in [`Self::finish`].
    pub fn reset(&self, chunk: &Chunk) -> Result {
        self.hals(chunk).try_for_each(|hal| hal.reset(chunk))
    }

    /// Resets zones that hold something and belong to no chunk: a power cut came between a chunk's removal and the
    /// reset. Before the first write, with the superblock's own roots. `used` gives what [`super::Unused::plan_chunk`] is given
    /// of a device; it is called where there are zones. How many there were.
    pub fn reset_stray(
        &self,
        used: &mut dyn FnMut(DeviceId) -> Result<KVVec<DeviceRange>>,
    ) -> Result<u64> {
        let mut count = 0u64;
        for member in self.0.members.iter() {
            let reset = member.hal.reset_stray(&mut || used(member.devid))?;
            count = count.saturating_add(reset);
        }
        Ok(count)
    }
}
