// SPDX-License-Identifier: GPL-2.0
//! A shared value under a reader-writer lock whose guards own a reference.

use crate::lockdep::{self, Standing, Token};
use crate::raw::{self, ArcRwLockReadGuard, ArcRwLockWriteGuard};
use crate::Nesting;
use core::ops::{Deref, DerefMut};
use kernel::prelude::*;
use kernel::sync::Arc;

/// A value `T` under a lock, beside what is known of it without the lock, `M`. Lives in an [`Arc`] always.
pub struct Latched<M, T> {
    meta: M,
    lock: std::sync::Arc<raw::RwLock<T>>,
}

/// A reference to a [`Latched`].
pub type LatchedRef<M, T> = Arc<Latched<M, T>>;

/// Holds a [`Latched`] for reading, and a reference to it.
pub struct ReadGuard<M, T> {
    // Fields are dropped in this order: the lock goes before the reference.
    inner: ArcRwLockReadGuard<T>,
    _token: Token,
    latched: Arc<Latched<M, T>>,
}

/// Holds a [`Latched`] for writing, and a reference to it.
pub struct WriteGuard<M, T> {
    inner: ArcRwLockWriteGuard<T>,
    _token: Token,
    latched: Arc<Latched<M, T>>,
}

impl<M, T> Latched<M, T> {
    /// Allocates the pair; the first reference to it.
    pub fn shared(meta: M, value: T) -> Result<Arc<Self>> {
        let lock = std::sync::Arc::new(raw::RwLock::new(value));
        Ok(Arc::new(Self { meta, lock }, GFP_NOFAIL)?)
    }

    /// What is known without the lock.
    pub fn meta(&self) -> &M {
        &self.meta
    }

    /// Whether two references are of one value.
    pub fn is_same(one: &LatchedRef<M, T>, other: &LatchedRef<M, T>) -> bool {
        Arc::ptr_eq(one, other)
    }

    fn address(&self) -> usize {
        std::sync::Arc::as_ptr(&self.lock).addr()
    }

    /// Takes the lock for reading.
    #[track_caller]
    pub fn read(this: &Arc<Self>, nesting: Nesting) -> ReadGuard<M, T> {
        let at = Standing::Block(nesting);
        lockdep::check(at, this.address());
        let inner = this.lock.read_arc();
        ReadGuard {
            inner,
            _token: lockdep::taken(at, this.address()),
            latched: this.clone(),
        }
    }

    /// Takes the lock for reading if no writer has it.
    pub fn try_read(this: &Arc<Self>) -> Option<ReadGuard<M, T>> {
        let at = Standing::TriedBlock;
        let inner = this.lock.try_read_arc()?;
        Some(ReadGuard {
            inner,
            _token: lockdep::taken(at, this.address()),
            latched: this.clone(),
        })
    }

    /// Takes the lock for writing.
    #[track_caller]
    pub fn write(this: &Arc<Self>, nesting: Nesting) -> WriteGuard<M, T> {
        let at = Standing::Block(nesting);
        lockdep::check(at, this.address());
        let inner = this.lock.write_arc();
        WriteGuard {
            inner,
            _token: lockdep::taken(at, this.address()),
            latched: this.clone(),
        }
    }

    /// Takes the lock for writing if it is free.
    pub fn try_write(this: &Arc<Self>) -> Option<WriteGuard<M, T>> {
        let at = Standing::TriedBlock;
        let inner = this.lock.try_write_arc()?;
        Some(WriteGuard {
            inner,
            _token: lockdep::taken(at, this.address()),
            latched: this.clone(),
        })
    }
}

impl<M, T> ReadGuard<M, T> {
    /// What is locked.
    pub fn latched(&self) -> &Arc<Latched<M, T>> {
        &self.latched
    }
}

impl<M, T> WriteGuard<M, T> {
    /// What is locked.
    pub fn latched(&self) -> &Arc<Latched<M, T>> {
        &self.latched
    }
}

impl<M, T> Deref for ReadGuard<M, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<M, T> Deref for WriteGuard<M, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<M, T> DerefMut for WriteGuard<M, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
