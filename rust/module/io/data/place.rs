// SPDX-License-Identifier: GPL-2.0

//! Where file data is: devices and sectors of logical addresses.

use super::FileIo;
use crate::linux::iomap::ioend::{Append, Destination};
use crate::linux::{BlockDevice, Sector};
use engine::disk::{Bytes, Logical, Physical};
use engine::space::DataExtent;
use engine::volume::{WriteTarget, NO_DEVICE};
use kernel::sync::Arc;
use latch::prelude::*;

impl<N: Send + Sync + 'static> FileIo<N> {
    /// The device that has the first copy of a logical range, and where it has it. `None` where that is not one place:
    /// whoever looked it up looks again, and tells what is wrong.
    pub(super) fn locate(
        &self,
        logical: Logical,
        len: Bytes,
    ) -> Option<(&Arc<BlockDevice>, Physical)> {
        let mapping = self.path.volume.find(logical, len)?;
        if mapping.len < len {
            return None;
        }
        let place = mapping.copies().first()?;
        let device = self.path.devices.get(place.devid)?;
        Some((device, place.at))
    }

    /// Where the data of a new extent goes.
    pub(super) fn destination(
        &self,
        extent: DataExtent,
    ) -> Result<(Destination, &Arc<BlockDevice>, Append)> {
        let target = self.path.volume.data().target(extent.logical, extent.len)?;
        let (destination, place, append) = match target {
            WriteTarget::At(place) => (Destination::At(Sector::of(place.at)), place, Append::No),
            WriteTarget::Append(zone) => {
                (Destination::Append(Sector::of(zone.at)), zone, Append::Yes)
            }
        };
        let device = self.path.devices.get(place.devid).ok_or(NO_DEVICE)?;
        Ok((destination, device, append))
    }

    /// Where a zone append went.
    pub(super) fn appended_at(&self, extent: DataExtent, sector: Sector) -> Result<Logical> {
        let at = sector.byte()?;
        let volume = &self.path.volume;
        volume.data().appended_at(extent.logical, extent.len, at)
    }
}
