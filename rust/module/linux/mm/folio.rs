// SPDX-License-Identifier: GPL-2.0

//! Folios: contiguous pages handled as one.
//!
//! C header: `include/linux/mm_types.h`, `include/linux/pagemap.h`

use crate::linux::bindings as b;
use crate::linux::loff::position;
use core::ptr::{addr_of_mut, NonNull};
use core::sync::atomic::AtomicUsize;
use kernel::error::from_err_ptr;
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::types::Opaque;
use latch::prelude::*;
use units::FileOffset;

/// How long an allocation of several pages in one piece waits for them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Until there are some, which is for ever where memory stays in smaller pieces.
    Waits,
    /// Not at all: the caller can do with smaller pieces.
    GivesUp,
}

impl Patience {
    fn flags(self) -> b::gfp_t {
        match self {
            Self::Waits => b::GFP_NOFS,
            Self::GivesUp => b::GFP_NOFS_NORETRY,
        }
    }
}

/// A `struct folio`.
///
/// Nothing is said of its contents: a folio of the page cache may be written by user space at any time.
///
/// # Invariants
///
/// `inner` is a folio whose reference count is not zero while a `&Folio` to it lives.
#[repr(transparent)]
pub(crate) struct Folio {
    inner: Opaque<b::folio>,
}

// SAFETY: A folio may be used and released from any thread.
unsafe impl Send for Folio {}
// SAFETY: All methods synchronise by the folio's own lock, flags and counts.
unsafe impl Sync for Folio {}

// SAFETY: The folio's reference count keeps it alive.
unsafe impl AlwaysRefCounted for Folio {
    fn inc_ref(&self) {
        // SAFETY: The count is not zero by the type invariant.
        unsafe { b::folio_get(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller owns a reference and gives it up.
        unsafe { b::folio_put(obj.as_ptr().cast()) };
    }
}

impl Folio {
    /// A folio of `1 << order` pages that belongs to no mapping. May enter reclaim, not the file system.
    pub(super) fn alloc(order: u32, patience: Patience) -> Result<ARef<Self>> {
        // SAFETY: It takes any order.
        let folio = unsafe { b::folio_alloc_noprof(patience.flags(), order) };
        let folio = NonNull::new(folio.cast()).ok_or(ENOMEM)?;
        // SAFETY: The new folio has one reference, which `ARef` takes over.
        Ok(unsafe { ARef::from_raw(folio) })
    }

    /// A folio that C lends.
    ///
    /// # Safety
    ///
    /// `at` is a folio whose reference count stays above zero for `'a`.
    pub(in crate::linux) unsafe fn borrow<'a>(at: *mut b::folio) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*at.cast() }
    }

    /// Takes over the reference of what the page cache found. Its error otherwise.
    ///
    /// # Safety
    ///
    /// `found` is an answer of the page cache: an error, or a folio with a reference for the caller.
    pub(in crate::linux) unsafe fn found(found: *mut b::folio) -> Result<ARef<Self>> {
        let folio = NonNull::new(from_err_ptr(found)?).ok_or(ENOMEM)?;
        // SAFETY: By the function's contract.
        Ok(unsafe { ARef::from_raw(folio.cast()) })
    }

    /// The C object.
    pub(in crate::linux) fn as_ptr(&self) -> *mut b::folio {
        self.inner.get()
    }

    /// Bytes in the folio.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: The folio is alive.
        unsafe { b::folio_size(self.as_ptr()) }
    }

    /// The folio's place in the file, which is stable while it is locked.
    pub(crate) fn pos(&self) -> FileOffset {
        // SAFETY: The folio is alive.
        position(unsafe { b::folio_pos(self.as_ptr()) })
    }

    /// Whether the contents are those of the file.
    pub(crate) fn is_uptodate(&self) -> bool {
        // SAFETY: The folio is alive.
        unsafe { b::folio_test_uptodate(self.as_ptr()) }
    }

    /// Whether the contents must go to the device.
    pub(crate) fn is_dirty(&self) -> bool {
        // SAFETY: The folio is alive.
        unsafe { b::folio_test_dirty(self.as_ptr()) }
    }

    /// Whether somebody may have its pages pinned, and may store to them without a fault (`pin_user_pages`).
    pub(in crate::linux) fn may_be_pinned(&self) -> bool {
        // SAFETY: The folio is alive.
        unsafe { b::folio_maybe_dma_pinned(self.as_ptr()) }
    }

    /// The file that it belongs to; null if it was cut away. It stays while the folio is locked or under writeback.
    pub(in crate::linux) fn mapping(&self) -> *mut b::address_space {
        // SAFETY: The folio is alive; the word is read without the lock everywhere.
        unsafe { (*self.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.mapping }
    }

    /// Whether the contents are on their way to the device.
    pub(crate) fn is_writeback(&self) -> bool {
        // SAFETY: The folio is alive.
        unsafe { b::folio_test_writeback(self.as_ptr()) }
    }

    /// Waits until the contents are no longer on their way to the device.
    pub(crate) fn wait_writeback(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_wait_writeback(self.as_ptr()) };
    }

    /// The folio's private word.
    ///
    /// # Safety
    ///
    /// While it is borrowed, nobody uses the word in another way: the folio's mapping is one whose owner does so, or it is in
    /// none.
    pub(in crate::linux) unsafe fn private_word(&self) -> &AtomicUsize {
        let folio = self.as_ptr();
        // SAFETY: The word is aligned and lives as long as the folio.
        let members = unsafe { addr_of_mut!((*folio).__bindgen_anon_1.__bindgen_anon_1) };
        // SAFETY: The word is in the folio, which `self` keeps.
        let word = unsafe { addr_of_mut!((*members).__bindgen_anon_3.private) };
        // SAFETY: By the function's contract.
        unsafe { &*word.cast::<AtomicUsize>() }
    }

    /// Where the kernel sees the folio's bytes.
    pub(in crate::linux) fn address(&self) -> *mut u8 {
        // SAFETY: The folio is alive.
        unsafe { b::rbtrfs_folio_address(self.as_ptr()) }.cast()
    }
}
