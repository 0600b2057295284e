// SPDX-License-Identifier: GPL-2.0
//! Making inodes.

use super::{FileSystem, Inode, Time};
use kernel::prelude::*;
use kernel::sync::Arc;

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
    /// A socket.
    Socket,
}

/// A new inode.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// What to make.
    pub kind: NewKind<'a>,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// All four times, and the directory's mtime and ctime.
    pub now: Time,
    /// Extended attributes it is born with (ACLs, security labels): full names and values.
    pub xattrs: &'a [(&'a [u8], &'a [u8])],
}

impl FileSystem {
    /// Makes an inode with a name; inode flags are inherited from the directory. `EEXIST`, `EOVERFLOW` when too many
    /// names have this hash, `ENOSPC`, `EROFS`.
    pub fn create(&self, _dir: &Inode, _name: &[u8], _new: &New<'_>) -> Result<Arc<Inode>> {
        Err(EOPNOTSUPP)
    }

    /// Makes an inode without a name, to be linked or evicted (`O_TMPFILE`).
    pub fn create_unnamed(&self, _dir: &Inode, _new: &New<'_>) -> Result<Arc<Inode>> {
        Err(EOPNOTSUPP)
    }
}
