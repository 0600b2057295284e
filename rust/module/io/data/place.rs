// SPDX-License-Identifier: GPL-2.0

//! Where file data is: devices and sectors of logical addresses.

use super::FileIo;
use crate::linux::iomap::ioend::{Append, Destination};
use crate::linux::BlockDevice;
use engine::disk::{Logical, Physical};
use engine::space::DataExtent;
use kernel::sync::Arc;
use latch::prelude::*;

impl<N: Send + Sync + 'static> FileIo<N> {
    /// The device and sector of the first copy of a logical address, and how far it goes.
    pub(super) fn locate(
        &self,
        logical: Logical,
        len: u64,
    ) -> Result<(&Arc<BlockDevice>, Physical, u64)> {
        let mapping = self.path.volume.map(logical, len)?;
        let place = mapping.copies().first().ok_or(EUCLEAN)?;
        let device = self.path.devices.get(place.device).ok_or(EUCLEAN)?;
        Ok((device, place.at, mapping.len))
    }

    /// Where the data of a new extent goes.
    pub(super) fn destination(
        &self,
        extent: DataExtent,
    ) -> Result<(Destination, &Arc<BlockDevice>, Append)> {
        let chunk = self.path.volume.chunk(extent.logical)?;
        let (device, at, len) = self.locate(extent.logical, extent.len)?;
        if len < extent.len {
            return Err(EUCLEAN);
        }
        if !self.path.volume.is_sequential(&chunk) {
            return Ok((Destination::At(at.get() >> 9), device, Append::No));
        }
        let zone = chunk.stripes.first().ok_or(EUCLEAN)?.at;
        Ok((Destination::Append(zone.get() >> 9), device, Append::Yes))
    }

    /// Where a zone append went.
    pub(super) fn appended_at(&self, extent: DataExtent, sector: u64) -> Result<Logical> {
        let chunk = self.path.volume.chunk(extent.logical)?;
        let zone = chunk.stripes.first().ok_or(EUCLEAN)?.at;
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
