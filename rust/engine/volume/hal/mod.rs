// SPDX-License-Identifier: GPL-2.0
//! What differs between regular and zoned volumes below the block groups; chosen once, at open.
//!
//! | module    | what it has                                            |
//! |-----------|--------------------------------------------------------|
//! | `regular` | volumes on which every byte can be written at any time |
//! | `zoned`   | volumes whose chunks are whole zones                   |

mod regular;
mod zoned;

pub(super) use regular::Regular;
pub(super) use zoned::Zoned;

use super::allocate::Plan;
use super::{Activation, Chunk, DeviceRange, GroupZones, Writes};
use crate::disk::{BlockGroupFlags, Bug, Bytes, Physical, ZoneOffset};
use latch::prelude::*;

/// A size of zones is set where zones are emulated and have none.
const SIZED: Bug = Bug::new("a device is told how large its zones are that knows");

/// The rules for the chunks of one device.
pub(super) trait Hal: Send + Sync {
    /// Does what [`super::Rules::rewrites_in_place`] says.
    fn rewrites_in_place(&self) -> bool;

    /// Does what [`super::Rules::writes_in_order`] says.
    fn writes_in_order(&self) -> bool;

    /// Does what [`super::Rules::reuses_by_reset`] says.
    fn reuses_by_reset(&self) -> bool;

    /// Does what [`super::Rules::frees_whole_groups`] says.
    fn frees_whole_groups(&self) -> bool;

    /// Does what [`super::Rules::fills_begun_groups`] says.
    fn fills_begun_groups(&self) -> bool;

    /// Bytes in a zone; `None` on regular volumes and while an emulated size is not known.
    fn zone_size(&self) -> Option<Bytes>;

    /// Does what [`super::ZoneManagement::capacity`] says.
    fn zone_capacity(&self) -> Option<Bytes>;

    /// Does what [`super::ZoneManagement::lack_size`] says.
    fn lacks_zone_size(&self) -> bool;

    /// Does what [`super::ZoneManagement::set_emulated_size`] says.
    fn set_emulated_zone_size(&self, size: Bytes) -> Result;

    /// Does what [`super::Rules::max_extent_len`] says.
    fn max_extent_len(&self) -> Bytes;

    /// Bytes of the device that no chunk gets: those of superblocks, and of zones in no chunk that take no writes.
    fn never_in_chunks(&self) -> Bytes;

    /// Places on the device that chunks may cover but must not use.
    fn superblock_places(&self) -> &'static [Physical];

    /// A chunk was mapped: its range of the device is in use. It is corrupt where it cannot lie there.
    fn claim(&self, chunk: &Chunk) -> Result;

    /// Finds room for a chunk: where its copies begin, and how long each is.
    fn plan(&self, flags: BlockGroupFlags, used: &[DeviceRange]) -> Result<Plan>;

    /// See [`super::ZoneManagement::load`]. What is allocated there is a multiple of `unit` bytes.
    fn load(
        &self,
        chunk: &Chunk,
        unit: Bytes,
        writes: Writes,
        last_allocated: &mut dyn FnMut() -> Result<ZoneOffset>,
    ) -> Result<GroupZones>;

    /// Does what [`Self::load`] left for later; see [`super::Volume::begin_writing`].
    fn begin_writing(&self, chunk: &Chunk, unit: Bytes) -> Result;

    /// Does what [`super::ZoneManagement::activate`] says.
    fn activate(&self, chunk: &Chunk) -> Activation;

    /// Does what [`super::ZoneManagement::can_activate`] says.
    fn can_activate(&self, flags: BlockGroupFlags) -> bool;

    /// Does what [`super::ZoneManagement::has_spare`] says.
    fn has_spare(&self, chunk: &Chunk) -> bool;

    /// Does what [`super::ZoneManagement::owes`] says.
    fn owes(&self, chunk: &Chunk) -> bool;

    /// Does what [`super::ZoneManagement::check_active`] says.
    fn check_active(&self) -> Result;

    /// Does what [`super::ZoneManagement::finish`] says.
    fn finish(&self, chunk: &Chunk) -> Result;

    /// Does what [`super::ZoneManagement::filled`] says.
    fn filled(&self, chunk: &Chunk);

    /// Does what [`super::ZoneManagement::reset`] says.
    fn reset(&self, chunk: &Chunk) -> Result;

    /// Does what [`super::ZoneManagement::reset_stray`] says.
    fn reset_stray(&self, used: &mut dyn FnMut() -> Result<KVVec<DeviceRange>>) -> Result<u64>;

    /// Does what [`super::ZoneManagement::is_ordered`] says.
    fn is_ordered(&self, chunk: &Chunk) -> bool;

    /// Does what [`super::ZoneManagement::is_sequential`] says.
    fn is_sequential(&self, chunk: &Chunk) -> bool;
}
