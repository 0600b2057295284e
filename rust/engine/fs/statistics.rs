// SPDX-License-Identifier: GPL-2.0
//! What statfs shows.

/// Space in the file system, in bytes (C: `btrfs_statfs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes in one block, the sector size.
    pub block_size: u32,
    /// All the devices' bytes, divided by how often data is stored.
    pub total: u64,
    /// What is not used.
    pub free: u64,
    /// What can still be written.
    pub available: u64,
    /// From the volume's UUID and the subvolume id, as C makes `f_fsid`.
    pub fsid: [u8; 16],
}
