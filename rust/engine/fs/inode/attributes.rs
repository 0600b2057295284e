// SPDX-License-Identifier: GPL-2.0
//! What an inode says of itself.

use crate::disk::raw::RawInodeItem;
use crate::disk::{FileType, Generation, InodeFlags, Timespec as Time};

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
    /// Device number as stored: the kernel's own (`dev_t`: 12 bits of major above 20 of minor).
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
    /// The type, by the mode's type bits (`S_IFMT`), if those name one.
    pub const fn file_type(&self) -> Option<FileType> {
        FileType::of_mode(self.mode)
    }

    /// Whether this is a directory.
    pub const fn is_directory(&self) -> bool {
        matches!(self.file_type(), Some(FileType::Directory))
    }

    /// Whether this is a regular file.
    pub const fn is_regular(&self) -> bool {
        matches!(self.file_type(), Some(FileType::Regular))
    }

    /// The last transaction that changed the inode.
    pub const fn changed_in(&self) -> Generation {
        Generation::new(self.transid)
    }

    /// Takes over what `changes` names.
    pub(in crate::fs) fn apply(&mut self, changes: &Changes) {
        fn set<T: Copy>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        set(&mut self.mode, changes.mode);
        set(&mut self.uid, changes.uid);
        set(&mut self.gid, changes.gid);
        set(&mut self.atime, changes.atime);
        set(&mut self.mtime, changes.mtime);
        set(&mut self.ctime, changes.ctime);
        set(&mut self.otime, changes.otime);
        set(&mut self.sequence, changes.sequence);
        set(&mut self.flags, changes.flags);
    }

    /// Notes that names, attributes or contents changed.
    pub(in crate::fs) fn touch(&mut self, now: Time) {
        self.ctime = now;
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Notes that the contents changed.
    pub(in crate::fs) fn touch_contents(&mut self, now: Time) {
        self.mtime = now;
        self.touch(now);
    }
}

impl From<&RawInodeItem> for Attributes {
    fn from(raw: &RawInodeItem) -> Self {
        Self {
            generation: raw.generation.get(),
            transid: raw.transid.get(),
            size: raw.size.get(),
            nbytes: raw.nbytes.get(),
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

impl Attributes {
    /// Puts all into an inode item; what is not an attribute stays as it is.
    pub(in crate::fs) fn store(&self, raw: &mut RawInodeItem) {
        raw.generation = self.generation.into();
        raw.transid = self.transid.into();
        raw.size = self.size.into();
        raw.nbytes = self.nbytes.into();
        raw.nlink = self.nlink.into();
        raw.uid = self.uid.into();
        raw.gid = self.gid.into();
        raw.mode = self.mode.into();
        raw.rdev = self.rdev.into();
        raw.flags = self.flags.get().into();
        raw.sequence = self.sequence.into();
        raw.atime = self.atime.into();
        raw.ctime = self.ctime.into();
        raw.mtime = self.mtime.into();
        raw.otime = self.otime.into();
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
