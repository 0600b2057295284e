// SPDX-License-Identifier: GPL-2.0

//! The kernel's mutex and condition variable, boxed.

use crate::prelude::*;
use crate::Rank;
use core::ops::{Deref, DerefMut};
use kernel::sync;

/// A mutex that can be moved.
pub struct Mutex<T> {
    inner: Pin<KBox<sync::Mutex<T>>>,
}

impl<T> Mutex<T> {
    /// Allocates a mutex of `rank` around `value`.
    pub fn new(value: T, rank: Rank) -> Result<Self> {
        let init = sync::Mutex::new(value, rank.name(), rank.key());
        Ok(Self {
            inner: KBox::pin_init(init, GFP_NOFAIL)?,
        })
    }

    /// Waits for the mutex.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            inner: self.inner.lock(),
        }
    }

    /// Takes the mutex unless somebody holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.inner.try_lock().map(|inner| MutexGuard { inner })
    }
}

/// Access to what a [`Mutex`] guards.
#[must_use = "the mutex is released when the guard is dropped"]
pub struct MutexGuard<'a, T> {
    inner: sync::MutexGuard<'a, T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: Unpin> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// A condition variable that can be moved.
pub struct Condvar {
    inner: Pin<KBox<sync::CondVar>>,
}

impl Condvar {
    /// Allocates a condition variable for what a mutex of `rank` guards.
    pub fn new(rank: Rank) -> Result<Self> {
        let init = sync::CondVar::new(rank.name(), rank.queue_key());
        Ok(Self {
            inner: KBox::pin_init(init, GFP_NOFAIL)?,
        })
    }

    /// Releases the mutex, waits for a notification or for nothing at all, and takes the mutex again.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.inner.wait(&mut guard.inner);
    }

    /// Wakes one waiter.
    pub fn notify_one(&self) {
        self.inner.notify_one();
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        self.inner.notify_all();
    }
}
