// SPDX-License-Identifier: GPL-2.0
//! Where a new chunk goes, and how long it gets. Pure functions of what is in use.

use super::profile::Profile;
use crate::disk::{BlockGroupFlags, Physical, DEVICE_RESERVED, STRIPE_LEN, SUPERBLOCK_PLACES};
use latch::prelude::*;

/// A range of a device that a chunk uses, as DEV_EXTENT items have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceRange {
    /// The first byte.
    pub start: Physical,
    /// Bytes.
    pub len: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The length a chunk of this type should have on a regular volume (C: `calc_chunk_size`, and the limits in
/// `init_alloc_chunk_ctl_policy_regular`): a tenth of the volume at most.
fn wanted_len(flags: BlockGroupFlags, total_bytes: u64) -> u64 {
    let by_type = if flags.contains(BlockGroupFlags::DATA) {
        10 * GIB
    } else if flags.contains(BlockGroupFlags::SYSTEM) {
        32 * MIB
    } else if total_bytes > 50 * GIB {
        GIB
    } else {
        256 * MIB
    };
    by_type.min(total_bytes / 10)
}

/// Finds room for a chunk on a regular device: where its copies begin, and how long each is. `ENOSPC`.
pub(super) fn plan_regular(
    flags: BlockGroupFlags,
    total_bytes: u64,
    used: &[DeviceRange],
) -> Result<DeviceRange> {
    let copies = Profile::of(flags).ok_or(EOPNOTSUPP)?.copies();
    let limit = wanted_len(flags, total_bytes);
    let most = limit.min(GIB).saturating_mul(copies);
    let hole = find_hole(used, DEVICE_RESERVED, total_bytes, most);
    let mut len = hole.len.min(most).checked_div(copies).unwrap_or(0);
    if len > limit {
        len = len.min(limit.checked_next_multiple_of(16 * MIB).unwrap_or(limit));
    }
    let len = len.min(GIB) / STRIPE_LEN * STRIPE_LEN;
    if len == 0 {
        return Err(ENOSPC);
    }
    Ok(DeviceRange {
        start: hole.start,
        len,
    })
}

/// The first hole of `wanted` bytes between `start` and `end`, or the largest. `used` ascends.
fn find_hole(used: &[DeviceRange], start: u64, end: u64, wanted: u64) -> DeviceRange {
    let mut best = DeviceRange {
        start: Physical::new(start),
        len: 0,
    };
    for hole in Holes::new(used, start, end) {
        if hole.len > best.len {
            best = hole;
        }
        if best.len >= wanted {
            break;
        }
    }
    best
}

/// What chunks leave alone for superblocks.
const SUPERBLOCK_RANGES: [DeviceRange; SUPERBLOCK_PLACES.len()] = {
    let [first, second, third] = SUPERBLOCK_PLACES;
    [
        superblock_range(first),
        superblock_range(second),
        superblock_range(third),
    ]
};

const fn superblock_range(place: u64) -> DeviceRange {
    DeviceRange {
        start: Physical::new(place),
        len: STRIPE_LEN,
    }
}

/// The first unused range of at least `least` bytes at or behind `from` of a device, but for what superblocks stand in.
/// `used` is ascending.
pub(super) fn unused_from(
    used: &[DeviceRange],
    from: u64,
    total_bytes: u64,
    least: u64,
) -> Option<DeviceRange> {
    Holes::new(used, from.max(DEVICE_RESERVED), total_bytes)
        .flat_map(|hole| {
            let end = hole.start.saturating_add(hole.len);
            Holes::new(&SUPERBLOCK_RANGES, hole.start.get(), end.get())
        })
        .find(|hole| hole.len >= least)
}

/// The holes between used ranges.
pub(super) struct Holes<'a> {
    used: core::slice::Iter<'a, DeviceRange>,
    at: u64,
    end: u64,
}

impl<'a> Holes<'a> {
    /// The holes between `start` and `end`.
    pub(super) fn new(used: &'a [DeviceRange], start: u64, end: u64) -> Self {
        Self {
            used: used.iter(),
            at: start,
            end,
        }
    }
}

impl Iterator for Holes<'_> {
    type Item = DeviceRange;

    fn next(&mut self) -> Option<DeviceRange> {
        while self.at < self.end {
            let start = self.at;
            let (next, behind) = match self.used.next() {
                Some(used) => (used.start.get(), used.start.saturating_add(used.len).get()),
                None => (self.end, self.end),
            };
            self.at = self.at.max(behind);
            let len = next.min(self.end).saturating_sub(start);
            if len > 0 {
                return Some(DeviceRange {
                    start: Physical::new(start),
                    len,
                });
            }
        }
        None
    }
}
