// SPDX-License-Identifier: GPL-2.0
//! File data that the engine reads and writes itself: the free space cache. All other data are the matter of the kernel edge.

use super::{Place, Volume};
use crate::disk::{Bytes, Logical};
use latch::prelude::*;

impl Volume {
    /// Reads whole sectors at `addr`, of any copy that can be read.
    pub fn read_data(&self, addr: Logical, buf: &mut [u8]) -> Result {
        let (mut at, mut rest) = (addr, buf);
        while !rest.is_empty() {
            let len = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            let mapping = self.map(at, Bytes::new(len))?;
            let piece = usize::try_from(mapping.len).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_mut(piece.min(rest.len()));
            let mut read =
                |place: &Place| self.device(place.devid).ok_or(ENODEV)?.read(place.at, now);
            let mut copies = mapping.copies().iter();
            copies.find_map(|place| read(place).ok()).ok_or(EIO)?;
            at = at.saturating_add(mapping.len);
            rest = later;
        }
        Ok(())
    }

    /// Writes whole sectors at `addr`, to all copies. Durable after the next flush.
    pub fn write_data(&self, addr: Logical, bytes: &[u8]) -> Result {
        self.check_sending()?;
        let (mut at, mut rest) = (addr, bytes);
        while !rest.is_empty() {
            let len = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            let mapping = self.map(at, Bytes::new(len))?;
            let piece = usize::try_from(mapping.len).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(piece.min(rest.len()));
            for place in mapping.copies() {
                let device = self.device(place.devid).ok_or(ENODEV)?;
                device.write(place.at, now)?;
            }
            at = at.saturating_add(mapping.len);
            rest = later;
        }
        Ok(())
    }
}
