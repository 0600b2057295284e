// SPDX-License-Identifier: GPL-2.0
//! The file system: its transactions, its parameters and the subvolumes in use.

use super::{Statistics, Subvolume};
use crate::disk::ObjectId;
use crate::txn::Transactions;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Whether anything may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing reaches the devices.
    ReadOnly,
    /// As usual.
    ReadWrite,
}

/// Mount options that concern files.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Read-only or not, at first; see [`FileSystem::set_access`].
    pub access: Access,
    /// Files up to this many bytes are kept in the tree (C: `max_inline`, 2048).
    pub max_inline: u32,
    /// New files have checksums (C: `datasum`).
    pub checksums: bool,
}

/// The root of the layer.
pub struct FileSystem {
    txns: Arc<Transactions>,
}

impl FileSystem {
    /// Opens the trees that files need. No subvolume is read before it is used.
    pub fn open(_txns: Arc<Transactions>, _options: Options) -> Result<Arc<FileSystem>> {
        Err(EOPNOTSUPP)
    }

    /// The transactions under this file system.
    pub fn transactions(&self) -> &Arc<Transactions> {
        &self.txns
    }

    /// Changes between read-only and read-write (remount).
    pub fn set_access(&self, _access: Access) {}

    /// The subvolume that is mounted when no other is named.
    pub fn default_subvolume(&self) -> Result<Arc<Subvolume>> {
        Err(EOPNOTSUPP)
    }

    /// The subvolume with this id, the same object for every caller. `ENOENT` for one that is not or is being deleted.
    pub fn subvolume(&self, _id: ObjectId) -> Result<Arc<Subvolume>> {
        Err(EOPNOTSUPP)
    }

    /// The subvolume that ends the path from the top level one (`subvol=`). `ENOENT`; `EINVAL` for a directory.
    pub fn resolve_path(&self, _path: &[u8]) -> Result<Arc<Subvolume>> {
        Err(EOPNOTSUPP)
    }

    /// What statfs shows.
    pub fn statistics(&self) -> Result<Statistics> {
        Err(EOPNOTSUPP)
    }
}
