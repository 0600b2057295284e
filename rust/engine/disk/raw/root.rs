// SPDX-License-Identifier: GPL-2.0
//! Items of the root tree.

use super::{on_disk, RawInodeItem, RawKey, RawTimespec};
use crate::disk::Uuid;
use zerocopy::little_endian::{U16, U32, U64};

on_disk! {
    /// A tree (C: `btrfs_root_item`). Old ones end before `generation_v2`.
    RawRootItem: 439 {
        /// A directory inode that nobody looks at, with flags of the root.
        inode: RawInodeItem,
        /// The transaction that changed the tree last.
        generation: U64,
        /// The inode of the root directory.
        root_dir: U64,
        /// The root block.
        addr: U64,
        /// This field is unused.
        byte_limit: U64,
        /// Bytes of the tree's own blocks.
        bytes_used: U64,
        /// The generation of the last snapshot of this tree.
        last_snapshot: U64,
        /// The flags [`ROOT_READ_ONLY`] and [`ROOT_DEAD`].
        flags: U64,
        /// Zero when the subvolume is to be dropped.
        refs: U32,
        /// Where an interrupted drop is.
        drop_progress: RawKey,
        /// The level of that.
        drop_level: u8,
        /// The root block's level.
        level: u8,
        /// Equal to `generation`, or all that follows is void.
        generation_v2: U64,
        /// The subvolume's UUID.
        uuid: Uuid,
        /// The UUID of the subvolume it is a snapshot of.
        parent_uuid: Uuid,
        /// The UUID of the subvolume it was received from.
        received_uuid: Uuid,
        /// The transaction that changed an inode last.
        ctransid: U64,
        /// The transaction that created it.
        otransid: U64,
        /// The transaction in which it was sent.
        stransid: U64,
        /// The transaction in which it was received.
        rtransid: U64,
        /// When it was changed.
        ctime: RawTimespec,
        /// When it was made.
        otime: RawTimespec,
        /// When it was sent.
        stime: RawTimespec,
        /// When it was received.
        rtime: RawTimespec,
        /// These bytes are kept for the future.
        reserved: [U64; 8],
    }

    /// A subvolume's place; the name follows (C: `btrfs_root_ref`).
    RawRootRef: 18 {
        /// The directory that has the entry.
        dir: U64,
        /// The entry's index.
        sequence: U64,
        /// Bytes of the name.
        name_len: U16,
    }
}

/// Bytes of a root item as old kernels made it: up to `generation_v2`.
pub const OLD_ROOT_ITEM_SIZE: usize = 239;
const _: () = assert!(core::mem::offset_of!(RawRootItem, generation_v2) == OLD_ROOT_ITEM_SIZE);

/// The subvolume is read-only (C: `BTRFS_ROOT_SUBVOL_RDONLY`).
pub const ROOT_READ_ONLY: u64 = 1;
/// The subvolume is being deleted (C: `BTRFS_ROOT_SUBVOL_DEAD`).
pub const ROOT_DEAD: u64 = 1 << 48;
/// The bit that says of the inode in a root item: the item's own flags were set by who knew of them (C: `BTRFS_INODE_ROOT_ITEM_INIT`).
pub const INODE_ROOT_ITEM_INIT: u64 = 1 << 31;
