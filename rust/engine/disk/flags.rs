// SPDX-License-Identifier: GPL-2.0
//! Flag words of items.

use super::features::flags;
use kernel::fmt;

flags! {
    /// What a chunk holds and how it is kept (C: `BTRFS_BLOCK_GROUP_*`).
    BlockGroupFlags(u64):
    /// The group is for file data.
    DATA = 0;
    /// The chunk tree.
    SYSTEM = 1;
    /// The group is for tree blocks.
    METADATA = 2;
    /// The chunk's bytes are striped over devices.
    RAID0 = 3;
    /// Two copies on two devices.
    RAID1 = 4;
    /// Two copies on one device.
    DUP = 5;
    /// Striped, two copies.
    RAID10 = 6;
    /// Striped with one parity.
    RAID5 = 7;
    /// Striped with two parities.
    RAID6 = 8;
    /// The chunk's bytes have three copies.
    RAID1C3 = 9;
    /// The chunk's bytes have four copies.
    RAID1C4 = 10;
    /// The chunk's bytes were moved elsewhere.
    REMAPPED = 11;
    /// The remap tree.
    METADATA_REMAP = 12;
}

impl BlockGroupFlags {
    /// What a chunk can hold.
    pub const TYPES: Self = Self::DATA
        .with(Self::SYSTEM)
        .with(Self::METADATA)
        .with(Self::METADATA_REMAP);
    /// How it can be kept; none of them is `single`.
    pub const PROFILES: Self = Self::RAID0
        .with(Self::RAID1)
        .with(Self::DUP)
        .with(Self::RAID10)
        .with(Self::RAID5)
        .with(Self::RAID6)
        .with(Self::RAID1C3)
        .with(Self::RAID1C4);
}

flags! {
    /// Properties of an inode (C: `BTRFS_INODE_*`); the upper half may be ignored by those who only read.
    InodeFlags(u64):
    /// The file's data have no checksums.
    NODATASUM = 0;
    /// The file's data are overwritten in place.
    NODATACOW = 1;
    /// No file has this bit now.
    READONLY = 2;
    /// Do not compress.
    NOCOMPRESS = 3;
    /// Has preallocated extents.
    PREALLOC = 4;
    /// Each change is written synchronously.
    SYNC = 5;
    /// Cannot be changed.
    IMMUTABLE = 6;
    /// Can only grow.
    APPEND = 7;
    /// The inode is not for dump(8).
    NODUMP = 8;
    /// The access time is not kept.
    NOATIME = 9;
    /// Change directory entries synchronously.
    DIRSYNC = 10;
    /// New data is to be compressed.
    COMPRESS = 11;
    /// The bit that says in a root item: flags and byte limit are initialised.
    ROOT_ITEM_INIT = 31;
    /// The file is under fs-verity.
    VERITY = 32;
}

impl InodeFlags {
    /// The features that must be known to read: the lower half.
    pub const INCOMPAT: Self = Self::new(0xffff_ffff);
    /// All that the format defines.
    pub const KNOWN: Self = Self::new(0xfff | 1 << 31 | 1 << 32);
}

flags! {
    /// What an extent is (C: `BTRFS_EXTENT_FLAG_*`, `BTRFS_BLOCK_FLAG_*`).
    ExtentFlags(u64):
    /// The extent has file data.
    DATA = 0;
    /// A tree block.
    TREE_BLOCK = 1;
    /// The block's children are referenced by its address.
    FULL_BACKREF = 8;
}

flags! {
    /// Flags of the superblock (C: `BTRFS_HEADER_FLAG_*`, `BTRFS_SUPER_FLAG_*`).
    SuperFlags(u64):
    /// Written: always set.
    WRITTEN = 0;
    /// This bit is unused here.
    RELOC = 1;
    /// An error was met.
    ERROR = 2;
    /// A seed device.
    SEEDING = 32;
    /// An image without data.
    METADUMP = 33;
    /// An image without data, for several devices.
    METADUMP_V2 = 34;
    /// The UUID is being changed, by a tool that was cut off.
    CHANGING_FSID = 35;
    /// The metadata UUID is being changed.
    CHANGING_FSID_V2 = 36;
    /// Block group items are being moved.
    CHANGING_BG_TREE = 38;
    /// Data checksums are being changed.
    CHANGING_DATA_CSUM = 39;
    /// Metadata checksums are being changed.
    CHANGING_META_CSUM = 40;
}

impl SuperFlags {
    /// The flags of a volume that can be mounted.
    pub const SUPPORTED: Self = Self::WRITTEN
        .with(Self::RELOC)
        .with(Self::ERROR)
        .with(Self::METADUMP)
        .with(Self::METADUMP_V2);
}

/// The type of a directory entry (C: `BTRFS_FT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// The name is a file's.
    Regular = 1,
    /// A directory or subvolume.
    Directory = 2,
    /// A character device.
    CharDevice = 3,
    /// A block device.
    BlockDevice = 4,
    /// A named pipe.
    Fifo = 5,
    /// The name is a socket's.
    Socket = 6,
    /// A symbolic link.
    Symlink = 7,
    /// The entry is no file but an extended attribute.
    Xattr = 8,
}

impl FileType {
    /// The byte the disk has.
    pub const fn get(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
            Self::Xattr => 8,
        }
    }

    /// The type of an inode by its mode's type bits (`S_IFMT`), if those name one.
    pub const fn of_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170000 {
            0o100000 => Self::Regular,
            0o040000 => Self::Directory,
            0o020000 => Self::CharDevice,
            0o060000 => Self::BlockDevice,
            0o010000 => Self::Fifo,
            0o140000 => Self::Socket,
            0o120000 => Self::Symlink,
            _ => return None,
        })
    }
}

impl TryFrom<u8> for FileType {
    type Error = super::Flaw;

    fn try_from(value: u8) -> Result<Self, super::Flaw> {
        Ok(match value {
            1 => Self::Regular,
            2 => Self::Directory,
            3 => Self::CharDevice,
            4 => Self::BlockDevice,
            5 => Self::Fifo,
            6 => Self::Socket,
            7 => Self::Symlink,
            8 => Self::Xattr,
            _ => return Err(super::Flaw::new("file type is unknown", value.into(), 8)),
        })
    }
}
