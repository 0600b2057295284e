// SPDX-License-Identifier: GPL-2.0
//! Mutual exclusion.

use crate::lockdep::{self, Standing, Token};
use crate::{raw, Rank};
use core::ops::{Deref, DerefMut};
use kernel::prelude::*;

/// A sleeping lock for one task at a time.
pub struct Mutex<T> {
    // Boxed as in the kernel: the lock's address is its identity.
    lock: std::boxed::Box<raw::Mutex<T>>,
    rank: Rank,
}

/// Holds a [`Mutex`].
pub struct MutexGuard<'a, T> {
    pub(crate) inner: raw::MutexGuard<'a, T>,
    _token: Token,
}

impl<T> Mutex<T> {
    /// A lock around `value`.
    pub fn new(value: T, rank: Rank) -> Result<Self> {
        kernel::alloc::inject::allocate(size_of::<T>(), GFP_NOFAIL)?;
        Ok(Self {
            lock: std::boxed::Box::new(raw::Mutex::new(value)),
            rank,
        })
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(&*self.lock).addr()
    }

    fn standing(&self) -> Standing {
        Standing::Rank(self.rank)
    }

    /// Takes the lock.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        lockdep::check(self.standing(), self.address());
        let inner = self.lock.lock();
        MutexGuard {
            inner,
            _token: lockdep::taken(self.standing(), self.address()),
        }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let inner = self.lock.try_lock()?;
        Some(MutexGuard {
            inner,
            _token: lockdep::taken(self.standing(), self.address()),
        })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

// The kernel's mutex pins what is not `Unpin`.
impl<T: Unpin> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
