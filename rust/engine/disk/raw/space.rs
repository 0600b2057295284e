// SPDX-License-Identifier: GPL-2.0
//! Block groups and free space.

use super::{on_disk, RawKey};
use zerocopy::little_endian::{U32, U64};

on_disk! {
    /// A block group (C: `btrfs_block_group_item`).
    RawBlockGroup: 24 {
        /// Bytes in extents.
        used: U64,
        /// The objectid of the chunk's key.
        chunk_objectid: U64,
        /// The chunk's flags.
        flags: U64,
    }

    /// Free space tree: how a block group's free space is recorded (C: `btrfs_free_space_info`).
    RawFreeSpaceInfo: 8 {
        /// How many free ranges there are.
        extent_count: U32,
        /// The flag [`FREE_SPACE_BITMAPS`], if any.
        flags: U32,
    }

    /// Free space cache (v1): the item that leads to a block group's cache file
    /// (C: `btrfs_free_space_header`).
    RawCacheHeader: 41 {
        /// The cache file's inode.
        location: RawKey,
        /// The transaction that wrote it.
        generation: U64,
        /// Entries in the file.
        num_entries: U64,
        /// Bitmaps among them.
        num_bitmaps: U64,
    }

    /// Free space cache (v1): an entry of a cache file (C: `btrfs_free_space_entry`).
    RawCacheEntry: 17 {
        /// The free range, or the start of the bitmap's range.
        offset: U64,
        /// The number of free bytes.
        bytes: U64,
        /// 1 for a range, 2 for a bitmap (C: `BTRFS_FREE_SPACE_EXTENT`, `BTRFS_FREE_SPACE_BITMAP`).
        kind: u8,
    }
}

/// The block group's free space is kept in bitmaps (C: `BTRFS_FREE_SPACE_USING_BITMAPS`).
pub const FREE_SPACE_BITMAPS: u32 = 1;
/// Bytes in a free space bitmap: of the tree, at most (C: `BTRFS_FREE_SPACE_BITMAP_SIZE`).
pub const FREE_SPACE_BITMAP_SIZE: usize = 256;
