// SPDX-License-Identifier: GPL-2.0
//! Waiting for a change of what a mutex guards.

use crate::{raw, MutexGuard, Rank};
use kernel::prelude::*;

/// Tasks wait here for others to change what a mutex guards.
pub struct Condvar(raw::Condvar);

impl Condvar {
    /// A queue without waiters.
    pub fn new(_rank: Rank) -> Result<Self> {
        kernel::alloc::inject::allocate(size_of::<usize>(), GFP_NOFAIL)?;
        Ok(Self(raw::Condvar::new()))
    }

    /// Releases the mutex, sleeps until notified, and takes the mutex again. Not interruptible. It may return without a
    /// notification: the caller checks its condition in a loop.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.0.wait(&mut guard.inner);
    }

    /// Wakes one waiter.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
