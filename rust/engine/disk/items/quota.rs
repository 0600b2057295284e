// SPDX-License-Identifier: GPL-2.0
//! What a quota tree says of itself.

use crate::disk::corrupt::{Bug, Flaw};
use crate::disk::packing::{front, put_front};
use crate::disk::raw::RawQgroupStatus;
use crate::disk::{Key, Kind};

/// The state of the counts in a quota tree (C: `struct btrfs_qgroup_status_item`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaStatus {
    version: u64,
    generation: u64,
    flags: u64,
    rescan: u64,
}

/// The counts are known to be wrong (C: `BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT`).
const INCONSISTENT: u64 = 1 << 2;

impl QuotaStatus {
    /// Where it is.
    pub const KEY: Key = Key::new(0, Kind::QGROUP_STATUS, 0);

    /// Reads an item.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let (raw, _): (&RawQgroupStatus, _) = front(bytes, "quota status is too short")?;
        Ok(Self {
            version: raw.version.get(),
            generation: raw.generation.get(),
            flags: raw.flags.get(),
            rescan: raw.rescan.get(),
        })
    }

    /// Writes it over an item, of which nothing else changes.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let raw = RawQgroupStatus {
            version: self.version.into(),
            generation: self.generation.into(),
            flags: self.flags.into(),
            rescan: self.rescan.into(),
        };
        put_front(bytes, &raw).map(|_| ())
    }

    /// Whether the counts are known to be wrong.
    pub const fn is_inconsistent(&self) -> bool {
        self.flags & INCONSISTENT != 0
    }

    /// This status, but that its counts are known to be wrong.
    pub const fn inconsistent(self) -> Self {
        Self {
            flags: self.flags | INCONSISTENT,
            ..self
        }
    }
}
