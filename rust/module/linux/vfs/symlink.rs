// SPDX-License-Identifier: GPL-2.0

//! Symbolic links and their targets.
//!
//! C header: `include/linux/fs.h`

use super::attributes::Attributes;
use super::operations::Common;
use crate::linux::bindings as b;
use crate::linux::inode::NewInode;
use crate::linux::Inode;
use core::marker::PhantomData;
use core::ptr::{addr_of_mut, null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::ffi::c_char;
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
    }
}

/// Where the target of a symbolic link is kept once it was read: from then on a walk takes it from there (C: `i_link`),
/// one without references too.
///
/// # Safety
///
/// `inode` is a symbolic link of this driver, alive for `'a`.
unsafe fn kept<'a>(inode: *mut b::inode) -> &'a AtomicPtr<c_char> {
    // SAFETY: By the function's contract; the field is read by C and written here as a whole.
    unsafe { AtomicPtr::from_ptr(addr_of_mut!((*inode).__bindgen_anon_5.i_link).cast()) }
}

unsafe extern "C" fn get_link<T: Attributes>(
    dentry: *mut b::dentry,
    inode: *mut b::inode,
    _done: *mut b::delayed_call,
) -> *const c_char {
    if dentry.is_null() {
        return ECHILD.to_ptr::<c_char>();
    }
    let _nofs = NofsScope::enter();
    // SAFETY: The VFS lends the inode for the call: with a dentry, the walk holds references.
    let (this, kept) = unsafe { (Inode::borrow(inode), kept(inode)) };
    match read::<T>(this) {
        Ok(read) => keep(kept, read),
        Err(error) => error.to_ptr::<c_char>(),
    }
}

/// The target as C wants it, in memory of `kmalloc`.
fn read<T: Attributes>(inode: &Inode) -> Result<NonNull<c_char>> {
    let target = T::read_link(inode)?;
    // SAFETY: As many bytes are there; it adds a zero.
    let copy = unsafe { b::kmemdup_nul(target.as_ptr().cast(), target.len(), b::GFP_INODE) };
    NonNull::new(copy.cast()).ok_or(ENOMEM)
}

/// Keeps `read`, unless another task was faster. What is kept stays as long as the inode.
fn keep(kept: &AtomicPtr<c_char>, read: NonNull<c_char>) -> *const c_char {
    match kept.compare_exchange(
        null_mut(),
        read.as_ptr(),
        Ordering::AcqRel,
        Ordering::Acquire,
    ) {
        Ok(_) => read.as_ptr(),
        Err(earlier) => {
            // SAFETY: From `kmemdup_nul`, and nobody else saw it.
            unsafe { b::kfree(read.as_ptr().cast()) };
            earlier
        }
    }
}

/// Frees the target that was kept.
///
/// # Safety
///
/// `inode` is of this driver, and its grace period is over.
pub(super) unsafe fn drop_target(inode: *mut b::inode) {
    // SAFETY: By the function's contract nobody else has it.
    if u32::from(unsafe { (*inode).i_mode }) & b::S_IFMT == b::S_IFLNK {
        // SAFETY: By the function's contract nobody else has the field, which is null or from `kmemdup_nul`.
        unsafe { b::kfree(kept(inode).load(Ordering::Relaxed).cast()) };
    }
}
