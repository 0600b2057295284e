// SPDX-License-Identifier: GPL-2.0

//! Allocations that must not enter a file system.
//!
//! C header: `include/linux/sched/mm.h`

use kernel::ffi::c_uint;
use kernel::types::NotThreadSafe;

// Wrappers which `inlines` makes bindgen generate; this crate is built before the bindings.
extern "C" {
    fn memalloc_nofs_save_inline() -> c_uint;
    fn memalloc_nofs_restore_inline(flags: c_uint);
}

/// Until it is dropped, this task's allocations do not write back or evict file system objects. Scopes
/// nest and are dropped in reverse order.
///
/// # Invariants
///
/// `flags` is what `memalloc_nofs_save` returned in this task.
#[must_use = "the scope ends when this is dropped"]
pub struct NofsScope {
    flags: c_uint,
    _not_send: NotThreadSafe,
}

impl NofsScope {
    /// Enters the scope.
    pub fn enter() -> Self {
        // SAFETY: It changes only this task's flags.
        let flags = unsafe { memalloc_nofs_save_inline() };
        // INVARIANT: `flags` was just returned.
        Self {
            flags,
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for NofsScope {
    fn drop(&mut self) {
        // SAFETY: `flags` is from this task's `memalloc_nofs_save` by the type invariant.
        unsafe { memalloc_nofs_restore_inline(self.flags) };
    }
}
