// SPDX-License-Identifier: GPL-2.0

//! The unit of the block layer (C: `sector_t`, `include/linux/blk_types.h`).

use latch::prelude::*;
use units::{Bytes, Physical};

/// A place on a block device, in units of 512 bytes whatever the device's own blocks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sector(u64);

impl Sector {
    const SHIFT: u32 = 9;

    /// The sector that has this byte of the device.
    pub(crate) const fn of(byte: Physical) -> Self {
        Self(byte.get() >> Self::SHIFT)
    }

    /// The sector's first byte. `EIO` where a device names one that it cannot have.
    pub(crate) fn byte(self) -> Result<Physical> {
        let byte = self.0.checked_mul(1 << Self::SHIFT).ok_or(EIO)?;
        Ok(Physical::new(byte))
    }

    /// How many sectors as many bytes are.
    pub(in crate::linux) const fn count(bytes: Bytes) -> u64 {
        bytes.get() >> Self::SHIFT
    }

    /// How many bytes as many sectors are.
    pub(in crate::linux) const fn bytes(count: u64) -> Bytes {
        Bytes::new(count.saturating_mul(1 << Self::SHIFT))
    }

    /// The number as bios have it.
    pub(in crate::linux) const fn get(self) -> u64 {
        self.0
    }

    /// The sector that a bio has.
    pub(in crate::linux) const fn new(sector: u64) -> Self {
        Self(sector)
    }
}
