// SPDX-License-Identifier: GPL-2.0

//! How inodes are made.

use super::{end, Directory, NAME_MAX};
use crate::linux::acl;
use crate::linux::attributes::Attributes;
use crate::linux::bindings as b;
use crate::linux::dentry::{Dentry, OtherDentry};
use crate::linux::enospc::with_space;
use crate::linux::inode::Made;
use crate::linux::owner::Owner;
use crate::linux::Inode;
use kernel::error::from_result;
use kernel::ffi::{c_char, c_int};
use latch::prelude::*;
use latch::NofsScope;

/// What kind of inode to make.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NewKind<'a> {
    /// A regular file.
    File,
    /// The inode is a directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(&'a [u8]),
    /// A device node, pipe or socket by the mode; the device's number as the kernel has it (`dev_t`).
    Special(u32),
}

/// An inode to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewFile<'a> {
    /// What kind of inode it is.
    pub(crate) kind: NewKind<'a>,
    /// Who owns the inode.
    pub(crate) owner: Owner,
    /// Extended attributes that it is born with.
    pub(crate) xattrs: &'a [(&'a [u8], &'a [u8])],
}

/// Makes an inode in `dir` by `make`, with the owner and the ACLs that it gets there.
///
/// # Safety
///
/// The VFS lends `dir`, locked or of a file that is opened without a name, and `idmap`, its mount's, for the call.
unsafe fn born(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    mode: u32,
    kind: NewKind<'_>,
    mut make: impl FnMut(&Inode, &NewFile<'_>) -> Result<Made>,
) -> Result<Made> {
    // SAFETY: By the function's contract.
    let mut owner = unsafe { Owner::of_new(idmap, dir, mode) };
    let _nofs = NofsScope::enter();
    // SAFETY: By the function's contract.
    let acls = unsafe { acl::Inherited::new(dir, &mut owner) }?;
    // SAFETY: By the function's contract.
    let dir = unsafe { Inode::borrow(dir) };
    with_space(dir, || {
        acls.with(|xattrs| {
            let new = NewFile {
                kind,
                owner,
                xattrs,
            };
            make(dir, &new)
        })
    })
}

/// Makes an inode under `dentry`; the dentry that it has, if that is another one.
///
/// # Safety
///
/// The VFS lends `dir`, locked, `dentry`, a name in it that stands for nothing, and `idmap`, its mount's, for the call.
unsafe fn make<T: Directory + Attributes>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    mode: u32,
    kind: NewKind<'_>,
) -> Result<Option<OtherDentry>> {
    // SAFETY: By the function's contract.
    let entry = unsafe { Dentry::borrow(dentry) };
    if entry.name().len() > NAME_MAX {
        return Err(ENAMETOOLONG);
    }
    let create = |dir: &Inode, new: &NewFile<'_>| T::create(dir, entry.name(), new);
    // SAFETY: By the function's contract.
    let made = unsafe { born(idmap, dir, mode, kind, create) }.inspect_err(|_| {
        // It may have been made, and no memory been left to show it: whoever asks next is to look.
        entry.forget();
    })?;
    let other = entry.instantiate_made(made)?;
    let _nofs = NofsScope::enter();
    // SAFETY: By the function's contract.
    let dir = unsafe { Inode::borrow(dir) };
    T::throttle(dir);
    // SAFETY: By the function's contract `dir` is locked, and the name is in it.
    let named = other.as_ref().map_or(entry, |other| unsafe { other.get() });
    end::<T>(dir, &[named])?;
    Ok(other)
}

pub(super) unsafe extern "C" fn create<T: Directory + Attributes>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    mode: b::umode_t,
    // Up to 7.2: that the name is new, which the VFS has seen to.
    #[cfg(CREATE_HAS_EXCL)] _excl: bool,
) -> c_int {
    // SAFETY: The VFS lends all as `make` wants it.
    from_result(|| unsafe { make::<T>(idmap, dir, dentry, mode.into(), NewKind::File) }.map(|_| 0))
}

pub(super) unsafe extern "C" fn mkdir<T: Directory + Attributes>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    mode: b::umode_t,
) -> *mut b::dentry {
    let mode = u32::from(mode) | b::S_IFDIR;
    // SAFETY: The VFS lends all as `make` wants it.
    match unsafe { make::<T>(idmap, dir, dentry, mode, NewKind::Directory) } {
        Ok(other) => OtherDentry::into_answer(other),
        Err(error) => error.to_ptr(),
    }
}

pub(super) unsafe extern "C" fn mknod<T: Directory + Attributes>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    mode: b::umode_t,
    rdev: b::dev_t,
) -> c_int {
    let mode = u32::from(mode);
    let kind = match mode & b::S_IFMT {
        b::S_IFREG => NewKind::File,
        _ => NewKind::Special(rdev),
    };
    // SAFETY: The VFS lends all as `make` wants it.
    from_result(|| unsafe { make::<T>(idmap, dir, dentry, mode, kind) }.map(|_| 0))
}

pub(super) unsafe extern "C" fn symlink<T: Directory + Attributes>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    target: *const c_char,
) -> c_int {
    // SAFETY: The VFS lends a string for the call.
    let target = unsafe { CStr::from_char_ptr(target) }.to_bytes();
    let kind = NewKind::Symlink(target);
    // SAFETY: The VFS lends the rest as `make` wants it.
    let made = unsafe { make::<T>(idmap, dir, dentry, b::S_IFLNK | 0o777, kind) };
    from_result(|| made.map(|_| 0))
}

pub(super) unsafe extern "C" fn tmpfile<T: Directory>(
    idmap: *mut b::mnt_idmap,
    dir: *mut b::inode,
    file: *mut b::file,
    mode: b::umode_t,
) -> c_int {
    from_result(|| {
        let kind = NewKind::File;
        // SAFETY: The VFS lends the directory and its mount's map for the call.
        let made = unsafe { born(idmap, dir, mode.into(), kind, T::create_unnamed) }?;
        let inode = match &made {
            Made::New(new) => new.as_ptr(),
            Made::Found(inode) => inode.as_ptr(),
        };
        // SAFETY: The new inode is alive. `d_tmpfile` drops a link, which the inode on disk does not have.
        unsafe { b::set_nlink(inode, 1) };
        // SAFETY: The VFS lends a file that is being opened, with a dentry for the inode, whose reference C takes over: the
        // one that is given up below.
        unsafe { b::d_tmpfile(file, inode) };
        // It has its dentry before others see it.
        Inode::into_ptr(match made {
            Made::New(new) => new.publish(),
            Made::Found(inode) => inode,
        });
        // SAFETY: The VFS lends the file for the call; nothing has opened it yet.
        Ok(unsafe { b::finish_open_simple(file, 0) })
    })
}
