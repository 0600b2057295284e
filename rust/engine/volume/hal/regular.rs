// SPDX-License-Identifier: GPL-2.0
//! Volumes without zones: every byte can be written at any time.

use super::{Hal, SIZED};
use crate::disk::{
    BlockGroupFlags, Bytes, Physical, ZoneOffset, DEVICE_RESERVED, MAX_EXTENT_SIZE,
    SUPERBLOCK_PLACES,
};
use crate::volume::allocate::{plan_regular, Plan};
use crate::volume::{Activation, Chunk, DeviceRange, GroupZones, Writes};
use latch::prelude::*;

/// A device of a regular volume.
pub(in crate::volume) struct Regular {
    /// Bytes that may be used.
    pub(in crate::volume) total_bytes: Bytes,
}

impl Hal for Regular {
    fn rewrites_in_place(&self) -> bool {
        true
    }

    fn writes_in_order(&self) -> bool {
        false
    }

    fn reuses_by_reset(&self) -> bool {
        false
    }

    fn frees_whole_groups(&self) -> bool {
        false
    }

    fn fills_begun_groups(&self) -> bool {
        false
    }

    fn zone_size(&self) -> Option<Bytes> {
        None
    }

    fn zone_capacity(&self) -> Option<Bytes> {
        None
    }

    fn lacks_zone_size(&self) -> bool {
        false
    }

    fn set_emulated_zone_size(&self, _: Bytes) -> Result {
        Err(SIZED.report())
    }

    fn max_extent_len(&self) -> Bytes {
        MAX_EXTENT_SIZE
    }

    fn never_in_chunks(&self) -> Bytes {
        DEVICE_RESERVED.before()
    }

    fn superblock_places(&self) -> &'static [Physical] {
        &SUPERBLOCK_PLACES
    }

    fn claim(&self, _: &Chunk) -> Result {
        Ok(())
    }

    fn plan(&self, flags: BlockGroupFlags, used: &[DeviceRange]) -> Result<Plan> {
        plan_regular(flags, self.total_bytes, used)
    }

    fn load(
        &self,
        chunk: &Chunk,
        _unit: Bytes,
        _writes: Writes,
        _last: &mut dyn FnMut() -> Result<ZoneOffset>,
    ) -> Result<GroupZones> {
        Ok(GroupZones {
            sequential: false,
            capacity: chunk.len,
            alloc_offset: ZoneOffset::new(0),
            active: true,
            unusable: false,
        })
    }

    fn begin_writing(&self, _: &Chunk, _: Bytes) -> Result {
        Ok(())
    }

    fn activate(&self, _: &Chunk) -> Activation {
        Activation::Active
    }

    fn can_activate(&self, _: BlockGroupFlags) -> bool {
        true
    }

    fn owes(&self, _: &Chunk) -> bool {
        false
    }

    fn check_active(&self) -> Result {
        Ok(())
    }

    fn has_spare(&self, _: &Chunk) -> bool {
        true
    }

    fn finish(&self, _: &Chunk) -> Result {
        Ok(())
    }

    fn filled(&self, _: &Chunk) {}

    fn reset(&self, _: &Chunk) -> Result {
        Ok(())
    }

    fn reset_stray(&self, _: &mut dyn FnMut() -> Result<KVVec<DeviceRange>>) -> Result<u64> {
        Ok(0)
    }

    fn is_ordered(&self, _: &Chunk) -> bool {
        false
    }

    fn is_sequential(&self, _: &Chunk) -> bool {
        false
    }
}
