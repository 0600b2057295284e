// SPDX-License-Identifier: GPL-2.0
//! What statfs shows.

use super::FileSystem;
use crate::disk::{Bytes, Uuid};
use latch::prelude::*;

/// Space in the file system, in bytes (C: `btrfs_statfs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes in one block, the sector size.
    pub block_size: u32,
    /// Bytes of all devices.
    pub total: Bytes,
    /// What of those is not used.
    pub free: Bytes,
    /// Bytes of file data that can still be written.
    pub available: Bytes,
    /// The volume's UUID; with the subvolume's id it makes `f_fsid`.
    pub fsid: Uuid,
}

impl FileSystem {
    /// What statfs shows.
    pub fn statistics(&self) -> Result<Statistics> {
        let space = self.transactions().space().statistics();
        let free = space.device_free.saturating_sub(space.global_size);
        Ok(Statistics {
            block_size: self.format().sector_size,
            total: space.device_total,
            free: free.max(space.available).min(space.device_total),
            available: space.available,
            fsid: self.transactions().volume().superblock().fsid,
        })
    }
}
