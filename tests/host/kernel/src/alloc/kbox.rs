// SPDX-License-Identifier: GPL-2.0
//! Boxes (kernel: `rust/kernel/alloc/kbox.rs`).

use super::{inject, AllocError, Allocator, Flags, KVmalloc, Kmalloc, Vmalloc};
use core::marker::{PhantomData, Unsize};
use core::ops::{CoerceUnsized, Deref, DerefMut, DispatchFromDyn};

/// An owned allocation.
pub struct Box<T: ?Sized, A: Allocator>(std::boxed::Box<T>, PhantomData<A>);

/// A box from `kmalloc`.
pub type KBox<T> = Box<T, Kmalloc>;
/// A box from `vmalloc`.
pub type VBox<T> = Box<T, Vmalloc>;
/// A box from `kvmalloc`.
pub type KVBox<T> = Box<T, KVmalloc>;

impl<T, A: Allocator> Box<T, A> {
    /// Moves `x` into an allocation.
    pub fn new(x: T, flags: Flags) -> Result<Self, AllocError> {
        if size_of::<T>() > A::LARGEST {
            return Err(AllocError);
        }
        inject::allocate_from::<A>(size_of::<T>(), flags)?;
        Ok(Self(std::boxed::Box::new(x), PhantomData))
    }

    /// An allocation without a value.
    pub fn new_uninit(flags: Flags) -> Result<Box<core::mem::MaybeUninit<T>, A>, AllocError> {
        Box::new(core::mem::MaybeUninit::uninit(), flags)
    }

    /// Moves the contents out.
    pub fn into_inner(b: Self) -> T {
        *b.0
    }
}

impl<T, A: Allocator> Box<core::mem::MaybeUninit<T>, A> {
    /// Moves `value` into the allocation.
    pub fn write(self, value: T) -> Box<T, A> {
        Box(std::boxed::Box::new(value), PhantomData)
    }
}

impl<T: ?Sized, A: Allocator> Deref for Box<T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized, A: Allocator> DerefMut for Box<T, A> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized + core::fmt::Debug, A: Allocator> core::fmt::Debug for Box<T, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized + crate::fmt::Display, A: Allocator> crate::fmt::Display for Box<T, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        crate::fmt::Display::fmt(&**self, f)
    }
}

impl<T: ?Sized + Unsize<U>, U: ?Sized, A: Allocator> CoerceUnsized<Box<U, A>> for Box<T, A> {}
impl<T: ?Sized + Unsize<U>, U: ?Sized, A: Allocator> DispatchFromDyn<Box<U, A>> for Box<T, A> {}
