// SPDX-License-Identifier: GPL-2.0
//! What of the devices is in no chunk.

use super::allocate::{self, DeviceRange, Plan};
use super::profile::Profile;
use super::{Chunk, Stripe, Volume, NO_DEVICE};
use crate::disk::{BlockGroupFlags, Bytes, DeviceId, Physical, MAX_CHUNK_END};
use latch::prelude::*;

/// What of the devices is in no chunk: [`Volume::unused`].
#[derive(Clone, Copy)]
pub struct Unused<'a>(&'a Volume);

impl Volume {
    /// What is in no chunk, to be taken for one, or to be told of to the devices.
    pub fn unused(&self) -> Unused<'_> {
        Unused(self)
    }
}

impl Unused<'_> {
    /// The first range of at least `least` bytes at or behind `from` of a device that no chunk uses and no superblock
    /// stands in. `used` as for [`Self::plan_chunk`]. Not for zones.
    pub fn next_from(
        &self,
        devid: DeviceId,
        used: &[DeviceRange],
        from: Physical,
        least: Bytes,
    ) -> Result<Option<DeviceRange>> {
        let member = self.0.members.find(devid).ok_or(NO_DEVICE)?;
        let usable = self.0.superblocks().device_bytes(devid);
        let usable = usable.ok_or(NO_DEVICE)?;
        let end = member.device.size().min(usable);
        Ok(allocate::unused_from(
            used,
            from,
            Physical::after(end),
            least,
        ))
    }

    /// Tells a device that a range of it is unused. A hint: errors do not matter.
    pub fn discard(&self, devid: DeviceId, at: Physical, len: Bytes) {
        if let Some(member) = self.0.members.find(devid) {
            let _ = member.device.discard(at, len);
        }
    }

    /// Plans a chunk on a device: where, and how long. Changes nothing; on zoned volumes it takes only empty zones.
    ///
    /// The caller serialises planning and what follows (chunk mutex), then writes CHUNK_ITEM, DEV_EXTENTs, DEV_ITEM
    /// and the block group, and calls [`Volume::add_chunk`]. `used`: all DEV_EXTENTs of the device, ascending. `ENOSPC`
    /// when nothing large enough is free.
    pub fn plan_chunk(
        &self,
        flags: BlockGroupFlags,
        devid: DeviceId,
        used: &[DeviceRange],
    ) -> Result<Chunk> {
        let member = self.0.members.find(devid).ok_or(NO_DEVICE)?;
        let profile = Profile::of(flags).ok_or(EOPNOTSUPP)?;
        let Plan { starts, len } = member.hal.plan(flags, used)?;
        let logical = self.0.chunks.read().end();
        let end = logical.checked_add(profile.chunk_len(len));
        if end.is_none_or(|end| end > MAX_CHUNK_END) {
            return Err(ENOSPC);
        }
        let mut stripes = KVec::new();
        for &at in starts.iter() {
            let stripe = Stripe {
                devid,
                at,
                dev_uuid: member.uuid,
            };
            stripes.push(stripe, GFP_NOFAIL)?;
        }
        Ok(Chunk {
            logical,
            len: profile.chunk_len(len),
            flags,
            stripes,
        })
    }
}
