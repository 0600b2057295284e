// SPDX-License-Identifier: GPL-2.0

//! What hangs on `i_private`.

use crate::linux::private;
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use kernel::ffi::c_void;
use latch::prelude::*;

/// What an inode is found by: the subvolume's id and the number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InodeKey {
    /// The id of the subvolume.
    pub(crate) subvolume: u64,
    /// The inode's number there.
    pub(crate) number: u64,
}

impl InodeKey {
    pub(super) fn hash(self) -> u64 {
        self.number ^ self.subvolume.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// An inode's key, if it is found by one, and what the driver keeps for it.
///
/// # Invariants
///
/// `payload` is written by the [`NewInode`](super::NewInode) alone and never after it was published.
pub(super) struct Slot {
    pub(super) key: Option<InodeKey>,
    payload: UnsafeCell<Option<NonNull<c_void>>>,
}

// SAFETY: The payload is `Send` (see [`Slot::set_payload`]).
unsafe impl Send for Slot {}
// SAFETY: The payload is `Sync` and is written before the inode is shared, by the type invariant.
unsafe impl Sync for Slot {}

impl Slot {
    /// The slot of an inode without a payload, boxed for `i_private`.
    pub(super) fn boxed(key: Option<InodeKey>) -> Result<NonNull<c_void>> {
        private::put(Self {
            key,
            payload: UnsafeCell::new(None),
        })
    }

    /// What the driver keeps for the inode, if it is a `T`.
    pub(super) fn payload<T: Send + Sync + 'static>(&self) -> Option<&T> {
        // SAFETY: By the type invariant: an inode that is shared has its payload for good.
        let payload = unsafe { *self.payload.get() }?;
        // SAFETY: It is from `private::put` and freed only with the inode.
        unsafe { private::get(payload.as_ptr()) }
    }

    /// Gives the inode its payload.
    ///
    /// # Safety
    ///
    /// The inode was not published.
    pub(super) unsafe fn set_payload<T: Send + Sync + 'static>(&self, value: T) -> Result {
        let value = private::put(value)?;
        // SAFETY: By the function's contract nobody else has the inode.
        if let Some(old) = unsafe { (*self.payload.get()).replace(value) } {
            // SAFETY: From `private::put`, not used again.
            unsafe { private::drop_private(old.as_ptr()) };
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(payload) = self.payload.get_mut().take() {
            // SAFETY: It is from `private::put`, and this is the last use.
            unsafe { private::drop_private(payload.as_ptr()) };
        }
    }
}
