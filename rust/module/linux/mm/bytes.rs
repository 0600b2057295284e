// SPDX-License-Identifier: GPL-2.0

//! A folio's bytes, as memory that is Rust's.
//!
//! C header: `include/linux/mm_types.h`

use super::folio::Patience;
use super::Folio;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use kernel::sync::aref::ARef;
use latch::prelude::*;

/// The bit of a folio's private word that says that its bytes are lent.
const LENT: usize = 1;

/// The bytes of a folio that no user space mapping has. There is one at a time for a folio.
///
/// # Invariants
///
/// `LENT` is set in the folio's private word for this value; `address` is the folio's `len` bytes. A device writes to
/// them only while the value is borrowed, or owned, for that.
pub(crate) struct FolioBytes {
    folio: ARef<Folio>,
    address: NonNull<u8>,
    len: usize,
}

// SAFETY: The bytes may be used from any thread.
unsafe impl Send for FolioBytes {}
// SAFETY: `&FolioBytes` gives `&[u8]` only.
unsafe impl Sync for FolioBytes {}

impl FolioBytes {
    /// The bytes of a new folio of `1 << order` pages, with anything in them. May enter reclaim, not the file system.
    pub(crate) fn alloc(order: u32) -> Result<Self> {
        Self::alloc_with(order, Patience::Waits)
    }

    /// Those of a new folio as by [`Self::alloc`], but `ENOMEM` at once where memory is in pieces smaller than that: for who
    /// goes on with single pages then.
    pub(crate) fn alloc_at_once(order: u32) -> Result<Self> {
        Self::alloc_with(order, Patience::GivesUp)
    }

    fn alloc_with(order: u32, patience: Patience) -> Result<Self> {
        // SAFETY: The folio is new: in no mapping of user space, and its private word nobody else's.
        unsafe { Self::take(&*Folio::alloc(order, patience)?) }.ok_or(ENOMEM)
    }

    /// The bytes of `folio`; `None` if they are lent already.
    ///
    /// # Safety
    ///
    /// No user space mapping has the folio or can get it, and this type alone uses its private word.
    pub(in crate::linux) unsafe fn take(folio: &Folio) -> Option<Self> {
        let address = NonNull::new(folio.address())?;
        // SAFETY: By the function's contract.
        let word = unsafe { folio.private_word() };
        if word.fetch_or(LENT, Ordering::Acquire) & LENT != 0 {
            return None;
        }
        // INVARIANT: The bit was just set by us.
        Some(Self {
            folio: folio.into(),
            address,
            len: folio.size(),
        })
    }

    /// Whether the bytes of `folio` are lent.
    ///
    /// # Safety
    ///
    /// The contract of [`Self::take`].
    pub(in crate::linux) unsafe fn are_lent(folio: &Folio) -> bool {
        // SAFETY: By the function's contract.
        unsafe { folio.private_word() }.load(Ordering::Acquire) != 0
    }

    /// The folio that has the bytes.
    pub(in crate::linux) fn folio(&self) -> &Folio {
        &self.folio
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All bytes of the folio.
    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: They are valid for as long as the folio, and nobody else's to write by the type invariant. A device may
        // read them.
        unsafe { core::slice::from_raw_parts(self.address.as_ptr(), self.len) }
    }

    /// The bytes, to change.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: As in `as_slice`; `self` is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.address.as_ptr(), self.len) }
    }
}

impl Drop for FolioBytes {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the word is this type's.
        let word = unsafe { self.folio.private_word() };
        word.fetch_and(!LENT, Ordering::Release);
    }
}
