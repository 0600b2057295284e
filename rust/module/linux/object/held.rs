// SPDX-License-Identifier: GPL-2.0

//! Super blocks that stay mounted.
//!
//! C header: `include/linux/fs.h` (`s_umount`)

use super::SuperBlock;
use crate::linux::bindings as b;
use core::ops::Deref;
use core::ptr::addr_of_mut;
use kernel::types::NotThreadSafe;
use latch::prelude::*;

/// A super block whose `s_umount` this task holds, for reading or for writing: nobody else mounts, remounts, freezes, thaws
/// or unmounts it.
///
/// # Invariants
///
/// The lock is held as long as the value is borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a> {
    sb: &'a SuperBlock,
    _not_send: NotThreadSafe,
}

impl<'a> Held<'a> {
    /// # Safety
    ///
    /// This task holds `s_umount` of `sb` for `'a`.
    pub(in crate::linux) unsafe fn new(sb: &'a SuperBlock) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            sb,
            _not_send: NotThreadSafe,
        }
    }

    /// Writes out all dirty data and waits for it.
    pub(crate) fn write_out(self) {
        // SAFETY: The super block is alive, and by the type invariant will not be shut down meanwhile.
        unsafe { b::sync_inodes_sb(self.sb.as_ptr()) };
    }
}

impl Deref for Held<'_> {
    type Target = SuperBlock;

    fn deref(&self) -> &SuperBlock {
        self.sb
    }
}

impl SuperBlock {
    /// Calls `work` with `s_umount` held for reading; `EAGAIN` where somebody has it to mount, remount, freeze or unmount, or waits
    /// for that behind others that read.
    pub(in crate::linux) fn try_hold(&self, work: impl FnOnce(Held<'_>)) -> Result {
        let at = self.as_ptr();
        // SAFETY: The super block is alive, and with it the lock.
        let lock = unsafe { addr_of_mut!((*at).s_umount) };
        // SAFETY: The lock is initialised, as the super block was made by the VFS.
        if unsafe { b::down_read_trylock(lock) } == 0 {
            return Err(EAGAIN);
        }
        // SAFETY: It was taken, and is let go after the call.
        work(unsafe { Held::new(self) });
        // SAFETY: It was taken above.
        unsafe { b::up_read(lock) };
        Ok(())
    }
}
