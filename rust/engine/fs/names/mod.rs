// SPDX-License-Identifier: GPL-2.0
//! Names: directories, what stands in them, and how it gets there and away.
//!
//! | module      | what it has                                                        |
//! |-------------|--------------------------------------------------------------------|
//! | `create`    | making inodes, with a name or without                              |
//! | `directory` | looking a name up, and showing all entries of a directory          |
//! | `rename`    | moving a name, replacing what it meets, exchanging two              |
//!
//! Here are giving one more name to an inode and taking one away. The names that stand beside an inode are in
//! `items::refs`.

mod create;
mod directory;
mod rename;

pub use directory::Entry;
pub use rename::{Rename, RenameMode, Side};

use crate::disk::{self, FileType, Flaw, ObjectId, RootRef, Site, MAX_LINKS};
use crate::fs::filesystem::or_abort;
use crate::fs::items::entries::{self, NewEntry};
use crate::fs::items::orphans;
use crate::fs::items::place;
use crate::fs::items::refs::{self, Name};
use crate::fs::{FileSystem, Inode, Now, Target};
use crate::txn::{Handle, Units};
use latch::prelude::*;

impl FileSystem {
    /// Names: directories and what stands in them.
    pub fn names(&self) -> Names<'_> {
        Names { fs: self }
    }
}

/// The names in a file system.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    pub(super) fs: &'a FileSystem,
}

impl Names<'_> {
    /// Gives an inode one more name. `EXDEV` across subvolumes, `EMLINK`, `EEXIST`, `EPERM` for directories.
    pub fn link(&self, dir: &Inode, name: &[u8], inode: &Inode, now: impl Now) -> Result {
        entries::check_name(name)?;
        check_same_subvolume(dir, inode)?;
        let attributes = inode.attributes();
        if attributes.is_directory() {
            return Err(EPERM);
        }
        if attributes.nlink >= MAX_LINKS {
            return Err(EMLINK);
        }
        let handle = self
            .fs
            .start(dir.subvolume(), Units::inserts(4).and(Units::updates(3)))?;
        entries::check_room(dir.subvolume().tree(), dir.number(), name)?;
        let index = dir.take_index()?;
        self.add_ref(&handle, dir, name, inode, index)?;
        let linked = self
            .add_entry(&handle, dir, name, inode, index, &now)
            .and_then(|()| {
                inode.change(&handle, |attributes| {
                    attributes.nlink = attributes.nlink.saturating_add(1);
                    attributes.touch(now.of(inode));
                })?;
                if attributes.nlink == 0 {
                    orphans::remove(dir.subvolume().tree(), &handle, inode.number())?;
                }
                Ok(())
            });
        or_abort(&handle, linked)
    }

    /// Takes a name away. With its last name the inode becomes an orphan: [`Inodes::evict`](super::Inodes::evict) it when
    /// unused.
    pub fn unlink(&self, dir: &Inode, name: &[u8], inode: &Inode, now: impl Now) -> Result {
        entries::check_name(name)?;
        check_same_subvolume(dir, inode)?;
        self.fs.inodes().clean_orphans(dir.subvolume())?;
        let handle = self.fs.start_freeing(dir.subvolume(), unlink_units())?;
        self.remove_entry(&handle, dir, name, inode, &now)?;
        let unlinked = self.drop_link(&handle, inode, &now);
        or_abort(&handle, unlinked)
    }

    /// Removes an empty directory. `ENOTEMPTY`; `EPERM` for a subvolume.
    pub fn rmdir(&self, dir: &Inode, name: &[u8], child: &Inode, now: impl Now) -> Result {
        if child.is_subvolume_root() {
            return Err(EPERM);
        }
        check_empty_directory(child)?;
        self.unlink(dir, name, child, now)
    }

    /// Removes the place of a subvolume that this one, a snapshot, did not take along: it looks like an empty directory.
    /// `ENOENT` where there is none.
    pub fn remove_empty_place(&self, dir: &Inode, name: &[u8], now: impl Now) -> Result {
        if self.lookup(dir, name)? != Some(Target::EmptyPlace) {
            return Err(ENOENT);
        }
        let tree = dir.subvolume().tree();
        let Some(Target::Subvolume(id)) = entries::find(tree, dir.number(), name)? else {
            return Err(ENOENT);
        };
        // Old drivers lost some.
        let index = entries::index_of(tree, dir.number(), name)?;
        let handle = self.fs.start_freeing(dir.subvolume(), unlink_units())?;
        let target = disk::EntryTarget::Subvolume(id);
        entries::remove_item(tree, &handle, dir.number(), name, target)?;
        let removed = index
            .map_or(Ok(()), |index| {
                entries::remove_index(tree, &handle, dir.number(), index, name)
            })
            .and_then(|()| dir.change_names(&handle, |size| entries::shrunk(size, name), &now));
        or_abort(&handle, removed)
    }

    /// Records a name beside the inode. `EMLINK` before anything was changed. The place of a subvolume is noted by
    /// [`Self::add_entry`]: it has one at a time.
    pub(in crate::fs) fn add_ref(
        &self,
        handle: &Handle,
        dir: &Inode,
        name: &[u8],
        inode: &Inode,
        index: u64,
    ) -> Result {
        if inode.is_subvolume_root() {
            return Ok(());
        }
        let reference = Name {
            inode: inode.number(),
            dir: dir.number(),
            name,
        };
        let features = self.fs.format().incompat;
        refs::add(
            inode.subvolume().tree(),
            handle,
            &reference,
            index,
            features,
        )
    }

    /// Makes the entry for a name that is recorded, and updates the directory. An error leaves things half done.
    pub(in crate::fs) fn add_entry(
        &self,
        handle: &Handle,
        dir: &Inode,
        name: &[u8],
        inode: &Inode,
        index: u64,
        now: &dyn Now,
    ) -> Result {
        let file_type = inode.attributes().file_type().unwrap_or(FileType::Regular);
        if inode.is_subvolume_root() {
            let place = RootRef {
                dir: dir.number(),
                sequence: index,
                name,
            };
            place::add(self.fs.root_tree(), handle, placed(dir, inode), &place)?;
        }
        let entry = NewEntry {
            dir: dir.number(),
            name,
            index,
            target: target_of(inode),
            file_type,
        };
        entries::add(dir.subvolume().tree(), handle, &entry)?;
        dir.change_names(handle, |size| entries::grown(size, name), now)
    }

    /// Removes an entry, the record of it beside the inode or the subvolume, and updates the directory. `ENOENT` before
    /// anything was changed; any later error gives the transaction up.
    pub(in crate::fs) fn remove_entry(
        &self,
        handle: &Handle,
        dir: &Inode,
        name: &[u8],
        inode: &Inode,
        now: &dyn Now,
    ) -> Result {
        let tree = dir.subvolume().tree();
        entries::remove_item(tree, handle, dir.number(), name, target_of(inode))?;
        let removed = self
            .remove_ref(handle, dir, name, inode)
            .and_then(|index| entries::remove_index(tree, handle, dir.number(), index, name))
            .and_then(|()| dir.change_names(handle, |size| entries::shrunk(size, name), now));
        or_abort(handle, removed)
    }

    /// Removes a name beside the inode, which must have it, or the place of a subvolume, and gives its index in the
    /// directory.
    fn remove_ref(&self, handle: &Handle, dir: &Inode, name: &[u8], inode: &Inode) -> Result<u64> {
        if inode.is_subvolume_root() {
            let (root_tree, of) = (self.fs.root_tree(), placed(dir, inode));
            let index = place::index(root_tree, of, dir.number(), name)?;
            let index = index.ok_or_else(|| lacks_name(inode, dir))?;
            return place::remove(root_tree, handle, of).map(|()| index);
        }
        let reference = Name {
            inode: inode.number(),
            dir: dir.number(),
            name,
        };
        let removed = refs::remove(inode.subvolume().tree(), handle, &reference)?;
        removed.ok_or_else(|| lacks_name(inode, dir))
    }

    /// Counts one name less; an inode without becomes an orphan. A directory has but one name.
    pub(in crate::fs) fn drop_link(&self, handle: &Handle, inode: &Inode, now: &dyn Now) -> Result {
        let left = inode.change(handle, |attributes| {
            attributes.nlink = match attributes.is_directory() {
                true => 0,
                false => attributes.nlink.saturating_sub(1),
            };
            attributes.touch(now.of(inode));
            attributes.nlink
        })?;
        if left == 0 {
            orphans::add(inode.subvolume().tree(), handle, inode.number())?;
        }
        Ok(())
    }
}

/// What an entry names that leads to `inode`.
fn target_of(inode: &Inode) -> disk::EntryTarget {
    match inode.is_subvolume_root() {
        true => disk::EntryTarget::Subvolume(inode.subvolume().id()),
        false => disk::EntryTarget::Inode(inode.number()),
    }
}

/// The subvolume that has a name in `dir`, and the one that it leads to, whose topmost directory is `top`.
fn placed(dir: &Inode, top: &Inode) -> (ObjectId, ObjectId) {
    (dir.subvolume().id(), top.subvolume().id())
}

/// An entry names an inode that does not know the name.
#[cold]
fn lacks_name(inode: &Inode, dir: &Inode) -> Error {
    let place = Site::Inode(inode.subvolume().id(), inode.number());
    let dir = dir.number().get();
    Flaw::new("inode lacks its name in a directory", 0, dir)
        .at(place)
        .report()
}

/// Two entries, the name beside the inode, directory and inode change; the orphan is inserted.
pub(in crate::fs) fn unlink_units() -> Units {
    Units::updates(5).and(Units::inserts(1))
}

/// `EXDEV` for inodes of different subvolumes, and for the topmost directory of one, whose name is in another.
pub(in crate::fs) fn check_same_subvolume(dir: &Inode, inode: &Inode) -> Result {
    if dir.subvolume().is_same(inode.subvolume()) && !inode.is_subvolume_root() {
        Ok(())
    } else {
        Err(EXDEV)
    }
}

/// Refuses what is no directory (`ENOTDIR`), or not an empty one (`ENOTEMPTY`).
pub(in crate::fs) fn check_empty_directory(inode: &Inode) -> Result {
    if !inode.attributes().is_directory() {
        return Err(ENOTDIR);
    }
    match entries::is_empty(inode.subvolume().tree(), inode.number())? {
        true => Ok(()),
        false => Err(ENOTEMPTY),
    }
}
