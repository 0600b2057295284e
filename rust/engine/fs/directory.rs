// SPDX-License-Identifier: GPL-2.0
//! Looking into directories.

use super::{FileSystem, Inode};
use crate::disk::ObjectId;
use core::ops::ControlFlow;
use kernel::prelude::*;

/// The position of the first real entry; 0 and 1 are for "." and "..", which the kernel edge makes up.
pub const DIR_START: u64 = 2;

/// What kind of inode an entry names (C: `BTRFS_FT_*`, the same numbers as `FT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryType {
    /// Not known.
    Unknown = 0,
    /// Regular file.
    File = 1,
    /// Directory.
    Directory = 2,
    /// Character device.
    CharDevice = 3,
    /// Block device.
    BlockDevice = 4,
    /// Named pipe.
    Fifo = 5,
    /// Socket.
    Socket = 6,
    /// Symbolic link.
    Symlink = 7,
}

/// What an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An inode of the same subvolume.
    Inode(ObjectId, EntryType),
    /// Another subvolume, by its id: its root directory is meant.
    Subvolume(ObjectId),
}

/// A directory entry as [`FileSystem::read_dir`] shows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The entry's own position: to go on after it, pass this plus 1.
    pub position: u64,
    /// What it names.
    pub target: Target,
}

impl FileSystem {
    /// Finds a name. `ENAMETOOLONG`.
    pub fn lookup(&self, _dir: &Inode, _name: &[u8]) -> Result<Option<Target>> {
        Err(EOPNOTSUPP)
    }

    /// Shows the entries at `position` and after, in the order they were made. Positions are stable. No lock is held
    /// while `each` runs, so it may fault on user memory.
    pub fn read_dir(
        &self,
        _dir: &Inode,
        _position: u64,
        _each: &mut dyn FnMut(Entry<'_>) -> Result<ControlFlow<()>>,
    ) -> Result {
        Err(EOPNOTSUPP)
    }
}
