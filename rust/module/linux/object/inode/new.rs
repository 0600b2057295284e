// SPDX-License-Identifier: GPL-2.0

//! Inodes that are being made.

use super::slot::Slot;
use super::Inode;
use crate::linux::bindings as b;
use crate::linux::{private, SuperBlock};
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use kernel::ffi::c_long;
use kernel::sync::aref::ARef;
use latch::prelude::*;
use latch::Bug;

/// What an inode that was made as one of this driver's always has.
const NOT_OURS: Bug = Bug::new("a new inode has no room for what this driver keeps");

/// An inode in the hash that nobody else can use yet. Dropping it makes it go away again.
///
/// # Invariants
///
/// `inode` has `I_NEW` set by `iget5_locked` for us.
pub(crate) struct NewInode {
    inode: ManuallyDrop<ARef<Inode>>,
}

impl core::ops::Deref for NewInode {
    type Target = Inode;

    fn deref(&self) -> &Inode {
        &self.inode
    }
}

impl NewInode {
    /// # Safety
    ///
    /// The invariants of [`NewInode`].
    pub(super) unsafe fn of(inode: ARef<Inode>) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            inode: ManuallyDrop::new(inode),
        }
    }

    /// Gives the inode what this driver keeps for it.
    pub(crate) fn set_payload<T: Send + Sync + 'static>(&mut self, value: T) -> Result {
        // SAFETY: The inode is not published.
        unsafe { self.slot().ok_or(NOT_OURS)?.set_payload(value) }
    }

    /// Sets the operations of a device node, pipe or socket.
    pub(crate) fn init_special(&mut self, mode: u32, rdev: u32) {
        // SAFETY: Nobody else has the inode.
        unsafe { b::init_special_inode(self.as_ptr(), mode as b::umode_t, rdev) };
    }

    /// Sets the operations.
    pub(in crate::linux) fn set_operations(
        &mut self,
        inode: &'static b::inode_operations,
        file: Option<&'static b::file_operations>,
        mapping: Option<&'static b::address_space_operations>,
    ) {
        let this = self.as_ptr();
        // SAFETY: Nobody else has the inode; the tables are static.
        unsafe {
            let files = &mut (*this).__bindgen_anon_3;
            (*this).i_op = inode;
            files.i_fop = file.map_or(files.i_fop, ptr::from_ref);
            let pages = self.mapping();
            (*pages).a_ops = mapping.map_or((*pages).a_ops, ptr::from_ref);
        }
    }

    /// Lets everybody see the inode by `show`, which takes over the inode's reference, and its `I_NEW`.
    pub(in crate::linux) fn publish_by(self, show: impl FnOnce(*mut b::inode)) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: The value is not used any more.
        let inode = unsafe { ManuallyDrop::take(&mut this.inode) };
        show(Inode::into_ptr(inode));
    }

    /// Lets everybody see the inode.
    pub(crate) fn publish(self) -> ARef<Inode> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: The value is not used any more.
        let inode = unsafe { ManuallyDrop::take(&mut this.inode) };
        // SAFETY: I_NEW is ours by the type invariant.
        unsafe { b::unlock_new_inode(inode.as_ptr()) };
        inode
    }
}

impl Drop for NewInode {
    fn drop(&mut self) {
        // SAFETY: I_NEW is ours by the type invariant, and so is the reference that goes with it.
        unsafe { b::iget_failed(self.inode.as_ptr()) };
    }
}

/// An inode for a name that was just made.
pub(crate) enum Made {
    /// The inode is new: only its maker knows it.
    New(NewInode),
    /// Somebody has found it by its number meanwhile (a file handle), and may have given it a dentry without a name.
    Found(ARef<Inode>),
}

impl SuperBlock {
    /// A new inode for an empty directory in `dir`, whose owner it shows, which keeps `value`. It has no calls but those of the
    /// kernel's own simple directories: what is changed of it is changed in memory, until it is looked up again. It is found by
    /// no key.
    pub(crate) fn empty_directory<T: Send + Sync + 'static>(
        &self,
        number: u64,
        dir: &Inode,
        value: T,
    ) -> Result<ARef<Inode>> {
        let slot = Slot::boxed(None)?;
        // SAFETY: The super block is alive.
        let inode = unsafe { b::new_inode(self.as_ptr()) };
        if inode.is_null() {
            // SAFETY: From `private::put`, taken by nobody.
            unsafe { private::drop_private(slot.as_ptr()) };
            return Err(ENOMEM);
        }
        let (uid, gid) = dir.owner();
        let [atime, ..] = dir.times();
        // SAFETY: Nobody else has the inode; the tables are static.
        unsafe {
            (*inode).i_private = slot.as_ptr();
            (*inode).i_ino = number;
            (*inode).i_mode = (b::S_IFDIR | 0o755) as b::umode_t;
            (*inode).i_op = &b::simple_dir_inode_operations;
            // The handlers of extended attributes are the super block's.
            (*inode).i_opflags &= !(b::IOP_XATTR as u16);
            (*inode).__bindgen_anon_3.i_fop = &b::simple_dir_operations;
            b::i_uid_write(inode, uid);
            b::i_gid_write(inode, gid);
            b::simple_inode_init_ts(inode);
            b::inode_set_atime(inode, atime.sec, atime.nsec as c_long);
        }
        // SAFETY: The reference is ours.
        let inode = unsafe { ARef::from_raw(NonNull::from(Inode::borrow(inode))) };
        // SAFETY: The inode is not published.
        unsafe { inode.slot().ok_or(NOT_OURS)?.set_payload(value) }?;
        Ok(inode)
    }
}
