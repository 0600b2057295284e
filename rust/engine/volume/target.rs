// SPDX-License-Identifier: GPL-2.0
//! Where new data goes, and moving data there. On sequential zones the device decides at which address, and the volume says
//! which that is.

use super::{Chunk, Mapping, Place, Volume};
use crate::disk::{self, Bug, Bytes, Flaw, Logical, Physical};
use latch::prelude::*;

/// Where new data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It goes to this place.
    At(Place),
    /// It goes to the write pointer of the zone that begins here; the device tells where that was.
    Append(Place),
}

/// A mount opens all devices that its chunks name.
pub(super) const NO_DEVICE: Bug = Bug::new("a mapped range is on a device that is not open");

impl Volume {
    /// Where the `len` bytes of a new extent at `addr` go. The data are kept once: see [`Self::check_data_copies`].
    pub fn target(&self, addr: Logical, len: Bytes) -> Result<Target> {
        let place = self.place(addr, len)?;
        let chunk = self.chunk(addr)?;
        Ok(match self.is_sequential(&chunk) {
            true => Target::Append(self.zone(&chunk)?),
            false => Target::At(place),
        })
    }

    /// Writes the data of a new extent at `addr`; where they are then.
    pub fn write_extent(&self, addr: Logical, buf: &[u8]) -> Result<Logical> {
        let len = Bytes::from(buf.len());
        let device = |place: &Place| self.device(place.devid).ok_or(NO_DEVICE);
        match self.target(addr, len)? {
            Target::At(place) => device(&place)?.write(place.at, buf).map(|()| addr),
            Target::Append(zone) => {
                let at = device(&zone)?.append(zone.at, buf)?;
                self.appended_at(addr, len, at)
            }
        }
    }

    /// The address of `len` bytes for `addr` that an append to their zone put at `at` of the device.
    pub fn appended_at(&self, addr: Logical, len: Bytes, at: Physical) -> Result<Logical> {
        let chunk = self.chunk(addr)?;
        let zone = self.zone(&chunk)?;
        let offset = at.checked_since(zone.at);
        let within = offset.filter(|offset| offset.saturating_add(len) <= chunk.len);
        let Some(offset) = within else {
            pr_err!(
                "zone append landed at {at}, outside of its zone at {}\n",
                zone.at
            );
            return Err(EIO);
        };
        Ok(chunk.logical.saturating_add(offset))
    }

    /// Where the zone of a sequential chunk of data begins: a chunk is whole zones, here one.
    fn zone(&self, chunk: &Chunk) -> Result<Place> {
        self.place(chunk.logical, chunk.len)
    }

    /// Where all of a range is, in its first copy.
    fn place(&self, addr: Logical, len: Bytes) -> Result<Place> {
        /// A chunk without stripes passes no gate.
        const NO_COPY: Bug = Bug::new("a mapped range has no copy");
        let mapping = self.in_one_piece(addr, len)?;
        Ok(*mapping.copies().first().ok_or(NO_COPY)?)
    }

    /// Where the copies of a range are, each in one piece.
    pub(super) fn in_one_piece(&self, addr: Logical, len: Bytes) -> Result<Mapping> {
        let mapping = self.map(addr, len)?;
        if mapping.len < len {
            let flaw = Flaw::new("data do not lie in one piece", mapping.len.get(), len.get());
            return Err(flaw.at(disk::Place::Extent(addr)).report());
        }
        Ok(mapping)
    }
}
