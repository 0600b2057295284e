// SPDX-License-Identifier: GPL-2.0
//! What commits cost, for whoever wants to read it.

use crate::disk::Timespec;

/// Tells the time. The edge brings one; without it all times read zero.
pub trait Clock: Send + Sync {
    /// Nanoseconds since some fixed moment; never goes back.
    fn now_ns(&self) -> u64;

    /// The time of day, as the disk is to have it.
    fn real_time(&self) -> Timespec;
}

/// Sums since the mount. Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits that wrote a superblock.
    pub commits: u64,
    /// How long nobody could join, in the last commit.
    pub last_critical_ns: u64,
    /// How long nobody could join, in the worst commit.
    pub longest_critical_ns: u64,
    /// From the start of the last commit to its superblock being durable.
    pub last_commit_ns: u64,
    /// Extents whose delayed references were applied to the extent tree.
    pub refs_run: u64,
    /// Delayed references that met their opposite in the queue and never reached the extent tree.
    pub refs_cancelled: u64,
    /// Groups whose blocks were rewritten elsewhere, for their zones.
    pub groups_emptied: u64,
}
