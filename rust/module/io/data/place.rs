// SPDX-License-Identifier: GPL-2.0

//! Where file data is: devices and sectors of logical addresses.

use super::FileIo;
use crate::linux::iomap::ioend::{Append, Destination};
use crate::linux::BlockDevice;
use engine::disk::{Bug, Flaw, Logical, Physical, Place};
use engine::space::DataExtent;
use kernel::sync::Arc;
use latch::prelude::*;

/// A chunk without stripes passes no gate.
const NO_COPY: Bug = Bug::new("a mapped range has no copy");
/// A mount opens all devices that its chunks name.
pub(super) const NO_DEVICE: Bug = Bug::new("a mapped range is on a device that is not open");

impl<N: Send + Sync + 'static> FileIo<N> {
    /// The device that has the first copy of a logical range, and where it has it.
    pub(super) fn locate(
        &self,
        logical: Logical,
        len: u64,
    ) -> Result<(&Arc<BlockDevice>, Physical)> {
        let mapping = self.path.volume.map(logical, len)?;
        if mapping.len < len {
            let flaw = Flaw::new("data do not lie in one piece", mapping.len, len);
            return Err(flaw.at(Place::Extent(logical)).report());
        }
        let place = mapping.copies().first().ok_or(NO_COPY)?;
        let device = self.path.devices.get(place.device).ok_or(NO_DEVICE)?;
        Ok((device, place.at))
    }

    /// Where the data of a new extent goes.
    pub(super) fn destination(
        &self,
        extent: DataExtent,
    ) -> Result<(Destination, &Arc<BlockDevice>, Append)> {
        let chunk = self.path.volume.chunk(extent.logical)?;
        let (device, at) = self.locate(extent.logical, extent.len)?;
        if !self.path.volume.is_sequential(&chunk) {
            return Ok((Destination::At(at.get() >> 9), device, Append::No));
        }
        let zone = chunk.stripes.first().ok_or(NO_COPY)?.at;
        Ok((Destination::Append(zone.get() >> 9), device, Append::Yes))
    }

    /// Where a zone append went.
    pub(super) fn appended_at(&self, extent: DataExtent, sector: u64) -> Result<Logical> {
        let chunk = self.path.volume.chunk(extent.logical)?;
        let zone = chunk.stripes.first().ok_or(NO_COPY)?.at;
        let at = Physical::new(sector.checked_shl(9).ok_or(EIO)?);
        let offset = at.checked_since(zone).ok_or(EIO)?;
        if offset.saturating_add(extent.len) > chunk.len {
            pr_err!(
                "zone append landed at {}, outside of its zone at {}\n",
                at,
                zone
            );
            return Err(EIO);
        }
        chunk.logical.checked_add(offset).ok_or(EIO)
    }
}
