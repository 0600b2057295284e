// SPDX-License-Identifier: GPL-2.0

//! Directories: what they must offer, and the tables of their calls.
//!
//! C header: `include/linux/fs.h`. The trait has the calls of the table with C's arguments, except that the inode stands
//! for the dentry where only the inode matters. A failed call returns its errno.
//!
//! | module     | what is in it                                                        |
//! |------------|----------------------------------------------------------------------|
//! | [`create`] | new inodes: `create`, `mkdir`, `mknod`, `symlink`, `tmpfile`         |
//! | [`names`]  | names of inodes that are there: `lookup`, `link`, `unlink`, `rename` |
//! | [`read`]   | what `getdents` shows                                                |
//!
//! What the VFS lends to these calls is alive until they return, and it holds the locks that C's
//! `Documentation/filesystems/locking.rst` names: the directories', and those of the inodes that a call removes, renames or
//! links. So names do not change under them.

mod create;
mod names;
mod read;

pub(crate) use create::{NewFile, NewKind};
pub(crate) use names::RenameKind;
pub(crate) use read::{DirContext, EntryKind};

use super::attributes::fileattr::{self, Flagged};
use super::attributes::Attributes;
use super::file;
use super::ioctl::{self, Ioctls};
use super::operations::Common;
use crate::linux::bindings as b;
use crate::linux::dentry::Dentry;
use crate::linux::inode::{Made, NewInode};
use crate::linux::owner::Owner;
use crate::linux::Inode;
use core::marker::PhantomData;
use kernel::sync::aref::ARef;
use latch::prelude::*;

/// The longest name, in bytes.
const NAME_MAX: usize = b::NAME_MAX as usize;

/// What a file system does with directories.
pub(crate) trait Directory: 'static {
    /// Finds a name.
    fn lookup(dir: &Inode, name: &[u8]) -> Result<Option<ARef<Inode>>>;
    /// Shows the entries from the position of `out` up to its end.
    fn iterate(dir: &Inode, out: &mut DirContext<'_>) -> Result;
    /// The position behind all entries that there are now.
    fn end(dir: &Inode) -> Result<u64>;
    /// Makes an inode with a name.
    fn create(dir: &Inode, name: &[u8], new: &NewFile<'_>) -> Result<Made>;
    /// Makes an inode without a name.
    fn create_unnamed(dir: &Inode, new: &NewFile<'_>) -> Result<Made>;
    /// Lets who made an inode in `dir` wait where too much is unwritten. It has its dentry: whoever finds it by its number
    /// meanwhile finds that.
    fn throttle(dir: &Inode);
    /// Gives an inode one more name.
    fn link(inode: &Inode, dir: &Inode, name: &[u8]) -> Result;
    /// Removes a name.
    fn unlink(dir: &Inode, name: &[u8], inode: &Inode) -> Result;
    /// Removes an empty directory.
    fn rmdir(dir: &Inode, name: &[u8], inode: &Inode) -> Result;
    /// Gives an inode another name, or exchanges two.
    fn rename(
        from: (&Inode, &Dentry),
        to: (&Inode, &Dentry),
        kind: RenameKind,
        owner: Owner,
    ) -> Result;
}

/// The end of a call that changed names in `dir`: they are made durable where the directory or the mount says so (C:
/// `IS_DIRSYNC`). Where that fails the names are changed all the same, and the VFS, which takes a failed call for one that
/// did nothing, has to look up those in `changed` again.
fn end<T: Attributes>(dir: &Inode, changed: &[&Dentry]) -> Result {
    match dir.is_dirsync() {
        true => T::sync(dir).inspect_err(|_| changed.iter().for_each(|name| name.forget())),
        false => Ok(()),
    }
}

/// The calls on directories of `T`.
struct Table<T>(PhantomData<T>);

impl<T: Directory + Attributes + Flagged + Ioctls> Table<T> {
    const INODE: b::inode_operations = b::inode_operations {
        lookup: Some(names::lookup::<T>),
        create: Some(create::create::<T>),
        link: Some(names::link::<T>),
        unlink: Some(names::unlink::<T>),
        symlink: Some(create::symlink::<T>),
        mkdir: Some(create::mkdir::<T>),
        rmdir: Some(names::rmdir::<T>),
        mknod: Some(create::mknod::<T>),
        rename: Some(names::rename::<T>),
        tmpfile: Some(create::tmpfile::<T>),
        fileattr_get: Some(fileattr::get::<T>),
        fileattr_set: Some(fileattr::set::<T>),
        ..Common::<T>::INODE
    };
    const FILE: b::file_operations = b::file_operations {
        iterate_shared: Some(read::iterate_shared::<T>),
        open: Some(read::open::<T>),
        llseek: Some(read::seek::<T>),
        read: Some(b::generic_read_dir),
        fsync: Some(file::fsync::<T>),
        setlease: Some(b::generic_setlease),
        unlocked_ioctl: Some(ioctl::native::<T>),
        compat_ioctl: Some(ioctl::compat::<T>),
        ..pin_init::zeroed()
    };
}

impl NewInode {
    /// Makes it a directory.
    pub(crate) fn set_directory<T: Directory + Attributes + Flagged + Ioctls>(&mut self) {
        self.set_operations(&Table::<T>::INODE, Some(&Table::<T>::FILE), None);
    }
}
