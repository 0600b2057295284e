// SPDX-License-Identifier: GPL-2.0
//! Well-known numbers: trees, objects and limits (C: `include/uapi/linux/btrfs_tree.h`).

use super::{Bytes, FileOffset, Logical, ObjectId, Physical};

/// How many levels a tree may have; levels are numbered from 0, the leaves (C: `BTRFS_MAX_LEVEL`).
pub const MAX_LEVELS: u8 = 8;
/// The level of the highest root there can be; leaves have 0.
pub const HIGHEST_LEVEL: u8 = MAX_LEVELS - 1;
/// The longest name of a directory entry, in bytes (C: `BTRFS_NAME_LEN`).
pub const MAX_NAME_LEN: usize = 255;
/// The most names an inode may have (C: `BTRFS_LINK_MAX`).
pub const MAX_LINKS: u32 = 65535;
/// The smallest node and sector, in bytes.
pub const MIN_BLOCK_SIZE: u32 = 4096;
/// The largest node, in bytes (C: `BTRFS_MAX_METADATA_BLOCKSIZE`).
pub const MAX_NODE_SIZE: u32 = 65536;
/// The stripe length of every chunk, in bytes (C: `BTRFS_STRIPE_LEN`).
pub const STRIPE_LEN: Bytes = Bytes::new(65536);
/// The first byte of a device that a chunk may use: below stand the superblock and boot loaders
/// (C: `BTRFS_DEVICE_RANGE_RESERVED`).
pub const DEVICE_RESERVED: Physical = Physical::new(1024 * 1024);
/// The longest data extent, in bytes (C: `BTRFS_MAX_EXTENT_SIZE`).
pub const MAX_EXTENT_SIZE: Bytes = Bytes::new(128 * 1024 * 1024);
/// Where the last block of the longest file ends: the kernel's positions are signed.
pub const MAX_FILE_END: FileOffset = FileOffset::new(1 << 63);
/// Where the last chunk ends at most: blocks are found by their addresses as positions, which are signed.
pub const MAX_CHUNK_END: Logical = Logical::new((1 << 63) - 1);
/// The longest compressed extent, in bytes of file data (C: `BTRFS_MAX_UNCOMPRESSED`).
pub const MAX_COMPRESSED_RANGE: Bytes = Bytes::new(128 * 1024);
/// Where a directory's indexes begin: 0 and 1 are `.` and `..` (C: `BTRFS_DIR_START_INDEX`).
pub const DIR_FIRST_INDEX: u64 = 2;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        impl ObjectId {
            $($(#[$doc])* pub const $name: ObjectId = ObjectId::new($value);)*
        }
    };
}

/// The format counts special objects down from the top.
const fn from_top(n: u64) -> u64 {
    0u64.wrapping_sub(n)
}

ids! {
    /// The tree of trees.
    ROOT_TREE = 1;
    /// Extents and who references them.
    EXTENT_TREE = 2;
    /// Where logical ranges lie.
    CHUNK_TREE = 3;
    /// Which chunk uses which range of a device.
    DEV_TREE = 4;
    /// The top level subvolume.
    FS_TREE = 5;
    /// The directory in the root tree that names the default subvolume.
    ROOT_TREE_DIR = 6;
    /// Checksums of data.
    CSUM_TREE = 7;
    /// The tree of quotas.
    QUOTA_TREE = 8;
    /// Subvolumes by UUID.
    UUID_TREE = 9;
    /// Free space, version 2.
    FREE_SPACE_TREE = 10;
    /// Block group items, where the feature keeps them apart from the extent tree.
    BLOCK_GROUP_TREE = 11;
    /// RAID stripe tree.
    RAID_STRIPE_TREE = 12;
    /// The tree of remapped ranges.
    REMAP_TREE = 13;
    /// Device statistics, in the device tree.
    DEV_STATS = 0;
    /// Device items, in the chunk tree.
    DEV_ITEMS = 1;
    /// What an empty subvolume's place in a snapshot is.
    EMPTY_SUBVOL_DIR = 2;
    /// State of an interrupted balance, in the root tree.
    BALANCE = from_top(4);
    /// Inodes and trees to clean up.
    ORPHAN = from_top(5);
    /// The log tree: one per subvolume, and the root of those.
    TREE_LOG = from_top(6);
    /// Inodes whose link count log replay must correct.
    TREE_LOG_FIXUP = from_top(7);
    /// The trees of a relocation.
    TREE_RELOC = from_top(8);
    /// The subvolume that holds data while it is relocated.
    DATA_RELOC_TREE = from_top(9);
    /// Items of the checksum tree.
    EXTENT_CSUM = from_top(10);
    /// Free space cache (v1) headers, in the root tree.
    FREE_SPACE = from_top(11);
    /// The old inode number cache.
    FREE_INO = from_top(12);
    /// C only: stands for several owners.
    MULTIPLE = from_top(255);
    /// The first inode of a subvolume, its root directory, and the first subvolume id.
    FIRST_FREE = 256;
    /// The last inode number and subvolume id.
    LAST_FREE = from_top(256);
    /// The objectid of chunk items.
    FIRST_CHUNK_TREE = 256;
}

impl ObjectId {
    /// Whether this is a number that inodes and subvolumes use.
    pub const fn is_free(self) -> bool {
        self.get() >= Self::FIRST_FREE.get() && self.get() <= Self::LAST_FREE.get()
    }

    /// Whether a tree with this id holds files (C: `btrfs_is_fstree`).
    ///
    /// The bits above 48 are a quota level in C's eyes and no subvolume has them.
    pub const fn is_subvolume(self) -> bool {
        self.get() == Self::FS_TREE.get() || (self.is_free() && self.get() >> 48 == 0)
    }
}
