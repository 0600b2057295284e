// SPDX-License-Identifier: GPL-2.0
//! Shared ownership (kernel: `rust/kernel/sync/arc.rs`), and values that come later.

use crate::alloc::{inject, AllocError, Flags};
use core::marker::Unsize;
use core::ops::{CoerceUnsized, Deref, DispatchFromDyn, LegacyReceiver};

/// A reference-counted pointer. Allocates fallibly; there is no weak one.
pub struct Arc<T: ?Sized>(std::sync::Arc<T>);

impl<T> Arc<T> {
    /// Moves `contents` into a shared allocation.
    pub fn new(contents: T, flags: Flags) -> Result<Self, AllocError> {
        inject::allocate(size_of::<T>(), flags)?;
        Ok(Self(std::sync::Arc::new(contents)))
    }
}

impl<T: ?Sized> Arc<T> {
    /// Whether both point at the same allocation.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&this.0, &other.0)
    }

    /// How many there are of this. For tests: the kernel's does not tell.
    pub fn references(this: &Self) -> usize {
        std::sync::Arc::strong_count(&this.0)
    }

    /// The address of the contents.
    pub fn as_ptr(this: &Self) -> *const T {
        std::sync::Arc::as_ptr(&this.0)
    }
}

impl<T: ?Sized> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> AsRef<T> for Arc<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> core::borrow::Borrow<T> for Arc<T> {
    fn borrow(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized + core::fmt::Debug> core::fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized + Unsize<U>, U: ?Sized> CoerceUnsized<Arc<U>> for Arc<T> {}
impl<T: ?Sized + Unsize<U>, U: ?Sized> DispatchFromDyn<Arc<U>> for Arc<T> {}
impl<T: ?Sized> LegacyReceiver for Arc<T> {}

/// A place for a value that comes later, and stays (kernel: `rust/kernel/sync/set_once.rs`).
pub struct SetOnce<T>(std::sync::OnceLock<T>);

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SetOnce<T> {
    /// An empty place.
    pub const fn new() -> Self {
        Self(std::sync::OnceLock::new())
    }

    /// The value, once it is there.
    pub fn as_ref(&self) -> Option<&T> {
        self.0.get()
    }

    /// Puts the value there, and whether it is this one that is there now.
    pub fn populate(&self, value: T) -> bool {
        self.0.set(value).is_ok()
    }
}
