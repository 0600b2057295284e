// SPDX-License-Identifier: GPL-2.0

//! Tasks that must not wait for IO.
//!
//! C header: `include/linux/sched/mm.h`

use crate::linux::bindings as b;
use kernel::ffi::c_uint;
use kernel::types::NotThreadSafe;

/// Until it is dropped, this task's allocations do no IO: zone management may freeze the queue, and a call that must not
/// wait for the device must not wait for memory that way either. Scopes nest and are dropped in reverse order.
///
/// # Invariants
///
/// `flags` is what `memalloc_noio_save` returned in this task.
#[must_use = "the scope ends when this is dropped"]
pub(in crate::linux) struct NoioScope {
    flags: c_uint,
    _not_send: NotThreadSafe,
}

impl NoioScope {
    /// Enters the scope.
    pub(in crate::linux) fn enter() -> Self {
        // SAFETY: It changes only this task's flags.
        let flags = unsafe { b::memalloc_noio_save() };
        // INVARIANT: `flags` was just returned.
        Self {
            flags,
            _not_send: NotThreadSafe,
        }
    }

    /// Whether this task is in such a scope, of whomever.
    pub(in crate::linux) fn is_entered() -> bool {
        // SAFETY: It looks at this task's flags.
        unsafe { b::rbtrfs_task_does_no_io() }
    }
}

impl Drop for NoioScope {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { b::memalloc_noio_restore(self.flags) };
    }
}
