// SPDX-License-Identifier: GPL-2.0

//! Symbolic links.
//!
//! C header: `include/linux/fs.h`

use super::attributes::Attributes;
use super::inode::NewInode;
use super::operations::Common;
use super::Inode;
use crate::linux::bindings as b;
use core::marker::PhantomData;
use kernel::ffi::{c_char, c_void};
use latch::prelude::*;
use latch::NofsScope;

/// The calls on symbolic links of `T`.
struct Table<T>(PhantomData<T>);

impl<T: Attributes> Table<T> {
    const INODE: b::inode_operations = b::inode_operations {
        get_link: Some(get_link::<T>),
        get_inode_acl: None,
        set_acl: None,
        ..Common::<T>::INODE
    };
}

impl NewInode {
    /// Makes it a symbolic link.
    pub(crate) fn set_symlink<T: Attributes>(&mut self) {
        self.set_operations(&Table::<T>::INODE, None, None);
        // SAFETY: A `NewInode` is alive, and nobody else uses it before it is unlocked.
        unsafe { b::inode_nohighmem(self.as_ptr()) };
    }
}

unsafe extern "C" fn get_link<T: Attributes>(
    dentry: *mut b::dentry,
    inode: *mut b::inode,
    done: *mut b::delayed_call,
) -> *const c_char {
    if dentry.is_null() {
        return ECHILD.to_ptr::<c_char>();
    }
    let _nofs = NofsScope::enter();
    // SAFETY: The VFS lends the inode for the call: with a dentry, the walk holds references.
    let target = T::read_link(unsafe { Inode::borrow(inode) }).and_then(|mut target| {
        target.push(0, GFP_KERNEL)?;
        Ok(target)
    });
    match target {
        Ok(target) => {
            let (at, _, _) = target.into_raw_parts();
            // SAFETY: The VFS lends `done`, which calls `kfree_link` once with `arg`: a `KVec`'s memory is `kmalloc`'s.
            unsafe {
                (*done).fn_ = Some(b::kfree_link);
                (*done).arg = at.cast::<c_void>();
            }
            at.cast()
        }
        Err(error) => error.to_ptr::<c_char>(),
    }
}
