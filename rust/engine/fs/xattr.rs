// SPDX-License-Identifier: GPL-2.0
//! Extended attributes and symbolic link targets.

use super::{FileSystem, Inode, Time};
use core::ops::ControlFlow;
use kernel::prelude::*;

/// How an extended attribute may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// Whether it exists or not.
    Any,
    /// `EEXIST` if it exists.
    Create,
    /// `ENODATA` if it does not exist.
    Replace,
}

impl FileSystem {
    /// The value of an extended attribute by its full name.
    pub fn get_xattr(&self, _inode: &Inode, _name: &[u8]) -> Result<Option<KVec<u8>>> {
        Err(EOPNOTSUPP)
    }

    /// Shows the full names of all extended attributes. No lock is held while `each` runs.
    pub fn list_xattrs(
        &self,
        _inode: &Inode,
        _each: &mut dyn FnMut(&[u8]) -> Result<ControlFlow<()>>,
    ) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Sets an extended attribute. `ENOSPC` when name and value do not fit a leaf.
    pub fn set_xattr(
        &self,
        _inode: &Inode,
        _name: &[u8],
        _value: &[u8],
        _mode: XattrMode,
        _now: Time,
    ) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Removes an extended attribute. `ENODATA`.
    pub fn remove_xattr(&self, _inode: &Inode, _name: &[u8], _now: Time) -> Result {
        Err(EOPNOTSUPP)
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, _inode: &Inode) -> Result<KVec<u8>> {
        Err(EOPNOTSUPP)
    }
}
