// SPDX-License-Identifier: GPL-2.0
//! Numbers of the format that must not be mixed up.

/// Bits in a word of a bitmap: each stands for a sector.
pub const WORD: u64 = 64;

units::unit!(
    /// The number of the transaction that wrote something (C: `transid`).
    Generation
);
units::unit!(
    /// A key's objectid: an inode number, a tree's id, or an address, by the item's kind.
    ObjectId
);

units::unit!(
    /// The id that a device has in its volume (C: `devid`).
    DeviceId
);

impl ObjectId {
    /// The number after this one; `None` after the last.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl Generation {
    /// The number of the transaction after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
