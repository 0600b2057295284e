// SPDX-License-Identifier: GPL-2.0

//! Names of inodes that are there.

use super::{end, Directory, NAME_MAX};
use crate::linux::attributes::Attributes;
use crate::linux::bindings as b;
use crate::linux::dentry::Dentry;
use crate::linux::enospc::with_space;
use crate::linux::owner::Owner;
use crate::linux::Inode;
use core::ptr::null_mut;
use kernel::error::from_result;
use kernel::ffi::{c_int, c_uint};
use latch::prelude::*;
use latch::NofsScope;

/// How rename treats the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenameKind {
    /// Replaces what is there.
    Replace,
    /// The two names are swapped (`RENAME_EXCHANGE`).
    Exchange,
    /// Replaces what is there, and leaves a whiteout behind (`RENAME_WHITEOUT`).
    Whiteout,
}

impl RenameKind {
    /// The kind that the flags of `renameat2` ask for. With `RENAME_NOREPLACE`, alone or with a whiteout, the VFS has seen to it that
    /// there is nothing to replace.
    fn of(flags: c_uint) -> Result<Self> {
        match flags & !b::RENAME_NOREPLACE {
            0 => Ok(Self::Replace),
            b::RENAME_EXCHANGE => Ok(Self::Exchange),
            b::RENAME_WHITEOUT => Ok(Self::Whiteout),
            _ => Err(EINVAL),
        }
    }
}

/// A name in a directory, as the VFS lends both for a call.
///
/// # Safety
///
/// `dir` and `dentry` are alive for `'a`, the directory locked, and it is the dentry's parent.
unsafe fn lent<'a>(dir: *mut b::inode, dentry: *mut b::dentry) -> (&'a Inode, &'a Dentry) {
    // SAFETY: By the function's contract.
    unsafe { (Inode::borrow(dir), Dentry::borrow(dentry)) }
}

pub(super) unsafe extern "C" fn lookup<T: Directory>(
    dir: *mut b::inode,
    dentry: *mut b::dentry,
    _flags: c_uint,
) -> *mut b::dentry {
    // SAFETY: The VFS lends both for the call; the name of a dentry that is looked up is stable.
    let (dir, entry) = unsafe { lent(dir, dentry) };
    if entry.name().len() > NAME_MAX {
        return ENAMETOOLONG.to_ptr();
    }
    let _nofs = NofsScope::enter();
    match T::lookup(dir, entry.name()) {
        Ok(found) => {
            let passing = found.clone().filter(|inode| inode.key().is_none());
            let inode = found.map_or(null_mut(), Inode::into_ptr);
            // SAFETY: The dentry is in lookup; C takes over the inode's reference, or null for a name that is not there.
            let spliced = unsafe { b::d_splice_alias(inode, dentry) };
            // What is found by no key is not kept by its name either, once nobody uses it.
            if let Some(inode) = passing {
                // SAFETY: The inode is alive.
                unsafe { b::d_mark_dontcache(inode.as_ptr()) };
            }
            spliced
        }
        Err(error) => error.to_ptr(),
    }
}

pub(super) unsafe extern "C" fn link<T: Directory + Attributes>(
    old: *mut b::dentry,
    dir: *mut b::inode,
    new: *mut b::dentry,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends the old name for the call, and it has a reference to its inode.
        let inode = unsafe { Inode::borrow((*old).d_inode) };
        // SAFETY: The VFS lends both for the call, the directory locked.
        let (dir, new) = unsafe { lent(dir, new) };
        let _nofs = NofsScope::enter();
        with_space(dir, || T::link(inode, dir, new.name()))?;
        new.instantiate(inode.into());
        end::<T>(dir, &[new]).map(|()| 0)
    })
}

pub(super) unsafe extern "C" fn unlink<T: Directory + Attributes>(
    dir: *mut b::inode,
    dentry: *mut b::dentry,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends both for the call, the directory locked.
        let (dir, entry) = unsafe { lent(dir, dentry) };
        let _nofs = NofsScope::enter();
        T::unlink(dir, entry.name(), entry.inode().ok_or(ENOENT)?)?;
        end::<T>(dir, &[entry]).map(|()| 0)
    })
}

pub(super) unsafe extern "C" fn rmdir<T: Directory + Attributes>(
    dir: *mut b::inode,
    dentry: *mut b::dentry,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends both for the call, the directory locked.
        let (dir, entry) = unsafe { lent(dir, dentry) };
        let _nofs = NofsScope::enter();
        T::rmdir(dir, entry.name(), entry.inode().ok_or(ENOENT)?)?;
        end::<T>(dir, &[entry]).map(|()| 0)
    })
}

pub(super) unsafe extern "C" fn rename<T: Directory + Attributes>(
    idmap: *mut b::mnt_idmap,
    from_dir: *mut b::inode,
    from: *mut b::dentry,
    to_dir: *mut b::inode,
    to: *mut b::dentry,
    flags: c_uint,
) -> c_int {
    from_result(|| {
        let kind = RenameKind::of(flags)?;
        let _nofs = NofsScope::enter();
        // SAFETY: The VFS lends the map for the call. It is the owner of a whiteout, a character device.
        let owner = unsafe { Owner::of_new(idmap, from_dir, b::S_IFCHR) };
        // SAFETY: The VFS lends these and those below for the call, both directories locked.
        let from = unsafe { lent(from_dir, from) };
        // SAFETY: The VFS lends these for the call, both directories locked.
        let to = unsafe { lent(to_dir, to) };
        with_space(from.0, || T::rename(from, to, kind, owner))?;
        let changed = [from.1, to.1];
        end::<T>(from.0, &changed)?;
        end::<T>(to.0, &changed).map(|()| 0)
    })
}
