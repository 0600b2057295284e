// SPDX-License-Identifier: GPL-2.0

//! Names in the VFS's cache.
//!
//! C header: `include/linux/dcache.h`

use super::Inode;
use crate::linux::bindings as b;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;

/// A `struct dentry` whose name cannot change: its parent is locked by the caller.
///
/// # Invariants
///
/// `inner` is alive and its name stable while a `&Dentry` to it lives.
#[repr(transparent)]
pub(crate) struct Dentry {
    inner: Opaque<b::dentry>,
}

impl Dentry {
    /// A dentry that C lends.
    ///
    /// # Safety
    ///
    /// `at` is a dentry of ours, alive for `'a`, whose parent directory is locked for `'a`.
    pub(super) unsafe fn borrow<'a>(at: *mut b::dentry) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*at.cast() }
    }

    /// The C object.
    pub(super) fn as_ptr(&self) -> *mut b::dentry {
        self.inner.get()
    }

    /// The last component of the path.
    pub(crate) fn name(&self) -> &[u8] {
        // SAFETY: The name is stable by the type invariant.
        unsafe {
            let name = &(*self.as_ptr()).__bindgen_anon_1.d_name;
            let len = name.__bindgen_anon_1.__bindgen_anon_1.len as usize;
            core::slice::from_raw_parts(name.name, len)
        }
    }

    /// What the name stands for, if anything.
    pub(crate) fn inode(&self) -> Option<&Inode> {
        // SAFETY: Under the parent's lock a dentry keeps its inode.
        unsafe {
            let inode = (*self.as_ptr()).d_inode;
            (!inode.is_null()).then(|| Inode::borrow(inode))
        }
    }

    /// Lets whoever asks for the name next look it up.
    pub(crate) fn forget(&self) {
        // SAFETY: The dentry is alive.
        unsafe { b::d_drop(self.as_ptr()) };
    }

    /// Lets the name, which stood for nothing, stand for `inode`.
    pub(crate) fn instantiate(&self, inode: ARef<Inode>) {
        // SAFETY: The dentry is alive; the inode's reference is taken over.
        unsafe { b::d_instantiate(self.as_ptr(), Inode::into_ptr(inode)) };
    }
}
