// SPDX-License-Identifier: GPL-2.0
//! What an inode says of itself.

use crate::disk::Generation;

/// A moment: seconds since 1970 and nanoseconds below one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970, negative before.
    pub sec: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nsec: u32,
}

/// `BTRFS_INODE_*` flags as the inode item has them; unknown bits are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InodeFlags(u64);

impl InodeFlags {
    /// Data has no checksums.
    pub const NODATASUM: Self = Self(1 << 0);
    /// Data is overwritten in place.
    pub const NODATACOW: Self = Self(1 << 1);
    /// Data is read-only (unused by C).
    pub const READONLY: Self = Self(1 << 2);
    /// Never compress.
    pub const NOCOMPRESS: Self = Self(1 << 3);
    /// Has preallocated extents.
    pub const PREALLOC: Self = Self(1 << 4);
    /// Every write is synchronous (`FS_SYNC_FL`).
    pub const SYNC: Self = Self(1 << 5);
    /// Immutable (`FS_IMMUTABLE_FL`).
    pub const IMMUTABLE: Self = Self(1 << 6);
    /// Append only (`FS_APPEND_FL`).
    pub const APPEND: Self = Self(1 << 7);
    /// Not to be dumped (`FS_NODUMP_FL`).
    pub const NODUMP: Self = Self(1 << 8);
    /// Reading leaves atime alone (`FS_NOATIME_FL`).
    pub const NOATIME: Self = Self(1 << 9);
    /// Directory changes are synchronous (`FS_DIRSYNC_FL`).
    pub const DIRSYNC: Self = Self(1 << 10);
    /// Compress new data.
    pub const COMPRESS: Self = Self(1 << 11);
    /// Made by the converter or mkfs as a tree's own inode.
    pub const ROOT_ITEM_INIT: Self = Self(1 << 31);
    /// What a new inode takes from its directory (C: `btrfs_inherit_iflags`), besides what NODATACOW brings.
    pub const NONE: Self = Self(0);

    /// The bits as stored.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits as stored.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the bits of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The attributes of an inode (C: `struct btrfs_inode_item`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The transaction that made the inode; what NFS handles compare.
    pub generation: u64,
    /// The last transaction that changed the inode.
    pub transid: u64,
    /// Bytes in the file as the disk knows it: what is beyond the finished writes does not count. For a directory
    /// twice the sum of the lengths of its names.
    pub size: u64,
    /// Bytes of data, holes not counted.
    pub nbytes: u64,
    /// Number of names; 1 for a directory.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permission bits (`S_IFMT` and below).
    pub mode: u32,
    /// Device number as stored (C: `new_encode_dev` of the kernel's number).
    pub rdev: u64,
    /// `BTRFS_INODE_*`, and in the upper half the read-only compatible flags.
    pub flags: InodeFlags,
    /// Change counter for NFS.
    pub sequence: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of attributes.
    pub ctime: Time,
    /// Last change of contents.
    pub mtime: Time,
    /// Creation.
    pub otime: Time,
}

impl Attributes {
    /// The type bits of the mode (`S_IFMT`).
    pub const fn file_type(&self) -> u32 {
        self.mode & 0o170_000
    }

    /// The last transaction that changed the inode.
    pub const fn changed_in(&self) -> Generation {
        Generation::new(self.transid)
    }
}

/// What `set_attributes` changes; `None` stays. Size goes by truncate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Type and permission bits; the type must not change.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last access.
    pub atime: Option<Time>,
    /// Last change of contents.
    pub mtime: Option<Time>,
    /// Last change of attributes.
    pub ctime: Option<Time>,
    /// Creation (utimes of send streams).
    pub otime: Option<Time>,
    /// Change counter.
    pub sequence: Option<u64>,
    /// Inode flags.
    pub flags: Option<InodeFlags>,
}

/// Times and change counter, noted in memory until the next change of the inode goes out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Last access.
    pub atime: Option<Time>,
    /// Last change of contents.
    pub mtime: Option<Time>,
    /// Last change of attributes.
    pub ctime: Option<Time>,
    /// Change counter.
    pub sequence: Option<u64>,
}
