// SPDX-License-Identifier: GPL-2.0

//! Inodes that leave memory.
//!
//! C header: `include/linux/fs.h` (`evict_inode`)

use super::Inode;
use crate::linux::bindings as b;
use core::ops::Deref;
use core::ptr::addr_of_mut;

/// An inode that the VFS takes out of memory: nobody else has it, and nobody finds it any more.
///
/// # Invariants
///
/// The inode is that of a call of `evict_inode` that has not returned and has not cleared it yet.
pub(in crate::linux) struct DyingInode<'a> {
    inode: &'a Inode,
}

impl<'a> DyingInode<'a> {
    /// # Safety
    ///
    /// The invariants of [`DyingInode`].
    pub(in crate::linux) unsafe fn new(inode: &'a Inode) -> Self {
        // INVARIANT: By the function's contract.
        Self { inode }
    }

    /// Drops all pages of the inode, after waiting for those under IO.
    pub(in crate::linux) fn truncate(&self) {
        // SAFETY: By the type invariant nobody else has the inode, whose pages are those of its own mapping.
        unsafe { b::truncate_inode_pages_final(addr_of_mut!((*self.inode.as_ptr()).i_data)) };
    }

    /// Says that nothing is left of the inode: the last step.
    pub(in crate::linux) fn clear(self) {
        // SAFETY: By the type invariant nobody else has the inode, and this is the last call for it.
        unsafe { b::clear_inode(self.inode.as_ptr()) };
    }
}

impl Deref for DyingInode<'_> {
    type Target = Inode;

    fn deref(&self) -> &Inode {
        self.inode
    }
}
