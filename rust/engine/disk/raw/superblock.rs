// SPDX-License-Identifier: GPL-2.0
//! The superblock, byte for byte.

use super::{on_disk, RawDevItem};
use crate::disk::Uuid;
use zerocopy::little_endian::{U16, U32, U64};

on_disk! {
    /// Where the trees were, four commits back (C: `btrfs_root_backup`).
    RawRootBackup: 168 {
        /// Root of the tree of trees.
        tree_root: U64,
        /// The generation of that root.
        tree_root_generation: U64,
        /// Root of the chunk tree.
        chunk_root: U64,
        /// The generation of that root.
        chunk_root_generation: U64,
        /// Root of the extent tree.
        extent_root: U64,
        /// The generation of that root.
        extent_root_generation: U64,
        /// Root of the top level subvolume.
        fs_root: U64,
        /// The generation of that root.
        fs_root_generation: U64,
        /// Root of the device tree.
        dev_root: U64,
        /// The generation of that root.
        dev_root_generation: U64,
        /// Root of the checksum tree.
        csum_root: U64,
        /// The generation of that root.
        csum_root_generation: U64,
        /// What the superblock had there.
        total_bytes: U64,
        /// What the superblock had there.
        bytes_used: U64,
        /// What the superblock had there.
        num_devices: U64,
        /// These bytes are kept for the future.
        unused_64: [U64; 4],
        /// Level of the tree of trees.
        tree_root_level: u8,
        /// Level of the chunk tree.
        chunk_root_level: u8,
        /// Level of the extent tree.
        extent_root_level: u8,
        /// Level of the top level subvolume.
        fs_root_level: u8,
        /// Level of the device tree.
        dev_root_level: u8,
        /// Level of the checksum tree.
        csum_root_level: u8,
        /// These bytes are kept for the future.
        unused_8: [u8; 10],
    }

    /// The superblock (C: `btrfs_super_block`).
    RawSuperblock: 4096 {
        /// Checksum of all that follows this field.
        checksum: [u8; 32],
        /// The file system's UUID, as users see it.
        fsid: Uuid,
        /// Where this copy stands on its device (the mirror's place, also on zoned devices).
        addr: U64,
        /// The bits of [`crate::disk::SuperFlags`].
        flags: U64,
        /// The bytes `_BHRfS_M`, as a number.
        magic: U64,
        /// The last committed transaction.
        generation: U64,
        /// Root block of the tree of trees.
        root: U64,
        /// Root block of the chunk tree.
        chunk_root: U64,
        /// Root block of the log root tree, or zero.
        log_root: U64,
        /// This field was never used.
        unused_log_root_transid: U64,
        /// Bytes of all devices.
        total_bytes: U64,
        /// Bytes in extents.
        bytes_used: U64,
        /// The number is always 6.
        root_dir_objectid: U64,
        /// How many devices.
        num_devices: U64,
        /// Bytes of a sector: the unit of data.
        sector_size: U32,
        /// Bytes of a tree block.
        node_size: U32,
        /// Equal to `node_size`.
        leaf_size: U32,
        /// Equal to `sector_size`.
        stripe_size: U32,
        /// Bytes of `sys_chunk_array` in use.
        sys_chunk_array_size: U32,
        /// Generation of the chunk tree's root.
        chunk_root_generation: U64,
        /// Features that anyone may ignore.
        compat_flags: U64,
        /// Features that must be known to write.
        compat_ro_flags: U64,
        /// Features that must be known.
        incompat_flags: U64,
        /// The checksum's algorithm.
        csum_type: U16,
        /// Level of the tree of trees.
        root_level: u8,
        /// Level of the chunk tree.
        chunk_root_level: u8,
        /// Level of the log root tree.
        log_root_level: u8,
        /// The device this copy stands on.
        dev_item: RawDevItem,
        /// The name users give; ends at the first zero.
        label: [u8; 256],
        /// Generation of the free space cache (v1); all ones for none.
        cache_generation: U64,
        /// Generation of the UUID tree.
        uuid_tree_generation: U64,
        /// The UUID in tree blocks, where the feature says that it differs from `fsid`.
        metadata_uuid: Uuid,
        /// Extent tree v2.
        nr_global_roots: U64,
        /// The root of the remap tree.
        remap_root: U64,
        /// The generation of that root.
        remap_root_generation: U64,
        /// The level of that root.
        remap_root_level: u8,
        /// These bytes are kept for the future.
        reserved: [u8; 199],
        /// The chunks that hold the chunk tree: key, chunk, stripes, one after another.
        sys_chunk_array: [u8; 2048],
        /// The trees' last four roots.
        backups: [RawRootBackup; 4],
        /// What is left of 4096 bytes.
        padding: [u8; 565],
    }
}
