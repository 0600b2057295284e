// SPDX-License-Identifier: GPL-2.0
//! Inodes and their items.

use crate::disk::corrupt::{ensure, ensure_max, Bug, Flaw};
use crate::disk::packing::{whole, whole_mut};
use crate::disk::raw::{RawInodeItem, RawTimespec};
use crate::disk::{Bytes, FileType, Generation, InodeFlags};

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespec {
    /// Seconds since 1970.
    pub sec: i64,
    /// Nanoseconds within, below a billion.
    pub nsec: u32,
}

impl From<RawTimespec> for Timespec {
    /// Nanoseconds above the range, which old tools left, become the highest in it.
    fn from(raw: RawTimespec) -> Self {
        Self {
            sec: raw.sec.get(),
            nsec: raw.nsec.get().min(999_999_999),
        }
    }
}

impl From<Timespec> for RawTimespec {
    fn from(time: Timespec) -> Self {
        Self {
            sec: time.sec.into(),
            nsec: time.nsec.into(),
        }
    }
}

/// An inode's attributes (C: `struct btrfs_inode_item`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InodeItem {
    /// The transaction that created it.
    pub generation: Generation,
    /// The transaction that changed it last.
    pub transid: Generation,
    /// Bytes of the file; for directories twice the length of all names.
    pub size: Bytes,
    /// Bytes that its extents take.
    pub nbytes: Bytes,
    /// An allocation hint; unused.
    pub block_group: u64,
    /// Names. A directory has one, or none when it is being removed.
    pub nlink: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// Permissions, and the type, which is a valid one.
    pub mode: u32,
    /// Device number of a device node.
    pub rdev: u64,
    /// The properties of the inode.
    pub flags: InodeFlags,
    /// The counter of its changes.
    pub sequence: u64,
    /// When it was read last.
    pub atime: Timespec,
    /// Last change of the inode.
    pub ctime: Timespec,
    /// Last change of the contents.
    pub mtime: Timespec,
    /// When it was made.
    pub otime: Timespec,
}

impl InodeItem {
    /// The type that the mode names.
    pub fn file_type(&self) -> Option<FileType> {
        FileType::of_mode(self.mode)
    }
}

/// All bits that a mode may have: type, set-id, sticky and permissions.
const MODE_BITS: u32 = 0o177777;

impl InodeItem {
    /// Bytes of the item.
    pub const SIZE: usize = RawInodeItem::SIZE;

    /// Writes the attributes into an item; what is reserved stays as it is.
    pub fn write_to(&self, bytes: &mut [u8]) -> Result<(), Bug> {
        let raw: &mut RawInodeItem = whole_mut(bytes)?;
        *raw = RawInodeItem {
            reserved: raw.reserved,
            ..self.into()
        };
        Ok(())
    }

    /// Reads an item.
    pub fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let raw: &RawInodeItem = whole(bytes, "inode item has a wrong size")?;
        let item = Self::from(raw);
        let Self {
            mode,
            nlink,
            flags,
            size,
            ..
        } = item;
        ensure(
            mode & !MODE_BITS == 0,
            "inode mode has unknown bits",
            mode.into(),
            MODE_BITS.into(),
        )?;
        let Some(kind) = FileType::of_mode(mode) else {
            return Err(Flaw::new("inode mode names no type", mode.into(), 0));
        };
        if kind == FileType::Directory {
            ensure_max("directory has several names", nlink.into(), 1)?;
        } else {
            ensure_max(
                "inode size is out of range",
                size.get(),
                i64::MAX.unsigned_abs(),
            )?;
        }
        let unknown = flags
            .common(InodeFlags::INCOMPAT)
            .without(InodeFlags::KNOWN);
        ensure(
            unknown.is_empty(),
            "inode has unknown flags",
            flags.get(),
            InodeFlags::KNOWN.get(),
        )?;
        Ok(item)
    }
}

impl From<&RawInodeItem> for InodeItem {
    fn from(raw: &RawInodeItem) -> Self {
        Self {
            generation: Generation::new(raw.generation.get()),
            transid: Generation::new(raw.transid.get()),
            size: raw.size.into(),
            nbytes: raw.nbytes.into(),
            block_group: raw.block_group.get(),
            nlink: raw.nlink.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            mode: raw.mode.get(),
            rdev: raw.rdev.get(),
            flags: InodeFlags::new(raw.flags.get()),
            sequence: raw.sequence.get(),
            atime: raw.atime.into(),
            ctime: raw.ctime.into(),
            mtime: raw.mtime.into(),
            otime: raw.otime.into(),
        }
    }
}

impl From<&InodeItem> for RawInodeItem {
    fn from(item: &InodeItem) -> Self {
        Self {
            generation: item.generation.get().into(),
            transid: item.transid.get().into(),
            size: item.size.into(),
            nbytes: item.nbytes.into(),
            block_group: item.block_group.into(),
            nlink: item.nlink.into(),
            uid: item.uid.into(),
            gid: item.gid.into(),
            mode: item.mode.into(),
            rdev: item.rdev.into(),
            flags: item.flags.get().into(),
            sequence: item.sequence.into(),
            reserved: Default::default(),
            atime: item.atime.into(),
            ctime: item.ctime.into(),
            mtime: item.mtime.into(),
            otime: item.otime.into(),
        }
    }
}
