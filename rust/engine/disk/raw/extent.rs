// SPDX-License-Identifier: GPL-2.0
//! Items of the extent tree.

use super::{on_disk, RawKey};
use zerocopy::little_endian::{U32, U64};

on_disk! {
    /// An extent; inline references follow (C: `btrfs_extent_item`).
    RawExtentItem: 24 {
        /// All references, inline or with keys of their own.
        refs: U64,
        /// The transaction that allocated it.
        generation: U64,
        /// Data or tree block, and for blocks whether backrefs are full.
        flags: U64,
    }

    /// What an extent item of a tree block has before its references, where metadata is not skinny
    /// (C: `btrfs_tree_block_info`).
    RawTreeBlockInfo: 18 {
        /// The block's first key.
        key: RawKey,
        /// The level of the block.
        level: u8,
    }

    /// The front of an inline reference to a tree block, and of a shared one to data
    /// (C: `btrfs_extent_inline_ref`).
    RawInlineRef: 9 {
        /// The kind, as in a key.
        kind: u8,
        /// The tree's id or the parent's address.
        offset: U64,
    }

    /// A file's reference to data, inline after one kind byte or an item of its own
    /// (C: `btrfs_extent_data_ref`).
    RawDataRef: 28 {
        /// The tree that has the reference.
        root: U64,
        /// The inode that has the reference.
        inode: U64,
        /// File position minus position in the extent, wrapping.
        offset: U64,
        /// How many file extents like this.
        count: U32,
    }

    /// A leaf's reference to data: an item of its own, or after a [`RawInlineRef`]
    /// (C: `btrfs_shared_data_ref`).
    RawSharedDataRef: 4 {
        /// How many file extents in that leaf.
        count: U32,
    }
}
