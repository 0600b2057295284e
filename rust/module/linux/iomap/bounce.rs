// SPDX-License-Identifier: GPL-2.0

//! Copies of bytes whose own memory somebody may write while they are on their way to the device.
//!
//! C header: `include/linux/bio.h`

use super::bindings;
use crate::linux::memory::Memory;
use crate::linux::Folio;
use kernel::sync::aref::ARef;
use latch::prelude::*;

/// The largest folio of a copy, in pages by its logarithm: what the allocator has when memory is in pieces.
const MAX_ORDER: u32 = 3;

/// The most bytes that one copy is made of.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// A copy of a bio's bytes, with a bio of its own.
///
/// # Invariants
///
/// `bio` is not in flight while the value can be reached, and its vectors are `folios`.
pub(super) struct Bounce {
    bio: *mut bindings::bio,
    folios: KVec<ARef<Folio>>,
    filled: usize,
}

// SAFETY: Bio and folios belong to the value.
unsafe impl Send for Bounce {}

impl Bounce {
    /// Room for the `len` bytes of `like`, whose device and operation the new bio gets. `ENOMEM`; `EFBIG` for more
    /// than [`MAX_BYTES`].
    ///
    /// # Safety
    ///
    /// `like` is a bio of the caller's, not in flight.
    pub(super) unsafe fn of(like: *mut bindings::bio, len: u64) -> Result<Self> {
        let mut left = usize::try_from(len).map_err(|_| EFBIG)?;
        if len > MAX_BYTES {
            return Err(EFBIG);
        }
        let mut folios = KVec::new();
        while left > 0 {
            let folio = alloc(left)?;
            left = left.saturating_sub(folio.size());
            folios.push(folio, GFP_KERNEL)?;
        }
        let count = u16::try_from(folios.len()).map_err(|_| EFBIG)?;
        // SAFETY: By the caller's promise; the vectors are within what the bio was allocated for.
        unsafe {
            let bio =
                bindings::bio_alloc((*like).bi_bdev, count, (*like).bi_opf, bindings::GFP_NOFS);
            if bio.is_null() {
                return Err(ENOMEM);
            }
            // INVARIANT: The bio is new, its vectors are the folios.
            let this = Self {
                bio,
                folios,
                filled: 0,
            };
            let mut left = usize::try_from(len).map_err(|_| EFBIG)?;
            for folio in &this.folios {
                let size = folio.size().min(left);
                bindings::bio_add_folio_nofail(bio, folio.as_ptr(), size, 0);
                left = left.saturating_sub(size);
            }
            Ok(this)
        }
    }

    /// Copies the next bytes. What there is no room for is left out.
    pub(super) fn append(&mut self, mut from: Memory<'_>) {
        let mut start = 0usize;
        for folio in &self.folios {
            let end = start.saturating_add(folio.size());
            if self.filled < end && from.len() > 0 {
                let (now, later) = from.split_at(end.saturating_sub(self.filled));
                folio.copy_from(self.filled.saturating_sub(start), now);
                self.filled = self.filled.saturating_add(now.len());
                from = later;
            }
            start = end;
        }
    }

    /// Calls `each` for the copy's memory, in order.
    pub(super) fn memory(&self, each: &mut dyn FnMut(Memory<'_>)) {
        let mut left = self.filled;
        for folio in &self.folios {
            let len = folio.size().min(left);
            // SAFETY: The folio has that many bytes, and stays as long as this value.
            each(unsafe { Memory::new(folio.address(), len) });
            left = left.saturating_sub(len);
        }
    }

    /// The bio that writes the copy.
    pub(super) fn bio(&self) -> *mut bindings::bio {
        self.bio
    }
}

impl Drop for Bounce {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the bio is not in flight.
        unsafe { bindings::bio_put(self.bio) };
    }
}

/// A folio for up to `left` bytes: a smaller one where there is no such memory.
fn alloc(left: usize) -> Result<ARef<Folio>> {
    let pages = left.div_ceil(kernel::page::PAGE_SIZE);
    let order = pages.checked_ilog2().unwrap_or(0).min(MAX_ORDER);
    Folio::alloc(order).or_else(|_| Folio::alloc(0))
}
