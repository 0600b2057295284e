// SPDX-License-Identifier: GPL-2.0
//! What an inode is to be that is not made yet.

use super::Now;
use crate::disk::{FileType, InodeFlags};
use crate::txn::Units;
use latch::prelude::*;

/// What to make.
#[derive(Clone, Copy, Debug)]
pub enum NewKind<'a> {
    /// An empty regular file.
    File,
    /// An empty directory.
    Directory,
    /// A symbolic link to this target; `ENAMETOOLONG` if it does not fit inline.
    Symlink(&'a [u8]),
    /// A device node, as the mode's type says; the number as stored (C: `rdev` of the inode item).
    Device(u64),
    /// A named pipe.
    Fifo,
    /// The inode is a socket.
    Socket,
}

/// A new inode.
#[derive(Clone, Copy)]
pub struct New<'a> {
    /// What to make.
    pub kind: NewKind<'a>,
    /// Type and permission bits.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// The moment for all four times, and for the directory's mtime and ctime.
    pub now: &'a dyn Now,
    /// Extended attributes it is born with (ACLs, security labels): full names and values.
    pub xattrs: &'a [Xattr<'a>],
}

/// An extended attribute: its full name and its value.
pub(in crate::fs) type Xattr<'a> = (&'a [u8], &'a [u8]);

impl New<'_> {
    /// The type that goes into the directory entry. `EINVAL` where the mode says another than the kind.
    pub(in crate::fs) fn file_type(&self) -> Result<FileType> {
        let of_mode = FileType::of_mode(self.mode).ok_or(EINVAL)?;
        let fits = match self.kind {
            NewKind::File => of_mode == FileType::Regular,
            NewKind::Directory => of_mode == FileType::Directory,
            NewKind::Symlink(_) => of_mode == FileType::Symlink,
            NewKind::Device(_) => matches!(of_mode, FileType::CharDevice | FileType::BlockDevice),
            NewKind::Fifo => of_mode == FileType::Fifo,
            NewKind::Socket => of_mode == FileType::Socket,
        };
        if fits {
            Ok(of_mode)
        } else {
            Err(EINVAL)
        }
    }

    /// Inode, name by inode, name by hash and index, attributes, target; the directory changes.
    pub(in crate::fs) fn units(&self) -> Units {
        let xattrs = u32::try_from(self.xattrs.len()).unwrap_or(u32::MAX);
        Units::inserts(xattrs.saturating_add(5)).and(Units::updates(1))
    }

    /// What [`Self::units`] has, and the property that an inode with such flags gets from its directory.
    pub(in crate::fs) fn units_with(&self, flags: InodeFlags) -> Units {
        match flags.contains(InodeFlags::COMPRESS) {
            true => self.units().and(Units::inserts(1)),
            false => self.units(),
        }
    }
}
