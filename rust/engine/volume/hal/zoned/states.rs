// SPDX-License-Identifier: GPL-2.0
//! What is known of every zone of a device, and the budget of active ones.

use crate::disk::{BlockGroupFlags, Bytes, DeviceId, Physical};
use crate::volume::device::{Device, Zone, ZoneCondition, ZoneGeometry, ZoneKind, SECTOR};
use crate::volume::profile::copies_of;
use crate::volume::zone_size::ZoneSize;
use latch::prelude::*;

/// The limit where a device without one is used: more open zones make drives slow (C:
/// `BTRFS_DEFAULT_MAX_ACTIVE_ZONES`).
const DEFAULT_MAX_ACTIVE: u64 = 128;
/// A device without a limit is never taken for one with a smaller limit than this: what is set aside for superblocks,
/// metadata and system groups leaves nothing for data below about half of it.
const DEFAULT_MIN_ACTIVE: u64 = 16;
/// Who lets fewer zones be active is not written to (C: `BTRFS_MIN_ACTIVE_ZONES`): three for superblock logs, one each
/// for metadata, log trees, system chunks and data, and one to move data.
const MIN_ACTIVE: u64 = 8;
/// How many zones to report at a time.
const BATCH: u64 = 4096;

/// The state of one zone. It is kept small: large drives have a hundred thousand.
#[derive(Clone, Copy)]
pub(super) struct ZoneState {
    /// What it can hold, in sectors.
    capacity: u32,
    pub(super) sequential: bool,
    /// Nothing was written since it was reset, as far as is known here.
    pub(super) empty: bool,
    /// A chunk has it.
    pub(super) claimed: bool,
    pub(super) active: bool,
    pub(super) unusable: bool,
}

impl ZoneState {
    fn new(zone: &Zone) -> Self {
        let sequential = zone.kind == ZoneKind::Sequential;
        let is = |condition| sequential && zone.condition == condition;
        Self {
            capacity: u32::try_from(zone.capacity.count(SECTOR)).unwrap_or(u32::MAX),
            sequential,
            empty: is(ZoneCondition::Empty),
            claimed: false,
            active: is(ZoneCondition::Active),
            unusable: zone.condition == ZoneCondition::Unusable,
        }
    }

    /// What it can hold, in bytes.
    pub(super) fn capacity(&self) -> Bytes {
        SECTOR.saturating_mul(self.capacity.into())
    }
}

/// Active zones by what they are used for.
#[derive(Default)]
pub(super) struct InUse {
    /// Active zones of data groups.
    data: u64,
    /// Active zones of metadata and system groups.
    metadata: u64,
}

impl InUse {
    fn of(&mut self, flags: BlockGroupFlags) -> &mut u64 {
        match flags.contains(BlockGroupFlags::DATA) {
            true => &mut self.data,
            false => &mut self.metadata,
        }
    }

    /// `count` zones of such a group have become active.
    pub(super) fn add(&mut self, flags: BlockGroupFlags, count: u64) {
        let used = self.of(flags);
        *used = used.saturating_add(count);
    }

    /// Counts one active zone less of such a group.
    pub(super) fn remove_one(&mut self, flags: BlockGroupFlags) {
        let used = self.of(flags);
        *used = used.saturating_sub(1);
    }
}

/// All zones of a device.
pub(super) struct States {
    zone_size: ZoneSize,
    zones: KVVec<ZoneState>,
    /// How many zones may still become active; `None` where nobody counts.
    left: Option<u64>,
    /// How many of those are kept for metadata and system groups, which a commit cannot do without.
    reserved: u64,
    /// How many more are set aside for superblock logs.
    logs: u64,
    /// How many zones take no writes and are neither a log's nor in a chunk.
    lost: u64,
}

impl States {
    /// Conventional zones, for a device without any.
    pub(super) fn emulated(zone_size: ZoneSize, device_size: Bytes) -> Result<Self> {
        let count = usize::try_from(zone_size.number_above(Physical::after(device_size)))?;
        let zone = ZoneState {
            capacity: u32::try_from(zone_size.get().count(SECTOR))?,
            sequential: false,
            empty: false,
            claimed: false,
            active: false,
            unusable: false,
        };
        let mut zones = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            zones.push(zone, GFP_KERNEL)?;
        }
        Ok(Self {
            zone_size,
            zones,
            left: None,
            reserved: 0,
            logs: 0,
            lost: 0,
        })
    }

    /// What the device reports. The zones of superblock logs (`is_log`) have active resources set aside for them:
    /// one for each log, `logs` in all.
    pub(super) fn report(
        device: &dyn Device,
        devid: DeviceId,
        geometry: &ZoneGeometry,
        zone_size: ZoneSize,
        logs: u64,
        is_log: impl Fn(u64) -> bool,
    ) -> Result<Self> {
        let mut zones = KVVec::with_capacity(usize::try_from(geometry.zones)?, GFP_KERNEL)?;
        let mut first = 0;
        while first < geometry.zones {
            let count = BATCH.min(geometry.zones.saturating_sub(first));
            let start = zone_size.start(first);
            device.report_zones(start, count, &mut |zone| {
                zones.push(ZoneState::new(&zone), GFP_KERNEL)?;
                Ok(())
            })?;
            first = first.saturating_add(count);
        }
        let reported = u64::try_from(zones.len())?;
        if reported != geometry.zones {
            pr_err!(
                "device {} reports {} zones of {}\n",
                devid,
                reported,
                geometry.zones
            );
            return Err(EIO);
        }
        let (mut active, mut lost) = (0u64, 0u64);
        for (number, zone) in (0u64..).zip(zones.iter()) {
            active = active.saturating_add(u64::from(zone.active && !is_log(number)));
            lost = lost.saturating_add(u64::from(zone.unusable && !is_log(number)));
        }
        let left = budget(geometry, active.saturating_add(logs));
        Ok(Self {
            zone_size,
            zones,
            left,
            reserved: 0,
            logs,
            lost,
        })
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.zones.len()).unwrap_or(0)
    }

    /// What a zone can hold, in bytes: the first sequential one, or any if there is none.
    pub(super) fn capacity(&self) -> Option<Bytes> {
        let usable = |zone: &&ZoneState| zone.sequential && !zone.unusable;
        let zone = self.zones.iter().find(usable).or(self.zones.first());
        zone.map(ZoneState::capacity)
    }

    fn index(&self, at: Physical) -> Option<usize> {
        usize::try_from(self.zone_size.number(at)).ok()
    }

    /// The zone that holds an address.
    pub(super) fn at(&self, at: Physical) -> Option<&ZoneState> {
        self.zones.get(self.index(at)?)
    }

    fn at_mut(&mut self, at: Physical) -> Option<&mut ZoneState> {
        let index = self.index(at)?;
        self.zones.get_mut(index)
    }

    /// The zone with this number.
    pub(super) fn number(&self, number: u64) -> Option<&ZoneState> {
        self.zones.get(usize::try_from(number).ok()?)
    }

    /// A chunk uses the zone: it cannot be taken for another.
    pub(super) fn claim(&mut self, at: Physical) {
        let Some(zone) = self.at_mut(at) else {
            return;
        };
        let was_lost = zone.unusable && !zone.claimed;
        zone.claimed = true;
        self.lost = self.lost.saturating_sub(u64::from(was_lost));
    }

    /// How many zones take no writes and are neither a log's nor in a chunk.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether nobody counts active zones.
    pub(super) fn is_unlimited(&self) -> bool {
        self.left.is_none()
    }

    /// How many zones have to be kept for groups that a commit cannot do without: one set of zones for metadata,
    /// one for the log trees, one for system chunks. `profiles`: how those are kept.
    pub(super) fn set_reserved(&mut self, metadata: BlockGroupFlags, system: BlockGroupFlags) {
        self.reserved = copies_of(metadata)
            .saturating_mul(2)
            .saturating_add(copies_of(system));
    }

    /// Whether `count` more zones for metadata are within what is kept for it.
    pub(super) fn is_reserved_for(&self, count: u64, in_use: &InUse) -> bool {
        in_use.metadata.saturating_add(count) <= self.reserved
    }

    /// How many zones must be allowed to be active, so that a commit finds all it may need and data one.
    pub(super) fn needed(&self) -> u64 {
        let used = self.reserved.saturating_add(self.logs);
        used.saturating_add(1).max(MIN_ACTIVE)
    }

    /// Whether `count` zones could become active for a group. Data leaves what is reserved; metadata, once it has all
    /// that is reserved, leaves one for data: a write that was promised space must find a zone.
    pub(super) fn can_activate(&self, flags: BlockGroupFlags, count: u64, in_use: &InUse) -> bool {
        let kept = if flags.contains(BlockGroupFlags::DATA) {
            self.reserved.saturating_sub(in_use.metadata)
        } else if !self.is_reserved_for(count, in_use) {
            1u64.saturating_sub(in_use.data)
        } else {
            0
        };
        self.left
            .is_none_or(|left| left >= count.saturating_add(kept))
    }

    /// Whether `count` zones could become active and all be left that is reserved, whoever holds active ones now.
    pub(super) fn has_spare(&self, count: u64) -> bool {
        self.left
            .is_none_or(|left| left >= count.saturating_add(self.reserved))
    }

    /// Makes zones active; the caller has asked [`Self::can_activate`].
    pub(super) fn activate(&mut self, at: Physical) {
        let Some(zone) = self
            .at_mut(at)
            .filter(|zone| zone.sequential && !zone.active)
        else {
            return;
        };
        zone.active = true;
        zone.empty = false;
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    /// A zone became full, was finished or reset.
    pub(super) fn deactivate(&mut self, at: Physical) {
        let Some(zone) = self.at_mut(at).filter(|zone| zone.active) else {
            return;
        };
        zone.active = false;
        self.left = self.left.map(|left| left.saturating_add(1));
    }

    /// A zone was reset.
    pub(super) fn emptied(&mut self, at: Physical) {
        self.deactivate(at);
        if let Some(zone) = self.at_mut(at) {
            zone.empty = zone.sequential && !zone.unusable;
            zone.claimed = false;
        }
    }
}

/// How many more zones may become active. A device without a limit gets the usual one, unless it is over that
/// already: then an older kernel did not count, and nobody can.
fn budget(geometry: &ZoneGeometry, taken: u64) -> Option<u64> {
    match geometry.max_active {
        Some(limit) => Some(u64::from(limit).saturating_sub(taken)),
        None => DEFAULT_MAX_ACTIVE
            .min(geometry.zones / 4)
            .max(DEFAULT_MIN_ACTIVE)
            .checked_sub(taken),
    }
}
