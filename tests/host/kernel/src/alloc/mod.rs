// SPDX-License-Identifier: GPL-2.0
//! Fallible allocation (kernel: `rust/kernel/alloc.rs`).

pub mod inject;
mod kbox;
pub mod kvec;

pub use kbox::{Box, KBox, KVBox, VBox};
pub use kvec::{IntoIter, KVVec, KVec, VVec, Vec};

/// An allocation failed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AllocError;

/// How to allocate.
#[derive(Clone, Copy, PartialEq)]
pub struct Flags(u32);

impl Flags {
    /// Whether all of `flags` are set.
    pub fn contains(self, flags: Flags) -> bool {
        (self & flags) == flags
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
}

impl core::ops::BitAnd for Flags {
    type Output = Self;
    fn bitand(self, rhs: Self) -> Self {
        Self(self.0 & rhs.0)
    }
}

impl core::ops::Not for Flags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

/// The flags the kernel crate has; there is no `GFP_NOFS`, see `latch::NofsScope`.
pub mod flags {
    use super::Flags;

    /// May sleep.
    pub const GFP_KERNEL: Flags = Flags(8);
    /// As [`GFP_KERNEL`], accounted.
    pub const GFP_KERNEL_ACCOUNT: Flags = Flags(8 | 16);
    /// May not sleep and may fail easily.
    pub const GFP_NOWAIT: Flags = Flags(32);
    /// Does not fail. The kernel crate lacks it: there `latch::prelude` makes it.
    pub const GFP_NOFAIL: Flags = Flags(8 | 128);
}

/// Which allocator; sets what the largest allocation is.
pub trait Allocator {
    /// Bytes in the largest allocation.
    const LARGEST: usize;
    /// Bytes in the largest allocation that does not fail.
    const LARGEST_UNFAILING: usize;
}

/// `kmalloc`: physically contiguous (`KMALLOC_MAX_SIZE`).
pub struct Kmalloc;
/// `vmalloc`.
pub struct Vmalloc;
/// `kvmalloc`.
pub struct KVmalloc;

/// The allocators by the kernel's path.
pub mod allocator {
    pub use super::{KVmalloc, Kmalloc, Vmalloc};
}

impl Allocator for Kmalloc {
    const LARGEST: usize = 4 << 20;
    // The kernel documents no more than two pages.
    const LARGEST_UNFAILING: usize = 8192;
}
impl Allocator for Vmalloc {
    const LARGEST: usize = i32::MAX as usize;
    // As much as a bounded list takes.
    const LARGEST_UNFAILING: usize = 1 << 20;
}
impl Allocator for KVmalloc {
    const LARGEST: usize = i32::MAX as usize;
    // As much as a bounded list takes.
    const LARGEST_UNFAILING: usize = 1 << 20;
}
