// SPDX-License-Identifier: GPL-2.0

//! Who owns a new inode, and its mode.
//!
//! C header: `include/linux/fs.h`

use crate::linux::bindings as b;

/// What a new inode gets from its maker and its directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Type and permissions, with the set-group-id bit of the directory.
    pub(crate) mode: u32,
    /// The owner's user id.
    pub(crate) uid: u32,
    /// The owner's group id.
    pub(crate) gid: u32,
}

impl Owner {
    /// The owner of an inode that the calling task makes in `dir`.
    ///
    /// # Safety
    ///
    /// `dir` is an inode and `idmap` its mount's map of users, both lent by the VFS for the call.
    pub(in crate::linux) unsafe fn of_new(
        idmap: *mut b::mnt_idmap,
        dir: *mut b::inode,
        mode: u32,
    ) -> Self {
        let mut owner = Self {
            mode,
            uid: 0,
            gid: 0,
        };
        // SAFETY: By the function's contract; C writes the three numbers, which are ours.
        unsafe { b::rbtrfs_new_owner(idmap, dir, &mut owner.mode, &mut owner.uid, &mut owner.gid) };
        owner
    }
}
