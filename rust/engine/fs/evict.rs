// SPDX-License-Identifier: GPL-2.0
//! Removing inodes that have no name, now or after a crash.

use super::{FileSystem, Inode, Subvolume};
use kernel::prelude::*;
use kernel::sync::Arc;

impl FileSystem {
    /// Removes an inode without names: data, attributes, orphan item, in batches. A crash or an error in between
    /// leaves the orphan item for [`Self::clean_orphans`].
    pub fn evict(&self, _inode: &Inode) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Finishes what a crash cut: removes inodes without names and cuts files that were being cut. Call it before a
    /// subvolume is used for writing; it does its work once. Returns how many it treated.
    pub fn clean_orphans(&self, _subvolume: &Arc<Subvolume>) -> Result<u64> {
        Err(EOPNOTSUPP)
    }
}
