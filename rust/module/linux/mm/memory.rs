// SPDX-License-Identifier: GPL-2.0

//! Memory whose contents may change while it is looked at.

use core::marker::PhantomData;

/// Bytes that somebody else may write at any time: pages of a file, buffers of a program. Only functions in C read
/// them, as values and one at a time: there is never a reference to them, which would say that they hold still.
///
/// # Invariants
///
/// `at` is valid for reads of `len` bytes for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    at: *const u8,
    len: usize,
    _lent: PhantomData<&'a [u8]>,
}

/// [`Memory`] that may be written to as well: the buffer of a read.
///
/// # Invariants
///
/// `at` is valid for reads and writes of `len` bytes for `'a`.
pub(crate) struct MemoryMut<'a> {
    at: *mut u8,
    len: usize,
    _lent: PhantomData<&'a mut [u8]>,
}

impl<'a> MemoryMut<'a> {
    /// # Safety
    ///
    /// `at` is valid for reads and writes of `len` bytes for `'a`, by whoever else uses it at the same time.
    pub(in crate::linux) unsafe fn new(at: *mut u8, len: usize) -> Self {
        // INVARIANT: By the caller's promise.
        Self {
            at,
            len,
            _lent: PhantomData,
        }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// These bytes, to be read.
    pub(crate) fn as_memory(&self) -> Memory<'_> {
        // SAFETY: The type invariant.
        unsafe { Memory::new(self.at, self.len) }
    }

    /// The first `len` bytes, or all, and the rest.
    pub(crate) fn split_at(self, len: usize) -> (Self, Self) {
        let len = len.min(self.len);
        // SAFETY: `len` is at most the length.
        // INVARIANT: Both are parts of what is valid.
        unsafe {
            (
                Self::new(self.at, len),
                Self::new(self.at.add(len), self.len - len),
            )
        }
    }

    /// Copies `from` over the bytes, as many as both have.
    pub(crate) fn copy_from(&self, from: &[u8]) {
        let len = self.len.min(from.len());
        // SAFETY: Both are valid for `len` bytes, and `from` is no part of what others write.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), self.at, len) };
    }
}

impl<'a> From<&'a [u8]> for Memory<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        // INVARIANT: A slice is valid for its length.
        Self {
            at: bytes.as_ptr(),
            len: bytes.len(),
            _lent: PhantomData,
        }
    }
}

impl<'a> Memory<'a> {
    /// # Safety
    ///
    /// `at` is valid for reads of `len` bytes for `'a`, by whoever writes it at the same time.
    pub(in crate::linux) unsafe fn new(at: *const u8, len: usize) -> Self {
        // INVARIANT: By the caller's promise.
        Self {
            at,
            len,
            _lent: PhantomData,
        }
    }

    /// Where the bytes begin.
    pub(in crate::linux) fn as_ptr(self) -> *const u8 {
        self.at
    }

    /// How many bytes there are.
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// The first `len` bytes, or all, and the rest.
    pub(crate) fn split_at(self, len: usize) -> (Self, Self) {
        let len = len.min(self.len);
        // SAFETY: `len` is at most the length.
        // INVARIANT: Both are parts of what is valid.
        unsafe {
            (
                Self::new(self.at, len),
                Self::new(self.at.add(len), self.len - len),
            )
        }
    }

    /// Pieces of `len` bytes, the last of which may be shorter.
    pub(crate) fn chunks(self, len: usize) -> impl Iterator<Item = Memory<'a>> {
        let mut rest = self;
        core::iter::from_fn(move || {
            if rest.len == 0 || len == 0 {
                return None;
            }
            let (first, behind) = rest.split_at(len);
            rest = behind;
            Some(first)
        })
    }

    /// Copies the bytes out, as far as `to` reaches. Others may change them meanwhile: the copy does not change.
    pub(crate) fn copy_to(self, to: &mut [u8]) {
        let len = self.len.min(to.len());
        // SAFETY: Both are valid for `len` bytes and the target is a borrow of its own.
        unsafe { core::ptr::copy_nonoverlapping(self.at, to.as_mut_ptr(), len) };
    }
}
