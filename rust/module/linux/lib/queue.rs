// SPDX-License-Identifier: GPL-2.0

//! Work queues of our own.
//!
//! C header: `include/linux/workqueue.h`. The kernel crate has only the system's queues; our own can be waited for
//! before the module's text goes away.

use crate::linux::bindings;
use core::ops::Deref;
use kernel::workqueue::Queue;
use latch::prelude::*;

/// A work queue whose items run in any order, on any processor, also when memory is short.
///
/// # Invariants
///
/// `inner` is a work queue made by [`Self::new`] and destroyed by `drop` alone.
pub(crate) struct OwnedQueue {
    inner: *mut bindings::workqueue_struct,
}

// SAFETY: A work queue may be used from any thread.
unsafe impl Send for OwnedQueue {}
// SAFETY: A work queue synchronises itself.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Makes a queue with this name.
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        let flags = bindings::wq_flags_WQ_UNBOUND | bindings::wq_flags_WQ_MEM_RECLAIM;
        // SAFETY: The name has no conversions and lives forever; 0 is the default number of workers.
        let inner = unsafe { bindings::alloc_workqueue_noprof(name.as_ptr().cast(), flags, 0) };
        if inner.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: It was just made.
        Ok(Self { inner })
    }
}

impl OwnedQueue {
    /// Waits for all that was queued before the call.
    pub(crate) fn flush(&self) {
        // SAFETY: The queue exists by the type invariant.
        unsafe { bindings::__flush_workqueue(self.inner) };
    }
}

impl Deref for OwnedQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: The queue exists by the type invariant.
        unsafe { Queue::from_raw(self.inner) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: The queue exists by the type invariant; this runs what is queued and ends it.
        unsafe { bindings::destroy_workqueue(self.inner) };
    }
}
