// SPDX-License-Identifier: GPL-2.0
//! An inode in use: its attributes as they go to disk.

use super::{Attributes, Changes, FileSystem, Subvolume, Times};
use crate::disk::ObjectId;
use kernel::prelude::*;
use kernel::sync::Arc;
use latch::Mutex;

/// An inode in use. The VFS keeps one per inode number and subvolume; the engine keeps no table.
///
/// The attributes are the truth for what goes to disk; the VFS inode mirrors them after every operation.
pub struct Inode {
    subvolume: Arc<Subvolume>,
    number: ObjectId,
    state: Mutex<Attributes>,
}

impl Inode {
    /// The subvolume it lives in.
    pub fn subvolume(&self) -> &Arc<Subvolume> {
        &self.subvolume
    }

    /// Its number, unique in the subvolume.
    pub fn number(&self) -> ObjectId {
        self.number
    }

    /// A copy of the attributes.
    pub fn attributes(&self) -> Attributes {
        *self.state.lock()
    }

    /// Notes times in memory; they go out with the next change or by [`FileSystem::write_attributes`].
    pub fn note_times(&self, _times: &Times) {}
}

impl FileSystem {
    /// Reads an inode. `ESTALE` where there is none. The caller sees to it that it makes no second object.
    pub fn inode(&self, _subvolume: &Arc<Subvolume>, _number: ObjectId) -> Result<Arc<Inode>> {
        Err(EOPNOTSUPP)
    }

    /// Changes attributes and writes them, in one transaction. `EROFS`, `ENOSPC`.
    pub fn set_attributes(&self, _inode: &Inode, _changes: &Changes) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Writes what [`Inode::note_times`] left in memory; nothing if nothing was left.
    pub fn write_attributes(&self, _inode: &Inode) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Makes all finished changes of the inode durable (fsync). Data must have been written before.
    pub fn sync(&self, _inode: &Inode) -> Result {
        Err(EOPNOTSUPP)
    }
}
