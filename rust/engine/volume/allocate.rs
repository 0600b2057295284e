// SPDX-License-Identifier: GPL-2.0
//! Where a new chunk goes, and how long it gets. Pure functions of what is in use.

use super::profile::Profile;
use crate::disk::{
    BlockGroupFlags, Bytes, Physical, DEVICE_RESERVED, STRIPE_LEN, SUPERBLOCK_PLACES,
};
use latch::prelude::*;

/// A range of a device that a chunk uses, as DEV_EXTENT items have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceRange {
    /// The first byte.
    pub start: Physical,
    /// How many bytes it has.
    pub len: Bytes,
}

impl DeviceRange {
    /// The first byte behind it.
    pub const fn end(&self) -> Physical {
        self.start.saturating_add(self.len)
    }
}

/// Where the copies of a chunk begin, and how long each is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) starts: KVec<Physical>,
    pub(super) len: Bytes,
}

const MIB: Bytes = Bytes::new(1 << 20);
const GIB: Bytes = Bytes::new(1 << 30);

/// The length a chunk of this type should have on a regular volume (C: `calc_chunk_size`, and the limits in
/// `init_alloc_chunk_ctl_policy_regular`): a tenth of the volume at most.
fn wanted_len(flags: BlockGroupFlags, total_bytes: Bytes) -> Bytes {
    let by_type = if flags.contains(BlockGroupFlags::DATA) {
        GIB.saturating_mul(10)
    } else if flags.contains(BlockGroupFlags::SYSTEM) {
        MIB.saturating_mul(32)
    } else if total_bytes > GIB.saturating_mul(50) {
        GIB
    } else {
        MIB.saturating_mul(256)
    };
    by_type.min(total_bytes.divided_by(10))
}

/// Finds room for a chunk on a regular device: where its copies begin, and how long each is. `ENOSPC`.
pub(super) fn plan_regular(
    flags: BlockGroupFlags,
    total_bytes: Bytes,
    used: &[DeviceRange],
) -> Result<Plan> {
    let copies = Profile::of(flags).ok_or(EOPNOTSUPP)?.copies();
    let limit = wanted_len(flags, total_bytes);
    let most = limit.min(GIB).saturating_mul(copies);
    let hole = find_hole(used, DEVICE_RESERVED, Physical::after(total_bytes), most);
    let mut len = hole.len.min(most).divided_by(copies);
    if len > limit {
        len = len.min(
            limit
                .checked_round_up(MIB.saturating_mul(16))
                .unwrap_or(limit),
        );
    }
    let len = len.min(GIB).round_down(STRIPE_LEN);
    if len.is_zero() {
        return Err(ENOSPC);
    }
    let mut starts = KVec::new();
    for copy in 0..copies {
        let start = hole.start.saturating_add(len.saturating_mul(copy));
        starts.push(start, GFP_NOFAIL)?;
    }
    Ok(Plan { starts, len })
}

/// The first hole of `wanted` bytes between `start` and `end`, or the largest. `used` ascends.
fn find_hole(used: &[DeviceRange], start: Physical, end: Physical, wanted: Bytes) -> DeviceRange {
    let mut best = DeviceRange {
        start,
        len: Bytes::ZERO,
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

const fn superblock_range(place: Physical) -> DeviceRange {
    DeviceRange {
        start: place,
        len: STRIPE_LEN,
    }
}

/// The first unused range of at least `least` bytes at or behind `from` of a device, but for what superblocks stand in.
/// `used` is ascending.
pub(super) fn unused_from(
    used: &[DeviceRange],
    from: Physical,
    end: Physical,
    least: Bytes,
) -> Option<DeviceRange> {
    Holes::new(used, from.max(DEVICE_RESERVED), end)
        .flat_map(|hole| Holes::new(&SUPERBLOCK_RANGES, hole.start, hole.end()))
        .find(|hole| hole.len >= least)
}

/// The holes between used ranges.
pub(super) struct Holes<'a> {
    used: core::slice::Iter<'a, DeviceRange>,
    at: Physical,
    end: Physical,
}

impl<'a> Holes<'a> {
    /// The holes between `start` and `end`.
    pub(super) fn new(used: &'a [DeviceRange], start: Physical, end: Physical) -> Self {
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
                Some(used) => (used.start, used.end()),
                None => (self.end, self.end),
            };
            self.at = self.at.max(behind);
            let len = next.min(self.end).saturating_since(start);
            if !len.is_zero() {
                return Some(DeviceRange { start, len });
            }
        }
        None
    }
}
