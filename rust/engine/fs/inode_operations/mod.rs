// SPDX-License-Identifier: GPL-2.0
//! What is done to inodes.
//!
//! | module  | what it has                                                    |
//! |---------|----------------------------------------------------------------|
//! | `evict` | removing inodes that have no name, now or after a crash        |
//! | `flags` | an inode's flags, and the property that names its compression  |
//! | `xattr` | extended attributes and symbolic link targets                  |

mod evict;
mod flags;
pub(super) mod xattr;

pub use flags::PropertyChange;
pub use xattr::XattrMode;

use super::items::{self, refs};
use super::{Attributes, Changes, FileSystem, Inode, Subvolume};
use crate::disk::{Flaw, InodeItem, Key, Kind, ObjectId, Site};
use crate::txn::{Handle, Units};
use kernel::sync::Arc;
use latch::prelude::*;

/// What is said of an inode that is not there.
#[cold]
fn missing(subvolume: &Subvolume, number: ObjectId) -> Error {
    if number != subvolume.root_directory() {
        return ESTALE;
    }
    let flaw = Flaw::missing("topmost directory of a subvolume is missing");
    flaw.at(Site::Inode(subvolume.id(), number)).report()
}

impl FileSystem {
    /// Inodes: attributes, and what becomes of them.
    pub fn inodes(&self) -> Inodes<'_> {
        Inodes { fs: self }
    }

    /// Makes all finished changes of the inode durable (fsync). Data must have been written before.
    ///
    /// What is in the transaction already needs no space to become durable. `ENOSPC` for times that only noted what is
    /// durable now would say that bytes are lost: they stay in memory, for the next change or fsync.
    pub fn sync(&self, inode: &Inode) -> Result {
        self.sync_behind(inode, &|| ())
    }

    /// Does what [`Self::sync`] does; `data` is what [`crate::txn::Transactions::commit_behind`] takes.
    pub fn sync_behind(&self, inode: &Inode, data: &dyn Fn()) -> Result {
        let written = self.inodes().sync_attributes(inode);
        if inode.attributes().transid > self.transactions().committed() {
            self.transactions().commit_behind(data)?;
        }
        match written {
            Err(error) if error == ENOSPC => Ok(()),
            written => written,
        }
    }
}

/// The inodes of a file system.
#[derive(Clone, Copy)]
pub struct Inodes<'a> {
    pub(super) fs: &'a FileSystem,
}

impl Inodes<'_> {
    /// Reads an inode. `ESTALE` where there is none; the top of a subvolume is always there. The caller sees to it that it
    /// makes no second object.
    pub fn get(&self, subvolume: &Subvolume, number: ObjectId) -> Result<Arc<Inode>> {
        let key = Key::new(number.get(), Kind::INODE_ITEM, 0);
        let attributes = items::get(subvolume.tree(), &key, InodeItem::parse)?;
        let attributes = attributes.ok_or_else(|| missing(subvolume, number))?;
        Inode::new(subvolume, number, attributes)
    }

    /// The inode of the subvolume's topmost directory.
    pub fn root(&self, subvolume: &Subvolume) -> Result<Arc<Inode>> {
        self.get(subvolume, subvolume.root_directory())
    }

    /// The number of the directory that `inode` is in, for NFS; of several one. `None` for the top of a subvolume and
    /// for an inode without names.
    pub fn parent(&self, inode: &Inode) -> Result<Option<ObjectId>> {
        if inode.is_subvolume_root() {
            return Ok(None);
        }
        refs::parent(inode.subvolume().tree(), inode.number())
    }

    /// Changes attributes by what `changes` says while nobody else changes them, and writes them, in one transaction. It is
    /// asked at most once, and not where space or the right to write is missing: `EROFS`, `ENOSPC`.
    pub fn set_attributes(
        &self,
        inode: &Inode,
        changes: impl FnOnce(&Attributes) -> Changes,
    ) -> Result {
        let handle = self.fs.start(inode.subvolume(), Units::updates(1))?;
        inode.change_by(&handle, changes)
    }

    /// Writes what [`Inode::note_times`] left in memory; nothing if nothing was left. Where there is no space they stay there:
    /// `ENOSPC`.
    pub fn write_attributes(&self, inode: &Inode) -> Result {
        self.write_noted(inode, FileSystem::start)
    }

    /// Does what [`Self::write_attributes`] does, for an fsync: a change of one item that is there may draw on the global reserve, as
    /// what gives space back does. Times that nobody waits for must not: they would use up what removing needs.
    fn sync_attributes(&self, inode: &Inode) -> Result {
        self.write_noted(inode, FileSystem::start_freeing)
    }

    fn write_noted(
        &self,
        inode: &Inode,
        start: impl FnOnce(&FileSystem, &Subvolume, Units) -> Result<Handle>,
    ) -> Result {
        if !inode.is_noted() {
            return Ok(());
        }
        let handle = start(self.fs, inode.subvolume(), Units::updates(1));
        if handle.as_ref().err() == Some(&ENOSPC) {
            pr_warn!("no space for the times of inode {}\n", inode.number());
        }
        inode.change(&handle?, |_| ())
    }
}
