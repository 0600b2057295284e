// SPDX-License-Identifier: GPL-2.0
//! File data where it is kept. The engine reads and writes little of it itself, the free space cache and what it moves; all other
//! data are the matter of the kernel edge, which asks where they go. On sequential zones the device decides at which address new
//! data goes, and the volume says which that is.

use super::device::BegunWrite;
use super::{Chunk, ChunkMapping, DeviceAddress, Volume, NO_COPY, NO_DEVICE};
use crate::disk::{self, BlockGroupFlags, Bug, Bytes, Flaw, Logical, Physical};
use core::ops::Range;
use latch::prelude::*;

/// Where new data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteTarget {
    /// The write goes to this address.
    At(DeviceAddress),
    /// The write goes to the write pointer of the zone that begins here; the device tells where that was.
    Append(DeviceAddress),
}

/// The pieces of a range are within it.
const OUTSIDE: Bug = Bug::new("a piece of a range lies outside of it");

/// The file data of a volume: [`Volume::data`].
#[derive(Clone, Copy)]
pub struct DataAccess<'a>(&'a Volume);

impl Volume {
    /// File data, to be read and written.
    pub fn data(&self) -> DataAccess<'_> {
        DataAccess(self)
    }
}

impl<'a> DataAccess<'a> {
    /// Reads what is at `addr`, from the first copy that is `good`. `EIO` where none is.
    pub fn read_good(&self, addr: Logical, buf: &mut [u8], good: &dyn Fn(&[u8]) -> bool) -> Result {
        let mapping = self.in_one_piece(addr, Bytes::from(buf.len()))?;
        for place in mapping.copies() {
            let device = self.0.device(place.devid).ok_or(NO_DEVICE)?;
            if device.read(place.at, buf).is_ok() && good(buf) {
                return Ok(());
            }
        }
        pr_err!("no copy of the data at {addr} can be read and is good\n");
        Err(EIO)
    }

    /// Reads whole sectors at `addr`, of any copy that can be read.
    pub fn read(&self, addr: Logical, buf: &mut [u8]) -> Result {
        self.each_piece(addr, buf.len(), |mapping, part| {
            let now = buf.get_mut(part).ok_or(OUTSIDE)?;
            let mut failed = None;
            for place in mapping.copies() {
                let device = self.0.device(place.devid).ok_or(NO_DEVICE)?;
                match device.read(place.at, now) {
                    Ok(()) => return Ok(()),
                    Err(error) => failed = Some(error),
                }
            }
            Err(failed.unwrap_or_else(|| NO_COPY.report()))
        })
    }

    /// Begins to write whole sectors at `addr`, to all copies. What was begun is in `begun` whatever came of the rest. Durable
    /// after it was waited for and the next flush.
    pub fn begin_write(
        &self,
        addr: Logical,
        bytes: &[u8],
        begun: &mut KVec<KBox<dyn BegunWrite + 'a>>,
    ) -> Result {
        let volume = self.0;
        volume.check_sending()?;
        self.each_piece(addr, bytes.len(), |mapping, part| {
            let now = bytes.get(part).ok_or(OUTSIDE)?;
            for place in mapping.copies() {
                let device = volume.device(place.devid).ok_or(NO_DEVICE)?;
                begun.push(device.begin_write(place.at, now)?, GFP_KERNEL)?;
            }
            Ok(())
        })
    }

    /// Asked by who writes file data to one place: `EROFS` with a line in the log, where it is kept in several
    /// (`mkfs.btrfs -d dup`). Copies that nobody wrote would be left.
    pub fn check_copies(&self) -> Result {
        let mut next = self.0.chunk_from(Logical::new(0));
        while let Some(chunk) = next {
            if chunk.flags.contains(BlockGroupFlags::DATA) && chunk.stripes.len() > 1 {
                pr_err!("file data in several copies (DUP) can only be read: use ro\n");
                return Err(EROFS);
            }
            next = self.0.chunk_from(chunk.end());
        }
        Ok(())
    }

    /// Calls `each` with where each piece of `len` bytes at `addr` is, and which of the bytes it has.
    fn each_piece(
        &self,
        addr: Logical,
        len: usize,
        mut each: impl FnMut(&ChunkMapping, Range<usize>) -> Result,
    ) -> Result {
        let (mut at, mut done) = (addr, 0usize);
        while done < len {
            let rest = len.saturating_sub(done);
            let mapping = self.0.map(at, Bytes::from(rest))?;
            let piece = usize::try_from(mapping.len).unwrap_or(usize::MAX).min(rest);
            let end = done.saturating_add(piece);
            each(&mapping, done..end)?;
            at = at.saturating_add(mapping.len);
            done = end;
        }
        Ok(())
    }

    /// Where the `len` bytes of a new extent at `addr` go. The data are kept once: see [`Self::check_copies`].
    pub fn target(&self, addr: Logical, len: Bytes) -> Result<WriteTarget> {
        let place = self.place(addr, len)?;
        let chunk = self.0.chunk(addr)?;
        Ok(match self.0.zones().is_sequential(&chunk) {
            true => WriteTarget::Append(self.zone(&chunk)?),
            false => WriteTarget::At(place),
        })
    }

    /// Writes the data of a new extent at `addr`; where they are then.
    pub fn write_extent(&self, addr: Logical, buf: &[u8]) -> Result<Logical> {
        let len = Bytes::from(buf.len());
        let device = |place: &DeviceAddress| self.0.device(place.devid).ok_or(NO_DEVICE);
        match self.target(addr, len)? {
            WriteTarget::At(place) => device(&place)?.write(place.at, buf).map(|()| addr),
            WriteTarget::Append(zone) => {
                let at = device(&zone)?.append(zone.at, buf)?;
                self.appended_at(addr, len, at)
            }
        }
    }

    /// The address of `len` bytes for `addr` that an append to their zone put at `at` of the device.
    pub fn appended_at(&self, addr: Logical, len: Bytes, at: Physical) -> Result<Logical> {
        let chunk = self.0.chunk(addr)?;
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
    fn zone(&self, chunk: &Chunk) -> Result<DeviceAddress> {
        self.place(chunk.logical, chunk.len)
    }

    /// Where all of a range is, in its first copy.
    fn place(&self, addr: Logical, len: Bytes) -> Result<DeviceAddress> {
        let mapping = self.in_one_piece(addr, len)?;
        Ok(*mapping.copies().first().ok_or(NO_COPY)?)
    }

    /// Where the copies of a range are, each in one piece.
    fn in_one_piece(&self, addr: Logical, len: Bytes) -> Result<ChunkMapping> {
        let mapping = self.0.map(addr, len)?;
        if mapping.len < len {
            let flaw = Flaw::new("data do not lie in one piece", mapping.len.get(), len.get());
            return Err(flaw.at(disk::Site::Extent(addr)).report());
        }
        Ok(mapping)
    }
}
