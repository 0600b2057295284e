// SPDX-License-Identifier: GPL-2.0
//! A subvolume: a tree with inodes, entered at its root directory.

use crate::btree::Tree;
use crate::disk::ObjectId;
use kernel::prelude::*;
use kernel::sync::Arc;

/// A subvolume in use.
pub struct Subvolume {
    tree: Arc<Tree>,
    root_directory: ObjectId,
    flags: u64,
}

impl Subvolume {
    /// The tree's id.
    pub fn id(&self) -> ObjectId {
        self.tree.id()
    }

    /// The tree.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// The inode number of the directory at the top, 256.
    pub fn root_directory(&self) -> ObjectId {
        self.root_directory
    }

    /// Whether changes are refused (C: `BTRFS_ROOT_SUBVOL_RDONLY`).
    pub fn is_read_only(&self) -> bool {
        self.flags & 1 != 0
    }
}
