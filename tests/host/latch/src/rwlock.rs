// SPDX-License-Identifier: GPL-2.0
//! Many readers or one writer.

use crate::lockdep::{self, Standing, Token};
use crate::{raw, Rank};
use core::ops::{Deref, DerefMut};
use kernel::prelude::*;

/// A sleeping lock for many readers or one writer. Reading twice in one task is a deadlock when a writer waits.
pub struct RwLock<T> {
    // Boxed as in the kernel: the lock's address is its identity.
    lock: std::boxed::Box<raw::RwLock<T>>,
    rank: Rank,
}

/// Holds a [`RwLock`] for reading.
pub struct RwLockReadGuard<'a, T> {
    inner: raw::RwLockReadGuard<'a, T>,
    _token: Token,
}

/// Holds a [`RwLock`] for writing.
pub struct RwLockWriteGuard<'a, T> {
    inner: raw::RwLockWriteGuard<'a, T>,
    _token: Token,
}

impl<T> RwLock<T> {
    /// A lock around `value`.
    pub fn new(value: T, rank: Rank) -> Result<Self> {
        kernel::alloc::inject::allocate(size_of::<T>(), GFP_NOFAIL)?;
        Ok(Self {
            lock: std::boxed::Box::new(raw::RwLock::new(value)),
            rank,
        })
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(&*self.lock).addr()
    }

    fn standing(&self) -> Standing {
        Standing::Rank(self.rank)
    }

    /// Takes the lock for reading.
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        lockdep::check(self.standing(), self.address());
        let inner = self.lock.read();
        RwLockReadGuard {
            inner,
            _token: lockdep::taken(self.standing(), self.address()),
        }
    }

    /// Takes the lock for writing.
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        lockdep::check(self.standing(), self.address());
        let inner = self.lock.write();
        RwLockWriteGuard {
            inner,
            _token: lockdep::taken(self.standing(), self.address()),
        }
    }

    /// Takes the lock for reading if no writer has it.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let inner = self.lock.try_read()?;
        Some(RwLockReadGuard {
            inner,
            _token: lockdep::taken(self.standing(), self.address()),
        })
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
