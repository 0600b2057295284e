// SPDX-License-Identifier: GPL-2.0

//! A reader-writer lock that can be moved.

use crate::prelude::*;
use crate::semaphore::Semaphore;
use crate::Rank;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use kernel::types::NotThreadSafe;

/// A reader-writer lock around `value`.
///
/// # Invariants
///
/// `value` is reached only through a guard, which holds `lock`.
pub struct RwLock<T> {
    lock: Pin<KBox<Semaphore>>,
    value: UnsafeCell<T>,
}

// SAFETY: The lock hands out `&T` to many threads and `&mut T` to one at a time.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    /// Allocates the lock.
    pub fn new(value: T, rank: Rank) -> Result<Self> {
        let lock = KBox::pin_init(Semaphore::new(rank), GFP_NOFAIL)?;
        Ok(Self {
            lock,
            value: UnsafeCell::new(value),
        })
    }

    /// Waits until no writer holds the lock.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.lock.down_read();
        // INVARIANT: The lock was just taken for reading.
        RwLockReadGuard {
            lock: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Takes the lock for reading unless a writer holds it or waits for it.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        // INVARIANT: If it succeeds the lock was just taken for reading.
        self.lock.try_down_read().then(|| RwLockReadGuard {
            lock: self,
            _not_send: NotThreadSafe,
        })
    }

    /// Waits until nobody else holds the lock.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.lock.down_write();
        // INVARIANT: The lock was just taken for writing.
        RwLockWriteGuard {
            lock: self,
            _not_send: NotThreadSafe,
        }
    }
}

/// Shared access to what a [`RwLock`] guards.
///
/// # Invariants
///
/// `lock` is held for reading by this guard.
#[must_use = "the lock is released when the guard is dropped"]
pub struct RwLockReadGuard<'a, T> {
    lock: &'a RwLock<T>,
    _not_send: NotThreadSafe,
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held for reading: nobody has a mutable reference.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The type invariant; the guard ends here.
        unsafe { self.lock.lock.up_read() };
    }
}

/// Exclusive access to what a [`RwLock`] guards.
///
/// # Invariants
///
/// `lock` is held for writing by this guard.
#[must_use = "the lock is released when the guard is dropped"]
pub struct RwLockWriteGuard<'a, T> {
    lock: &'a RwLock<T>,
    _not_send: NotThreadSafe,
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held for writing: nobody else has a reference.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held for writing: nobody else has a reference.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The type invariant; the guard ends here.
        unsafe { self.lock.lock.up_write() };
    }
}
