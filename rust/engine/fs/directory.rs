// SPDX-License-Identifier: GPL-2.0
//! Looking into directories.

use super::{FileSystem, Inode};
use crate::disk::{FileType, ObjectId};
use core::ops::ControlFlow;
use kernel::prelude::*;

/// What an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An inode of the same subvolume.
    Inode(ObjectId, FileType),
    /// Another subvolume, by its id: its root directory is meant.
    Subvolume(ObjectId),
    /// The place of a subvolume that this one, a snapshot, did not take along: an empty directory that cannot be
    /// changed (C: `BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`, inode number 2).
    EmptyPlace,
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
