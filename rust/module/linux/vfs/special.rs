// SPDX-License-Identifier: GPL-2.0

//! Device nodes, pipes and sockets: the kernel has their calls on files.
//!
//! C header: `include/linux/fs.h`

use super::attributes::Attributes;
use super::operations::Common;
use crate::linux::inode::NewInode;

impl NewInode {
    /// Makes it a device node, pipe or socket.
    pub(crate) fn set_special<T: Attributes>(&mut self, mode: u32, rdev: u32) {
        self.init_special(mode, rdev);
        self.set_operations(&Common::<T>::INODE, None, None);
    }
}
