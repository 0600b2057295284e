// SPDX-License-Identifier: GPL-2.0

//! Copies of bytes whose own memory somebody may write while they are on their way to the device.
//!
//! C header: `include/linux/bio.h`

use super::bindings;
use crate::linux::memory::Memory;
use crate::linux::FolioBytes;
use latch::prelude::*;
use units::Bytes;

/// The largest folio of a copy, in pages by its logarithm: what the allocator has when memory is in pieces.
const MAX_ORDER: u32 = 3;

/// The most bytes that one copy is made of.
pub(crate) const MAX_BYTES: Bytes = Bytes::new(1 << 20);

/// Room for a copy of a bio's bytes, with a bio of its own.
///
/// # Invariants
///
/// `bio` is not in flight while the value can be reached. It has room for a vector for each of `folios`, and none until
/// [`Bounce::seal`].
pub(super) struct Bounce {
    bio: *mut bindings::bio,
    folios: KVec<FolioBytes>,
    filled: usize,
}

// SAFETY: Bio and folios belong to the value.
unsafe impl Send for Bounce {}

impl Bounce {
    /// Room for the first `len` bytes of `like` or, where memory is short, for fewer: see [`Self::room`]. The new bio
    /// gets its device and operation. `ENOMEM` if there is no room for a page.
    ///
    /// # Safety
    ///
    /// `like` is a bio of the caller's, not in flight.
    pub(super) unsafe fn new(like: *mut bindings::bio, len: Bytes) -> Result<Self> {
        let folios = alloc_folios(len.min(MAX_BYTES))?;
        let count = u16::try_from(folios.len()).map_err(|_| EFBIG)?;
        // SAFETY: By the caller's promise.
        let bio = unsafe {
            bindings::bio_alloc((*like).bi_bdev, count, (*like).bi_opf, bindings::GFP_NOFS)
        };
        if bio.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: The bio is new, and was allocated for as many vectors as there are folios.
        Ok(Self {
            bio,
            folios,
            filled: 0,
        })
    }

    /// How many bytes there is room for.
    pub(super) fn room(&self) -> Bytes {
        let folios = self.folios.iter();
        folios.fold(Bytes::ZERO, |sum, folio| {
            sum.saturating_add(folio.len().into())
        })
    }

    /// Copies the next bytes. What there is no room for is left out.
    pub(super) fn append(&mut self, mut from: Memory<'_>) {
        let mut start = 0usize;
        for folio in &mut self.folios {
            let end = start.saturating_add(folio.len());
            if self.filled < end && from.len() > 0 {
                let (now, later) = from.split_at(end.saturating_sub(self.filled));
                let offset = self.filled.saturating_sub(start);
                if let Some(room) = folio.as_mut_slice().get_mut(offset..) {
                    now.copy_to(room);
                }
                self.filled = self.filled.saturating_add(now.len());
                from = later;
            }
            start = end;
        }
    }

    /// The copy is whole: makes it what the bio writes.
    pub(super) fn seal(self) -> Sealed {
        let mut left = self.filled;
        for folio in &self.folios {
            let len = folio.len().min(left);
            if len == 0 {
                break;
            }
            let folio = folio.folio().as_ptr();
            // SAFETY: By the type invariant the bio has room for a vector for each folio, and this is the first that it
            // gets for this one; folio and bio stay as long as the value.
            unsafe { bindings::bio_add_folio_nofail(self.bio, folio, len, 0) };
            left = left.saturating_sub(len);
        }
        Sealed(self)
    }
}

/// A copy that is whole, which its bio writes.
pub(super) struct Sealed(Bounce);

impl Sealed {
    /// Calls `each` for the copy's memory, in order.
    pub(super) fn memory(&self, each: &mut dyn FnMut(Memory<'_>)) {
        let mut left = self.0.filled;
        for folio in &self.0.folios {
            let len = folio.len().min(left);
            each(folio.as_slice().get(..len).unwrap_or(&[]).into());
            left = left.saturating_sub(len);
        }
    }

    /// The bio that writes the copy.
    pub(super) fn bio(&self) -> *mut bindings::bio {
        self.0.bio
    }
}

impl Drop for Bounce {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the bio is not in flight.
        unsafe { bindings::bio_put(self.bio) };
    }
}

/// Folios for `len` bytes; fewer where memory ends, but one.
fn alloc_folios(len: Bytes) -> Result<KVec<FolioBytes>> {
    let mut left = usize::try_from(len).map_err(|_| EFBIG)?;
    let mut folios = KVec::new();
    while left > 0 {
        let more = alloc(left).and_then(|folio| {
            left = left.saturating_sub(folio.len());
            Ok(folios.push(folio, GFP_KERNEL)?)
        });
        match more {
            Err(error) if folios.is_empty() => return Err(error),
            Err(_) => break,
            Ok(()) => {}
        }
    }
    Ok(folios)
}

/// A folio for up to `left` bytes: a smaller one where there is no such memory.
fn alloc(left: usize) -> Result<FolioBytes> {
    let pages = left.div_ceil(kernel::page::PAGE_SIZE);
    let order = pages.checked_ilog2().unwrap_or(0).min(MAX_ORDER);
    FolioBytes::alloc_at_once(order).or_else(|_| FolioBytes::alloc(0))
}
