// SPDX-License-Identifier: GPL-2.0
//! Giving names to inodes and taking them away.

use super::{FileSystem, Inode, Time};
use kernel::prelude::*;

impl FileSystem {
    /// Gives an inode one more name. `EXDEV` across subvolumes, `EMLINK`, `EEXIST`, `EPERM` for directories.
    pub fn link(&self, _dir: &Inode, _name: &[u8], _inode: &Inode, _now: Time) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Takes a name away. With its last name the inode becomes an orphan: [`Self::evict`] it when unused.
    pub fn unlink(&self, _dir: &Inode, _name: &[u8], _inode: &Inode, _now: Time) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Removes an empty directory. `ENOTEMPTY`; `EPERM` for a subvolume.
    pub fn rmdir(&self, _dir: &Inode, _name: &[u8], _child: &Inode, _now: Time) -> Result {
        Err(EOPNOTSUPP)
    }
}
