// SPDX-License-Identifier: GPL-2.0
//! Arithmetic with zones.

use core::num::NonZeroU64;

/// Bytes in a zone: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ZoneSize(NonZeroU64);

impl ZoneSize {
    /// `None` when it is no power of two.
    pub(super) fn new(bytes: u64) -> Option<Self> {
        NonZeroU64::new(bytes)
            .filter(|bytes| bytes.is_power_of_two())
            .map(Self)
    }

    /// The size in bytes.
    pub(super) fn get(self) -> u64 {
        self.0.get()
    }

    /// The number of the zone that holds an address.
    pub(super) fn number(self, at: u64) -> u64 {
        at / self.0
    }

    /// How many zones begin below an address: the number of the first that begins there or behind.
    pub(super) fn number_above(self, at: u64) -> u64 {
        self.number(at)
            .saturating_add(u64::from(!self.is_start(at)))
    }

    /// Where the zone with a number starts.
    pub(super) fn start(self, number: u64) -> u64 {
        number.saturating_mul(self.get())
    }

    /// Whether a zone starts at an address.
    pub(super) fn is_start(self, at: u64) -> bool {
        at % self.0 == 0
    }
}
