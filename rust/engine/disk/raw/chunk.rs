// SPDX-License-Identifier: GPL-2.0
//! Items of the chunk tree and the device tree.

use super::on_disk;
use crate::disk::Uuid;
use zerocopy::little_endian::{U16, U32, U64};

on_disk! {
    /// A device (C: `btrfs_dev_item`).
    RawDevItem: 98 {
        /// The id of the device.
        devid: U64,
        /// Bytes that may be used.
        total_bytes: U64,
        /// Bytes in chunks.
        bytes_used: U64,
        /// This field is unused.
        io_align: U32,
        /// This field is unused.
        io_width: U32,
        /// The file system's sector size.
        sector_size: U32,
        /// This field is unused.
        kind: U64,
        /// This field is unused.
        generation: U64,
        /// This field is unused.
        start_offset: U64,
        /// This field is unused.
        dev_group: U32,
        /// This field is unused.
        seek_speed: u8,
        /// This field is unused.
        bandwidth: u8,
        /// The device's UUID.
        uuid: Uuid,
        /// The file system's (metadata) UUID.
        fsid: Uuid,
    }

    /// Where one copy or part of a chunk lies (C: `btrfs_stripe`).
    RawStripe: 32 {
        /// The id of the device.
        devid: U64,
        /// The first byte there.
        offset: U64,
        /// The device's UUID.
        dev_uuid: Uuid,
    }

    /// A chunk; its stripes follow (C: `btrfs_chunk` less its first stripe).
    RawChunk: 48 {
        /// Bytes in the logical space.
        len: U64,
        /// The extent tree's id.
        owner: U64,
        /// Always [`crate::disk::STRIPE_LEN`] in bytes.
        stripe_len: U64,
        /// Block group flags.
        flags: U64,
        /// Equal to `stripe_len`.
        io_align: U32,
        /// Equal to `stripe_len`.
        io_width: U32,
        /// The file system's sector size.
        sector_size: U32,
        /// How many stripes follow.
        num_stripes: U16,
        /// Two for RAID10, else one (or zero, by old kernels).
        sub_stripes: U16,
    }

    /// A range of a device that a chunk uses (C: `btrfs_dev_extent`).
    RawDevExtent: 48 {
        /// The chunk tree's id.
        chunk_tree: U64,
        /// The objectid of the chunk's key.
        chunk_objectid: U64,
        /// The chunk's address.
        chunk_offset: U64,
        /// Bytes on the device.
        len: U64,
        /// The chunk tree's UUID.
        chunk_tree_uuid: Uuid,
    }
}
