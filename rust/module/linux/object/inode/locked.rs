// SPDX-License-Identifier: GPL-2.0

//! Inodes whose lock a task holds.
//!
//! C header: `include/linux/fs.h` (`i_rwsem`)

use super::Inode;
use crate::linux::bindings as b;
use crate::linux::loff::length;
use core::ops::Deref;
use kernel::types::NotThreadSafe;
use units::Bytes;

/// An inode whose lock this task holds exclusively: no other call writes to it, makes it longer or shorter, or changes
/// its mode. Only a store through a mapping and a direct request that goes on without its caller do not ask for the lock.
///
/// # Invariants
///
/// The lock is held as long as the value lives.
#[derive(Clone, Copy)]
pub(crate) struct LockedInode<'a> {
    inode: &'a Inode,
    _not_send: NotThreadSafe,
}

impl<'a> LockedInode<'a> {
    /// # Safety
    ///
    /// This task holds `i_rwsem` of `inode` exclusively for `'a`, itself or by its caller.
    pub(in crate::linux) unsafe fn new(inode: &'a Inode) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            inode,
            _not_send: NotThreadSafe,
        }
    }

    /// Sets type and permissions in memory.
    pub(in crate::linux) fn set_mode(self, mode: u32) {
        self.inode.write_mode(mode);
    }

    /// Sets the number of bytes in the file.
    pub(crate) fn set_size(self, size: Bytes) {
        self.inode.write_size(size);
    }

    /// Sets the number of bytes in the file, and drops what the page cache has behind that.
    pub(in crate::linux) fn truncate(self, size: Bytes) {
        // SAFETY: The inode is alive, and by the type invariant this task alone changes its size.
        unsafe { b::truncate_setsize(self.inode.as_ptr(), length(size)) };
    }

    /// Sets the time of the last change to now.
    pub(in crate::linux) fn set_changed_now(self) {
        // SAFETY: The inode is alive, and by the type invariant no other call changes its attributes.
        unsafe { b::inode_set_ctime_current(self.inode.as_ptr()) };
    }
}

impl Deref for LockedInode<'_> {
    type Target = Inode;

    fn deref(&self) -> &Inode {
        self.inode
    }
}
