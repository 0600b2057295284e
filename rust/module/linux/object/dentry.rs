// SPDX-License-Identifier: GPL-2.0

//! Names in the VFS's cache.
//!
//! C header: `include/linux/dcache.h`

use super::inode::Made;
use super::Inode;
use crate::linux::bindings as b;
use core::ptr::{null_mut, NonNull};
use kernel::error::from_err_ptr;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;
use latch::prelude::*;

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
    pub(in crate::linux) unsafe fn borrow<'a>(at: *mut b::dentry) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*at.cast() }
    }

    /// The C object.
    pub(in crate::linux) fn as_ptr(&self) -> *mut b::dentry {
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

    /// Lets the name, which stood for nothing, stand for what was made. The dentry that has it now, if it is another one:
    /// a directory that somebody has found by its number keeps the dentry that it got then.
    pub(in crate::linux) fn instantiate_made(&self, made: Made) -> Result<Option<OtherDentry>> {
        match made {
            // As one: who found it by its number before would give it another dentry, and a directory must not have two.
            // SAFETY: The dentry is alive; the inode's reference is taken over, and it has `I_NEW`.
            Made::New(new) => new.publish_by(|inode| unsafe {
                b::d_instantiate_new(self.as_ptr(), inode);
            }),
            Made::Found(inode) if inode.is_directory() => {
                self.forget();
                // SAFETY: The dentry is alive, and in no hash now; the inode's reference is taken over.
                let other = unsafe { b::d_splice_alias(Inode::into_ptr(inode), self.as_ptr()) };
                // INVARIANT: If there is one, its reference comes with it.
                return Ok(NonNull::new(from_err_ptr(other)?).map(OtherDentry));
            }
            Made::Found(inode) => self.instantiate(inode),
        }
        Ok(None)
    }

    /// Lets the name, which stood for nothing, stand for `inode`, which is no directory.
    pub(crate) fn instantiate(&self, inode: ARef<Inode>) {
        // SAFETY: The dentry is alive; the inode's reference is taken over.
        unsafe { b::d_instantiate(self.as_ptr(), Inode::into_ptr(inode)) };
    }
}

/// The dentry that a directory has already, which takes the place of the one that it was made under.
///
/// # Invariants
///
/// The value has a reference to it.
pub(in crate::linux) struct OtherDentry(NonNull<b::dentry>);

impl OtherDentry {
    /// The dentry itself.
    ///
    /// # Safety
    ///
    /// The directory that the name is in stays locked while the dentry is borrowed.
    pub(in crate::linux) unsafe fn get(&self) -> &Dentry {
        // SAFETY: The value's reference keeps it alive; the rest is the function's contract.
        unsafe { Dentry::borrow(self.0.as_ptr()) }
    }

    /// What a call that makes a directory answers with: this dentry with its reference, or null where there is none.
    pub(in crate::linux) fn into_answer(this: Option<Self>) -> *mut b::dentry {
        this.map_or(null_mut(), |other| {
            core::mem::ManuallyDrop::new(other).0.as_ptr()
        })
    }
}

impl Drop for OtherDentry {
    fn drop(&mut self) {
        // SAFETY: The value's own reference is given up.
        unsafe { b::dput(self.0.as_ptr()) };
    }
}
