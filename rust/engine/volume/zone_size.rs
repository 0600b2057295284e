// SPDX-License-Identifier: GPL-2.0
//! Arithmetic with zones.

use crate::disk::{Bytes, Physical};
use core::num::NonZeroU64;
use latch::prelude::*;

/// Zones from 4 MiB to 8 GiB are known to exist (C: `BTRFS_MIN_ZONE_SIZE`, `BTRFS_MAX_ZONE_SIZE`).
const ZONE_SIZES: core::ops::RangeInclusive<Bytes> = Bytes::new(1 << 22)..=Bytes::new(1 << 33);

/// Bytes in a zone: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ZoneSize(NonZeroU64);

impl ZoneSize {
    /// `None` when it is no power of two.
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        NonZeroU64::new(bytes.get())
            .filter(|bytes| bytes.is_power_of_two())
            .map(Self)
    }

    /// The size in bytes.
    pub(super) fn get(self) -> Bytes {
        Bytes::new(self.0.get())
    }

    /// The number of the zone that holds an address.
    pub(super) fn number(self, at: Physical) -> u64 {
        at.get() / self.0
    }

    /// How many zones begin below an address: the number of the first that begins there or behind.
    pub(super) fn number_above(self, at: Physical) -> u64 {
        self.number(at)
            .saturating_add(u64::from(!self.is_start(at)))
    }

    /// Where the zone with a number starts.
    pub(super) fn start(self, number: u64) -> Physical {
        Physical::after(self.get().saturating_mul(number))
    }

    /// Whether a zone starts at an address.
    pub(super) fn is_start(self, at: Physical) -> bool {
        at.get() % self.0 == 0
    }
}

/// The size of a device's zones, if it is one that is supported; else it is told.
pub(super) fn check_zone_size(size: Bytes) -> Result<ZoneSize> {
    let supported = ZoneSize::new(size).filter(|_| ZONE_SIZES.contains(&size));
    if supported.is_none() {
        pr_err!("zones of {} bytes are not supported\n", size);
    }
    supported.ok_or(EINVAL)
}
