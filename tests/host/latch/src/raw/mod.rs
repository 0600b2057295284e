// SPDX-License-Identifier: GPL-2.0
//! What the locks are made of: `parking_lot`; or, with the feature `shuttle`, locks at which a scheduler decides who goes
//! on, so that a test can search the interleavings of its tasks.

#[cfg(feature = "shuttle")]
mod searched;
#[cfg(not(feature = "shuttle"))]
pub(crate) use parking_lot::{Condvar, RawMutex, RawRwLock};
#[cfg(feature = "shuttle")]
pub(crate) use searched::{Condvar, RawMutex, RawRwLock};

pub(crate) type Mutex<T> = lock_api::Mutex<RawMutex, T>;
pub(crate) type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;
pub(crate) type RwLock<T> = lock_api::RwLock<RawRwLock, T>;
pub(crate) type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;
pub(crate) type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;
pub(crate) type ArcRwLockReadGuard<T> = lock_api::ArcRwLockReadGuard<RawRwLock, T>;
pub(crate) type ArcRwLockWriteGuard<T> = lock_api::ArcRwLockWriteGuard<RawRwLock, T>;

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::thread_local;
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::thread_local;
