// SPDX-License-Identifier: GPL-2.0

//! Folios: contiguous pages handled as one.
//!
//! C header: `include/linux/mm_types.h`, `include/linux/pagemap.h`

use super::memory::Memory;
use crate::linux::bindings as b;
use core::ptr::{addr_of_mut, NonNull};
use core::sync::atomic::AtomicUsize;
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::types::Opaque;
use latch::prelude::*;

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
    pub(crate) fn alloc(order: u32) -> Result<ARef<Self>> {
        // SAFETY: It takes any order.
        let folio = unsafe { b::folio_alloc_noprof(b::GFP_NOFS, order) };
        let folio = NonNull::new(folio.cast()).ok_or(ENOMEM)?;
        // SAFETY: The new folio has one reference, which `ARef` takes over.
        Ok(unsafe { ARef::from_raw(folio) })
    }

    /// A folio that C lends.
    ///
    /// # Safety
    ///
    /// `at` is a folio whose reference count stays above zero for `'a`.
    pub(super) unsafe fn borrow<'a>(at: *mut b::folio) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*at.cast() }
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

    /// Its place in the file, in bytes. Stable while it is locked.
    pub(crate) fn pos(&self) -> i64 {
        // SAFETY: The folio is alive.
        unsafe { b::folio_pos(self.as_ptr()) }
    }

    /// Waits for the folio's lock.
    pub(crate) fn lock(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_lock(self.as_ptr()) };
    }

    /// Releases the folio's lock, which the caller holds.
    pub(crate) fn unlock(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_unlock(self.as_ptr()) };
    }

    /// Whether the contents are those of the file.
    pub(crate) fn is_uptodate(&self) -> bool {
        // SAFETY: The folio is alive.
        unsafe { b::folio_test_uptodate(self.as_ptr()) }
    }

    /// Marks the contents as those of the file.
    pub(crate) fn mark_uptodate(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_mark_uptodate(self.as_ptr()) };
    }

    /// Marks the contents as not those of the file: they did not pass a check.
    pub(crate) fn clear_uptodate(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_clear_uptodate(self.as_ptr()) };
    }

    /// Whether the contents must go to the device.
    pub(crate) fn is_dirty(&self) -> bool {
        // SAFETY: The folio is alive.
        unsafe { b::folio_test_dirty(self.as_ptr()) }
    }

    /// Whether the contents are on their way to the device.
    pub(crate) fn is_writeback(&self) -> bool {
        // SAFETY: The folio is alive.
        unsafe { b::folio_test_writeback(self.as_ptr()) }
    }

    /// Marks the contents as to go to the device. `true` if they were not.
    pub(crate) fn mark_dirty(&self) -> bool {
        // SAFETY: The folio is alive.
        unsafe { b::folio_mark_dirty(self.as_ptr()) }
    }

    /// Takes the dirty mark off a locked folio that is about to be written. `false` if it had none.
    pub(crate) fn clear_dirty_for_io(&self) -> bool {
        // SAFETY: The folio is alive.
        unsafe { b::folio_clear_dirty_for_io(self.as_ptr()) }
    }

    /// Takes the dirty mark off a locked folio that is not to be written.
    pub(crate) fn cancel_dirty(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_cancel_dirty(self.as_ptr()) };
    }

    /// Marks a locked folio as on its way to the device.
    pub(crate) fn start_writeback(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::rbtrfs_folio_start_writeback(self.as_ptr()) };
    }

    /// Ends [`Self::start_writeback`].
    pub(crate) fn end_writeback(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_end_writeback(self.as_ptr()) };
    }

    /// Waits for [`Self::end_writeback`].
    pub(crate) fn wait_writeback(&self) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_wait_writeback(self.as_ptr()) };
    }

    /// The folio's private word, for its owner.
    pub(super) fn private_word(&self) -> &AtomicUsize {
        // SAFETY: The word is aligned, lives as long as the folio, and is used by its owner alone, which
        // is this driver, as an atomic.
        unsafe {
            let folio = self.as_ptr();
            let word = addr_of_mut!(
                (*folio)
                    .__bindgen_anon_1
                    .__bindgen_anon_1
                    .__bindgen_anon_3
                    .private
            );
            &*word.cast::<AtomicUsize>()
        }
    }

    /// Ends a read of the whole folio: marks it up to date if it went well, and unlocks it.
    pub(crate) fn end_read(&self, result: Result) {
        // SAFETY: The folio is alive.
        unsafe { b::folio_end_read(self.as_ptr(), result.is_ok()) };
    }

    /// Copies into the folio. What does not fit is left out.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let size = self.size();
        let offset = offset.min(size);
        let len = bytes.len().min(size.saturating_sub(offset));
        // SAFETY: `[offset, offset + len)` lies in the folio, whose pages are all mapped in the kernel
        // (no highmem on 64 bit). The contents belong to nobody, hence a copy and no reference.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address().add(offset), len);
        }
    }

    /// Copies memory that others may change into the folio. What does not fit is left out.
    pub(in crate::linux) fn copy_from(&self, offset: usize, from: Memory<'_>) {
        let size = self.size();
        let offset = offset.min(size);
        let len = from.len().min(size.saturating_sub(offset));
        // SAFETY: As in `write`; the source is valid for its length.
        unsafe {
            core::ptr::copy_nonoverlapping(from.as_ptr(), self.address().add(offset), len);
        }
    }

    /// Copies out of the folio. What lies behind its end is left alone.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        let size = self.size();
        let offset = offset.min(size);
        let len = bytes.len().min(size.saturating_sub(offset));
        // SAFETY: As in `write`.
        unsafe {
            core::ptr::copy_nonoverlapping(self.address().add(offset), bytes.as_mut_ptr(), len);
        }
    }

    /// Where the kernel sees the folio's bytes.
    pub(in crate::linux) fn address(&self) -> *mut u8 {
        // SAFETY: The folio is alive.
        unsafe { b::rbtrfs_folio_address(self.as_ptr()) }.cast()
    }
}
