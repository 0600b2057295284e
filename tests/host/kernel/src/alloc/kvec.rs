// SPDX-License-Identifier: GPL-2.0
//! Vectors (kernel: `rust/kernel/alloc/kvec.rs`).

use super::{inject, AllocError, Allocator, Flags, KVmalloc, Kmalloc, Vmalloc};
use crate::error::{code::EINVAL, Error};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut, Index, IndexMut};
use core::slice::SliceIndex;

/// A growable array.
pub struct Vec<T, A: Allocator>(std::vec::Vec<T>, PhantomData<A>);

/// A vector from `kmalloc`: at most 4 MiB.
pub type KVec<T> = Vec<T, Kmalloc>;
/// A vector from `vmalloc`.
pub type VVec<T> = Vec<T, Vmalloc>;
/// A vector from `kvmalloc`.
pub type KVVec<T> = Vec<T, KVmalloc>;

/// The vector is full.
pub struct PushError<T>(pub T);

/// No such index.
pub struct RemoveError;

impl<T> core::fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Not enough capacity")
    }
}

impl core::fmt::Debug for RemoveError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Index out of bounds")
    }
}

impl<T> From<PushError<T>> for Error {
    fn from(_: PushError<T>) -> Error {
        EINVAL
    }
}

impl From<RemoveError> for Error {
    fn from(_: RemoveError) -> Error {
        EINVAL
    }
}

impl<T, A: Allocator> Vec<T, A> {
    /// An empty vector, without an allocation.
    pub const fn new() -> Self {
        Self(std::vec::Vec::new(), PhantomData)
    }

    /// An empty vector with room for `capacity` elements.
    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut vec = Self::new();
        vec.reserve(capacity, flags)?;
        Ok(vec)
    }

    /// How many elements fit.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The elements.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The elements, to change.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    /// Appends an element.
    pub fn push(&mut self, v: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(1, flags)?;
        self.0.push(v);
        Ok(())
    }

    /// Appends an element where there is room.
    pub fn push_within_capacity(&mut self, v: T) -> Result<(), PushError<T>> {
        if self.0.len() == self.0.capacity() {
            return Err(PushError(v));
        }
        self.0.push(v);
        Ok(())
    }

    /// Takes the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Takes the element at `i`.
    pub fn remove(&mut self, i: usize) -> Result<T, RemoveError> {
        if i >= self.0.len() {
            return Err(RemoveError);
        }
        Ok(self.0.remove(i))
    }

    /// Drops all elements; keeps the allocation.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Makes room for `additional` elements.
    pub fn reserve(&mut self, additional: usize, flags: Flags) -> Result<(), AllocError> {
        let (len, capacity) = (self.0.len(), self.0.capacity());
        if capacity - len >= additional {
            return Ok(());
        }
        let wanted = len
            .checked_add(additional)
            .ok_or(AllocError)?
            .max(capacity.saturating_mul(2));
        let bytes = wanted.checked_mul(size_of::<T>()).ok_or(AllocError)?;
        if bytes > A::LARGEST {
            return Err(AllocError);
        }
        inject::allocate_from::<A>(bytes, flags)?;
        self.0.reserve_exact(wanted - len);
        Ok(())
    }

    /// Drops the elements from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Keeps the elements for which `f` is true.
    pub fn retain(&mut self, f: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(f);
    }
}

impl<T: Clone, A: Allocator> Vec<T, A> {
    /// Appends `n` clones.
    pub fn extend_with(&mut self, n: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(n, flags)?;
        self.0.resize(self.0.len() + n, value);
        Ok(())
    }

    /// Appends clones of `other`.
    pub fn extend_from_slice(&mut self, other: &[T], flags: Flags) -> Result<(), AllocError> {
        self.reserve(other.len(), flags)?;
        self.0.extend_from_slice(other);
        Ok(())
    }

    /// A vector of `n` clones.
    pub fn from_elem(value: T, n: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut vec = Self::with_capacity(n, flags)?;
        vec.extend_with(n, value, flags)?;
        Ok(vec)
    }

    /// Makes the vector `new_len` long, with clones of `value` at the end.
    pub fn resize(&mut self, new_len: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        match new_len.checked_sub(self.len()) {
            Some(more) => self.extend_with(more, value, flags),
            None => {
                self.truncate(new_len);
                Ok(())
            }
        }
    }
}

impl<T, A: Allocator> Default for Vec<T, A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: core::fmt::Debug, A: Allocator> core::fmt::Debug for Vec<T, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl<T, A: Allocator> Deref for Vec<T, A> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, A: Allocator> DerefMut for Vec<T, A> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, A: Allocator> core::borrow::Borrow<[T]> for Vec<T, A> {
    fn borrow(&self) -> &[T] {
        &self.0
    }
}

impl<T, I: SliceIndex<[T]>, A: Allocator> Index<I> for Vec<T, A> {
    type Output = I::Output;

    fn index(&self, index: I) -> &I::Output {
        &self.0[index]
    }
}

impl<T, I: SliceIndex<[T]>, A: Allocator> IndexMut<I> for Vec<T, A> {
    fn index_mut(&mut self, index: I) -> &mut I::Output {
        &mut self.0[index]
    }
}

impl<T: Eq, A: Allocator> Eq for Vec<T, A> {}

macro_rules! equal {
    ($([$($generics:tt)*] $left:ty, $right:ty;)*) => {
        $(impl<T: PartialEq<U>, U, $($generics)*> PartialEq<$right> for $left {
            fn eq(&self, other: &$right) -> bool {
                self[..] == other[..]
            }
        })*
    };
}
equal! {
    [A1: Allocator, A2: Allocator] Vec<T, A1>, Vec<U, A2>;
    [A: Allocator] Vec<T, A>, &[U];
    [A: Allocator] Vec<T, A>, &mut [U];
    [A: Allocator] &[T], Vec<U, A>;
    [A: Allocator] &mut [T], Vec<U, A>;
    [A: Allocator] Vec<T, A>, [U];
    [A: Allocator] [T], Vec<U, A>;
    [A: Allocator, const N: usize] Vec<T, A>, [U; N];
    [A: Allocator, const N: usize] Vec<T, A>, &[U; N];
}

impl<'a, T, A: Allocator> IntoIterator for &'a Vec<T, A> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T, A: Allocator> IntoIterator for &'a mut Vec<T, A> {
    type Item = &'a mut T;
    type IntoIter = core::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

/// The elements by value; from the front alone, as in the kernel.
pub struct IntoIter<T, A: Allocator>(std::vec::IntoIter<T>, PhantomData<A>);

impl<T, A: Allocator> Iterator for IntoIter<T, A> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T, A: Allocator> IntoIterator for Vec<T, A> {
    type Item = T;
    type IntoIter = IntoIter<T, A>;

    fn into_iter(self) -> IntoIter<T, A> {
        IntoIter(self.0.into_iter(), PhantomData)
    }
}
