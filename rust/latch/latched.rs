// SPDX-License-Identifier: GPL-2.0

//! A value under a reader-writer lock whose guards own a reference to it.

use crate::prelude::*;
use crate::semaphore::Semaphore;
use crate::{Nesting, Rank};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering};
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::sync::atomic::Acquire;
use kernel::sync::Refcount;
use kernel::types::{ForeignOwnable, NotThreadSafe};

/// `value` under a reader-writer lock, with `meta` beside it that needs no lock.
///
/// # Invariants
///
/// `value` is reached only through a guard, which holds `lock`. It is in a box of its own, which whoever gives up the last
/// of `references` frees.
#[pin_data]
pub struct Latched<M, T> {
    #[pin]
    lock: Semaphore,
    /// How many [`LatchedRef`] there are.
    references: Refcount,
    /// Whether lockdep knows its order.
    class: AtomicU8,
    meta: M,
    value: UnsafeCell<T>,
}

// SAFETY: Sending the lock sends what it holds.
unsafe impl<M: Send, T: Send> Send for Latched<M, T> {}
// SAFETY: The lock hands out `&T` to many threads and `&mut T` to one at a time, `&M` to all.
unsafe impl<M: Send + Sync, T: Send + Sync> Sync for Latched<M, T> {}

// SAFETY: The count is of references that exist: while it is not zero nobody frees the value.
unsafe impl<M, T> AlwaysRefCounted for Latched<M, T> {
    fn inc_ref(&self) {
        self.references.inc();
    }

    unsafe fn dec_ref(this: NonNull<Self>) {
        // SAFETY: The caller lends its reference until here: the value is alive.
        let is_last = unsafe { this.as_ref() }.references.dec_and_test();
        if is_last {
            // SAFETY: By the type invariants it is in a box, and nobody else can reach it any more.
            drop(unsafe { KBox::from_raw(this.as_ptr()) });
        }
    }
}

/// A reference to a [`Latched`], which lives as long as it has one.
pub struct LatchedRef<M, T>(ARef<Latched<M, T>>);

impl<M, T> Clone for LatchedRef<M, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M, T> Deref for LatchedRef<M, T> {
    type Target = Latched<M, T>;

    fn deref(&self) -> &Latched<M, T> {
        &self.0
    }
}

impl<M, T> From<&Latched<M, T>> for LatchedRef<M, T> {
    fn from(latched: &Latched<M, T>) -> Self {
        Self(latched.into())
    }
}

// SAFETY: The pointer is of a box: not null, and aligned as the value is. It is valid until it is taken back.
unsafe impl<M: 'static, T: 'static> ForeignOwnable for LatchedRef<M, T> {
    const FOREIGN_ALIGN: usize = align_of::<Latched<M, T>>();

    type Borrowed<'a> = &'a Latched<M, T>;
    type BorrowedMut<'a> = &'a Latched<M, T>;

    fn into_foreign(self) -> *mut c_void {
        ARef::into_raw(self.0).as_ptr().cast()
    }

    unsafe fn from_foreign(pointer: *mut c_void) -> Self {
        // SAFETY: By the function's contract it comes from `into_foreign`, which left its reference to the pointer.
        Self(unsafe { ARef::from_raw(NonNull::new_unchecked(pointer.cast())) })
    }

    unsafe fn borrow<'a>(pointer: *mut c_void) -> &'a Latched<M, T> {
        // SAFETY: By the function's contract the pointer has its reference for as long.
        unsafe { &*pointer.cast() }
    }

    unsafe fn borrow_mut<'a>(pointer: *mut c_void) -> &'a Latched<M, T> {
        // SAFETY: By the function's contract the pointer has its reference for as long.
        unsafe { &*pointer.cast() }
    }
}

/// No task has named the lock's class.
const NONE: u8 = 0;
/// A task is naming it.
const COMING: u8 = 1;
/// A task has named it.
const KNOWN: u8 = 2;

impl<M, T> Latched<M, T> {
    /// Allocates the pair; the first reference to it.
    pub fn shared(meta: M, value: T) -> Result<LatchedRef<M, T>> {
        let init = pin_init!(Self {
            lock <- Semaphore::new(Rank::FileTree),
            references: Refcount::new(1),
            class: AtomicU8::new(NONE),
            meta,
            value: UnsafeCell::new(value),
        });
        let boxed = KBox::pin_init(init, GFP_NOFAIL)?;
        // SAFETY: The box only gives its address away.
        let latched = KBox::into_raw(unsafe { Pin::into_inner_unchecked(boxed) });
        // INVARIANT: It is in a box, which is freed with the last reference.
        // SAFETY: A box is nowhere else than at an address. The one reference that it is counted to have is this.
        Ok(LatchedRef(unsafe {
            ARef::from_raw(NonNull::new_unchecked(latched))
        }))
    }

    /// What is known without the lock.
    pub fn meta(&self) -> &M {
        &self.meta
    }

    /// Waits until no writer holds the lock.
    pub fn read(this: &LatchedRef<M, T>, nesting: Nesting) -> ReadGuard<M, T> {
        this.classify(nesting);
        this.lock.down_read_nested(nesting);
        // INVARIANT: The lock was just taken for reading.
        ReadGuard {
            latched: this.clone(),
            _not_send: NotThreadSafe,
        }
    }

    /// Takes the lock for reading unless a writer holds it or waits for it.
    pub fn try_read(this: &LatchedRef<M, T>) -> Option<ReadGuard<M, T>> {
        // INVARIANT: If it succeeds the lock was just taken for reading.
        this.lock.try_down_read().then(|| ReadGuard {
            latched: this.clone(),
            _not_send: NotThreadSafe,
        })
    }

    /// Waits until nobody else holds the lock.
    pub fn write(this: &LatchedRef<M, T>, nesting: Nesting) -> WriteGuard<M, T> {
        this.classify(nesting);
        this.lock.down_write_nested(nesting);
        // INVARIANT: The lock was just taken for writing.
        WriteGuard {
            latched: this.clone(),
            _not_send: NotThreadSafe,
        }
    }

    /// Takes the lock for writing unless somebody holds it.
    pub fn try_write(this: &LatchedRef<M, T>) -> Option<WriteGuard<M, T>> {
        // INVARIANT: If it succeeds the lock was just taken for writing.
        this.lock.try_down_write().then(|| WriteGuard {
            latched: this.clone(),
            _not_send: NotThreadSafe,
        })
    }

    /// How many references there are. Outdated at once unless the caller keeps others from making more:
    /// then two, one of them the caller's own, means that nobody uses what the caller keeps.
    pub fn references(&self) -> i32 {
        self.references.as_atomic().load(Acquire)
    }

    /// Whether two references are of one value.
    pub fn is_same(one: &LatchedRef<M, T>, other: &LatchedRef<M, T>) -> bool {
        core::ptr::eq::<Self>(&**one, &**other)
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
    latched: LatchedRef<M, T>,
    _not_send: NotThreadSafe,
}

impl<M, T> ReadGuard<M, T> {
    /// What this guard locks.
    pub fn latched(&self) -> &LatchedRef<M, T> {
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
    latched: LatchedRef<M, T>,
    _not_send: NotThreadSafe,
}

impl<M, T> WriteGuard<M, T> {
    /// What this guard locks.
    pub fn latched(&self) -> &LatchedRef<M, T> {
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
