// SPDX-License-Identifier: GPL-2.0
//! Allocation without entering the file system.

use core::marker::PhantomData;
use std::cell::Cell;

crate::raw::thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Until dropped, what this task allocates does not enter the file system (C: `memalloc_nofs_save`). Nests.
#[must_use]
pub struct NofsScope(PhantomData<*const ()>);

impl NofsScope {
    /// Begins the scope.
    pub fn enter() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self(PhantomData)
    }

    /// Whether this task is in a scope. For tests: the kernel's has no such call.
    pub fn is_active() -> bool {
        DEPTH.with(Cell::get) > 0
    }
}

impl Drop for NofsScope {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}
