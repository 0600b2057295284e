// SPDX-License-Identifier: GPL-2.0
//! File data that the engine reads and writes itself: the free space cache, and what it moves. All other data are the matter of
//! the kernel edge.

use super::device::BegunWrite;
use super::target::NO_DEVICE;
use super::{Mapping, Place, Volume};
use crate::disk::{Bytes, Logical};
use core::ops::Range;
use latch::prelude::*;

impl Volume {
    /// Reads what is at `addr`, from the first copy that is `good`. `EIO` where none is.
    pub fn read_good(&self, addr: Logical, buf: &mut [u8], good: &dyn Fn(&[u8]) -> bool) -> Result {
        let mapping = self.in_one_piece(addr, Bytes::from(buf.len()))?;
        for place in mapping.copies() {
            let device = self.device(place.devid).ok_or(NO_DEVICE)?;
            if device.read(place.at, buf).is_ok() && good(buf) {
                return Ok(());
            }
        }
        Err(EIO)
    }

    /// Reads whole sectors at `addr`, of any copy that can be read.
    pub fn read_data(&self, addr: Logical, buf: &mut [u8]) -> Result {
        self.each_piece(addr, buf.len(), |mapping, part| {
            let now = buf.get_mut(part).ok_or(EIO)?;
            let mut read = |place: &Place| {
                self.device(place.devid)
                    .ok_or(NO_DEVICE)?
                    .read(place.at, now)
            };
            let mut copies = mapping.copies().iter();
            copies.find_map(|place| read(place).ok()).ok_or(EIO)
        })
    }

    /// Begins to write whole sectors at `addr`, to all copies. What was begun is in `begun` whatever came of the rest. Durable
    /// after it was waited for and the next flush.
    pub fn begin_write_data<'a>(
        &'a self,
        addr: Logical,
        bytes: &[u8],
        begun: &mut KVec<KBox<dyn BegunWrite + 'a>>,
    ) -> Result {
        self.check_sending()?;
        self.each_piece(addr, bytes.len(), |mapping, part| {
            let now = bytes.get(part).ok_or(EIO)?;
            for place in mapping.copies() {
                let device = self.device(place.devid).ok_or(NO_DEVICE)?;
                begun.push(device.begin_write(place.at, now)?, GFP_KERNEL)?;
            }
            Ok(())
        })
    }

    /// Calls `each` with where each piece of `len` bytes at `addr` is, and which of the bytes it has.
    fn each_piece(
        &self,
        addr: Logical,
        len: usize,
        mut each: impl FnMut(&Mapping, Range<usize>) -> Result,
    ) -> Result {
        let (mut at, mut done) = (addr, 0usize);
        while done < len {
            let rest = len.saturating_sub(done);
            let mapping = self.map(at, Bytes::from(rest))?;
            let piece = usize::try_from(mapping.len).unwrap_or(usize::MAX).min(rest);
            let end = done.saturating_add(piece);
            each(&mapping, done..end)?;
            at = at.saturating_add(mapping.len);
            done = end;
        }
        Ok(())
    }
}
