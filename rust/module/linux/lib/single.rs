// SPDX-License-Identifier: GPL-2.0

//! Things of C of which there is one, in static memory.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use latch::prelude::*;
use pin_init::Zeroable;

/// Room for one thing of C that is used by its address as long as it is taken.
pub(in crate::linux) struct Single<T> {
    value: UnsafeCell<T>,
    is_taken: AtomicBool,
}

// SAFETY: The value is reached by its address alone, and who uses that says why he may.
unsafe impl<T> Sync for Single<T> {}

impl<T: Zeroable> Single<T> {
    /// Room that is all zeros.
    pub(in crate::linux) const fn new() -> Self {
        Self {
            value: UnsafeCell::new(pin_init::zeroed()),
            is_taken: AtomicBool::new(false),
        }
    }
}

impl<T> Single<T> {
    /// Takes the room for as long as the answer lives. `EBUSY` where somebody has it.
    pub(in crate::linux) fn take(&'static self) -> Result<Taken<T>> {
        match self.is_taken.swap(true, Ordering::Acquire) {
            true => Err(EBUSY),
            // INVARIANT: It was not set before.
            false => Ok(Taken(self)),
        }
    }

    /// Where the room is.
    pub(in crate::linux) const fn as_ptr(&self) -> *mut T {
        self.value.get()
    }
}

/// A [`Single`] that nobody else takes meanwhile.
///
/// # Invariants
///
/// Its `is_taken` was set for this value.
pub(in crate::linux) struct Taken<T: 'static>(&'static Single<T>);

impl<T> Drop for Taken<T> {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Ordering::Release);
    }
}
