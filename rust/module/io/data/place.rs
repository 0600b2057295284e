// SPDX-License-Identifier: GPL-2.0

//! Where file data is: devices and sectors of logical addresses.

use super::FileIo;
use crate::linux::iomap::ioend::{Append, Destination};
use crate::linux::{BlockDevice, Sector};
use engine::disk::{Bug, Corrupt, FileOffset, Flaw, Logical, Physical, Place};
use engine::space::DataExtent;
use engine::volume::{no_chunk, Target};
use kernel::sync::Arc;
use latch::prelude::*;

/// A chunk without stripes passes no gate.
const NO_COPY: Bug = Bug::new("a mapped range has no copy");
/// A mount opens all devices that its chunks name.
pub(super) const NO_DEVICE: Bug = Bug::new("a mapped range is on a device that is not open");

/// Why something was not found or read. Nothing of it has been logged but errors.
pub(super) enum Unread {
    /// An error that has had its line, or needs none.
    Failed(Error),
    /// The file says what cannot be.
    Corrupt(Corrupt),
    /// No copy of what is at this position of the file, and at this address, has the right checksum.
    Damaged(FileOffset, Logical),
}

/// What came of a look that may have been at old addresses.
pub(super) type Looked<T> = core::result::Result<T, Unread>;

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Bug> for Unread {
    fn from(bug: Bug) -> Self {
        Self::Failed(bug.report())
    }
}

impl From<Corrupt> for Unread {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl<N: Send + Sync + 'static> FileIo<N> {
    /// The device that has the first copy of a logical range, and where it has it.
    pub(super) fn locate(
        &self,
        logical: Logical,
        len: u64,
    ) -> Looked<(&Arc<BlockDevice>, Physical)> {
        let mapping = self.path.volume.find(logical, len);
        let mapping = mapping.ok_or_else(|| no_chunk(logical))?;
        if mapping.len < len {
            let flaw = Flaw::new("data do not lie in one piece", mapping.len, len);
            return Err(flaw.at(Place::Extent(logical)).into());
        }
        let place = mapping.copies().first().ok_or(NO_COPY)?;
        let device = self.path.devices.get(place.devid).ok_or(NO_DEVICE)?;
        Ok((device, place.at))
    }

    /// Where the data of a new extent goes.
    pub(super) fn destination(
        &self,
        extent: DataExtent,
    ) -> Result<(Destination, &Arc<BlockDevice>, Append)> {
        let target = self.path.volume.target(extent.logical, extent.len)?;
        let (destination, place, append) = match target {
            Target::At(place) => (
                Destination::At(Sector::of(place.at.get())),
                place,
                Append::No,
            ),
            Target::Append(zone) => (
                Destination::Append(Sector::of(zone.at.get())),
                zone,
                Append::Yes,
            ),
        };
        let device = self.path.devices.get(place.devid).ok_or(NO_DEVICE)?;
        Ok((destination, device, append))
    }

    /// Where a zone append went.
    pub(super) fn appended_at(&self, extent: DataExtent, sector: Sector) -> Result<Logical> {
        let at = Physical::new(sector.byte()?);
        let volume = &self.path.volume;
        volume.appended_at(extent.logical, extent.len, at)
    }
}
