// SPDX-License-Identifier: GPL-2.0

//! The inode's lock, held by a value.

use super::b;
use latch::prelude::*;

/// How an inode is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nobody else changes its size or cuts it; others may read and overwrite.
    Shared,
    /// Nobody else has it locked.
    Exclusive,
}

/// Held for as long as an inode's contents change, or must not be cut.
///
/// # Invariants
///
/// `inode` is alive and locked by this value, in this mode.
pub(super) struct Locked {
    inode: *mut b::inode,
    mode: Mode,
}

impl Locked {
    /// Waits for the lock.
    ///
    /// # Safety
    ///
    /// `inode` is alive for as long as the value, and not locked by this task.
    pub(super) unsafe fn new(inode: *mut b::inode, mode: Mode) -> Self {
        // SAFETY: By the function's contract.
        unsafe {
            match mode {
                Mode::Shared => b::inode_lock_shared(inode),
                Mode::Exclusive => b::inode_lock(inode),
            }
        }
        // INVARIANT: Just locked.
        Self { inode, mode }
    }

    /// Takes the lock for a call with the flags `iocb_flags`: `EAGAIN` where it would have to wait and must not.
    ///
    /// # Safety
    ///
    /// As for [`Self::new`].
    pub(super) unsafe fn take(inode: *mut b::inode, mode: Mode, iocb_flags: i32) -> Result<Self> {
        if iocb_flags & b::IOCB_NOWAIT == 0 {
            // SAFETY: By the function's contract.
            return Ok(unsafe { Self::new(inode, mode) });
        }
        // SAFETY: By the function's contract.
        let locked = unsafe {
            match mode {
                Mode::Shared => b::inode_trylock_shared(inode),
                Mode::Exclusive => b::inode_trylock(inode),
            }
        };
        match locked {
            0 => Err(EAGAIN),
            // INVARIANT: Just locked.
            _ => Ok(Self { inode, mode }),
        }
    }

    /// How it is locked.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe {
            match self.mode {
                Mode::Shared => b::inode_unlock_shared(self.inode),
                Mode::Exclusive => b::inode_unlock(self.inode),
            }
        }
    }
}
