// SPDX-License-Identifier: GPL-2.0

//! A value under a reader-writer lock whose guards own a reference to it.

use crate::prelude::*;
use crate::semaphore::Semaphore;
use crate::{Nesting, Rank};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use kernel::sync::{Arc, Refcount};
use kernel::types::NotThreadSafe;

/// `value` under a reader-writer lock, with `meta` beside it that needs no lock.
///
/// # Invariants
///
/// `value` is reached only through a guard, which holds `lock`.
#[pin_data]
pub struct Latched<M, T> {
    #[pin]
    lock: Semaphore,
    /// Whether lockdep knows its order.
    class: AtomicU8,
    meta: M,
    value: UnsafeCell<T>,
}

// SAFETY: Sending the lock sends what it holds.
unsafe impl<M: Send, T: Send> Send for Latched<M, T> {}
// SAFETY: The lock hands out `&T` to many threads and `&mut T` to one at a time, `&M` to all.
unsafe impl<M: Send + Sync, T: Send + Sync> Sync for Latched<M, T> {}

/// No task has named the lock's class.
const NONE: u8 = 0;
/// One is doing so.
const COMING: u8 = 1;
/// It has.
const KNOWN: u8 = 2;

impl<M, T> Latched<M, T> {
    /// Allocates the pair.
    pub fn new(meta: M, value: T) -> Result<Arc<Self>> {
        let init = pin_init!(Self {
            lock <- Semaphore::new(Rank::FileTree),
            class: AtomicU8::new(NONE),
            meta,
            value: UnsafeCell::new(value),
        });
        Arc::pin_init(init, GFP_NOFAIL)
    }

    /// What is known without the lock.
    pub fn meta(&self) -> &M {
        &self.meta
    }

    /// Waits until no writer holds the lock.
    pub fn read(this: &Arc<Self>, nesting: Nesting) -> ReadGuard<M, T> {
        this.classify(nesting);
        this.lock.down_read_nested(nesting);
        // INVARIANT: The lock was just taken for reading.
        ReadGuard {
            latched: this.clone(),
            _not_send: NotThreadSafe,
        }
    }

    /// Takes the lock for reading unless a writer holds it or waits for it.
    pub fn try_read(this: &Arc<Self>) -> Option<ReadGuard<M, T>> {
        // INVARIANT: If it succeeds the lock was just taken for reading.
        this.lock.try_down_read().then(|| ReadGuard {
            latched: this.clone(),
            _not_send: NotThreadSafe,
        })
    }

    /// Waits until nobody else holds the lock.
    pub fn write(this: &Arc<Self>, nesting: Nesting) -> WriteGuard<M, T> {
        this.classify(nesting);
        this.lock.down_write_nested(nesting);
        // INVARIANT: The lock was just taken for writing.
        WriteGuard {
            latched: this.clone(),
            _not_send: NotThreadSafe,
        }
    }

    /// Takes the lock for writing unless somebody holds it.
    pub fn try_write(this: &Arc<Self>) -> Option<WriteGuard<M, T>> {
        // INVARIANT: If it succeeds the lock was just taken for writing.
        this.lock.try_down_write().then(|| WriteGuard {
            latched: this.clone(),
            _not_send: NotThreadSafe,
        })
    }

    /// How many references there are. Outdated at once unless the caller keeps others from making more:
    /// then two, one of them the caller's own, means that nobody uses what the caller keeps.
    pub fn references(this: &Arc<Self>) -> i32 {
        // The kernel's `Arc` does not tell. It keeps its count, a C `refcount_t`, and the value in one `repr(C)` pair:
        // the value stands as near behind the start as its alignment lets it, so the count is at the start.
        const {
            assert!(size_of::<Refcount>() == size_of::<AtomicI32>());
            let behind_count = size_of::<Refcount>().next_multiple_of(align_of::<Self>());
            assert!(Arc::<Self>::DATA_OFFSET == behind_count);
        }
        // SAFETY: The value lies at that offset in the allocation that the pointer is of, and which it may reach all of.
        // The count is only ever changed as an atomic, and lives as long as `this`.
        let count = unsafe {
            &*Arc::as_ptr(this)
                .byte_sub(Arc::<Self>::DATA_OFFSET)
                .cast::<AtomicI32>()
        };
        count.load(Ordering::Acquire)
    }

    /// Tells lockdep the order of this lock at its first use, when the tree is known.
    fn classify(&self, nesting: Nesting) {
        if !cfg!(CONFIG_DEBUG_LOCK_ALLOC) {
            return;
        }
        let first = self
            .class
            .compare_exchange(NONE, COMING, Ordering::Acquire, Ordering::Acquire);
        match first {
            Ok(_) => {
                self.lock.set_class(nesting);
                self.class.store(KNOWN, Ordering::Release);
            }
            // Another task is at it: lockdep must not see it half done.
            Err(_) => {
                while self.class.load(Ordering::Acquire) != KNOWN {
                    core::hint::spin_loop();
                }
            }
        }
    }
}

/// Shared access to a [`Latched`] value.
///
/// # Invariants
///
/// The lock of `latched` is held for reading by this guard.
#[must_use = "the lock is released when the guard is dropped"]
pub struct ReadGuard<M, T> {
    latched: Arc<Latched<M, T>>,
    _not_send: NotThreadSafe,
}

impl<M, T> ReadGuard<M, T> {
    /// What this guard locks.
    pub fn latched(&self) -> &Arc<Latched<M, T>> {
        &self.latched
    }
}

impl<M, T> Deref for ReadGuard<M, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held for reading: nobody has a mutable reference.
        unsafe { &*self.latched.value.get() }
    }
}

impl<M, T> Drop for ReadGuard<M, T> {
    fn drop(&mut self) {
        // SAFETY: The type invariant; the guard ends here.
        unsafe { self.latched.lock.up_read() };
    }
}

/// Exclusive access to a [`Latched`] value.
///
/// # Invariants
///
/// The lock of `latched` is held for writing by this guard.
#[must_use = "the lock is released when the guard is dropped"]
pub struct WriteGuard<M, T> {
    latched: Arc<Latched<M, T>>,
    _not_send: NotThreadSafe,
}

impl<M, T> WriteGuard<M, T> {
    /// What this guard locks.
    pub fn latched(&self) -> &Arc<Latched<M, T>> {
        &self.latched
    }
}

impl<M, T> Deref for WriteGuard<M, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held for writing: nobody else has a reference.
        unsafe { &*self.latched.value.get() }
    }
}

impl<M, T> DerefMut for WriteGuard<M, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held for writing: nobody else has a reference.
        unsafe { &mut *self.latched.value.get() }
    }
}

impl<M, T> Drop for WriteGuard<M, T> {
    fn drop(&mut self) {
        // SAFETY: The type invariant; the guard ends here.
        unsafe { self.latched.lock.up_write() };
    }
}
