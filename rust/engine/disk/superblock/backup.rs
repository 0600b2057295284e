// SPDX-License-Identifier: GPL-2.0
//! Where the trees were after the last commits.

use crate::disk::raw::RawRootBackup;
use crate::disk::{Bytes, Generation, Logical, RootPointer};

/// Where the trees were after one of the last four commits (C: `struct btrfs_root_backup`). A tree that was not there
/// is at address zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootBackup {
    /// The tree of trees.
    pub root: RootPointer,
    /// The chunk tree.
    pub chunk: RootPointer,
    /// The extent tree.
    pub extent: RootPointer,
    /// The top level subvolume.
    pub files: RootPointer,
    /// The device tree.
    pub device: RootPointer,
    /// The checksum tree.
    pub checksum: RootPointer,
    /// What the superblock had there.
    pub total_bytes: Bytes,
    /// What the superblock had there.
    pub bytes_used: Bytes,
    /// What the superblock had there.
    pub num_devices: u64,
}

impl RootBackup {
    /// Whether a commit has written it.
    pub const fn is_used(&self) -> bool {
        self.root.generation.get() > 0
    }
}

impl From<&RawRootBackup> for RootBackup {
    fn from(raw: &RawRootBackup) -> Self {
        let pointer = |addr: u64, level, generation: u64| RootPointer {
            addr: Logical::new(addr),
            level,
            generation: Generation::new(generation),
        };
        Self {
            root: pointer(
                raw.tree_root.get(),
                raw.tree_root_level,
                raw.tree_root_generation.get(),
            ),
            chunk: pointer(
                raw.chunk_root.get(),
                raw.chunk_root_level,
                raw.chunk_root_generation.get(),
            ),
            extent: pointer(
                raw.extent_root.get(),
                raw.extent_root_level,
                raw.extent_root_generation.get(),
            ),
            files: pointer(
                raw.fs_root.get(),
                raw.fs_root_level,
                raw.fs_root_generation.get(),
            ),
            device: pointer(
                raw.dev_root.get(),
                raw.dev_root_level,
                raw.dev_root_generation.get(),
            ),
            checksum: pointer(
                raw.csum_root.get(),
                raw.csum_root_level,
                raw.csum_root_generation.get(),
            ),
            total_bytes: raw.total_bytes.into(),
            bytes_used: raw.bytes_used.into(),
            num_devices: raw.num_devices.get(),
        }
    }
}

impl From<&RootBackup> for RawRootBackup {
    fn from(backup: &RootBackup) -> Self {
        Self {
            tree_root: backup.root.addr.get().into(),
            tree_root_generation: backup.root.generation.get().into(),
            chunk_root: backup.chunk.addr.get().into(),
            chunk_root_generation: backup.chunk.generation.get().into(),
            extent_root: backup.extent.addr.get().into(),
            extent_root_generation: backup.extent.generation.get().into(),
            fs_root: backup.files.addr.get().into(),
            fs_root_generation: backup.files.generation.get().into(),
            dev_root: backup.device.addr.get().into(),
            dev_root_generation: backup.device.generation.get().into(),
            csum_root: backup.checksum.addr.get().into(),
            csum_root_generation: backup.checksum.generation.get().into(),
            total_bytes: backup.total_bytes.into(),
            bytes_used: backup.bytes_used.into(),
            num_devices: backup.num_devices.into(),
            unused_64: [0.into(); 4],
            tree_root_level: backup.root.level,
            chunk_root_level: backup.chunk.level,
            extent_root_level: backup.extent.level,
            fs_root_level: backup.files.level,
            dev_root_level: backup.device.level,
            csum_root_level: backup.checksum.level,
            unused_8: [0; 10],
        }
    }
}
