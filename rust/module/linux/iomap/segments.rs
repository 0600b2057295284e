// SPDX-License-Identifier: GPL-2.0

//! The memory of a bio, folio by folio.
//!
//! C header: `include/linux/bvec.h`

use super::bindings;
use crate::linux::Folio;
use kernel::page::PAGE_SIZE;

/// A run of a bio's bytes within one folio.
pub(super) struct Segment {
    /// The folio that has the bytes.
    pub(super) folio: *mut bindings::folio,
    /// Where in it, in bytes.
    pub(super) offset: usize,
    /// Where the kernel sees it.
    pub(super) at: *mut u8,
    /// How many bytes there are.
    pub(super) len: usize,
}

/// `len` bytes of a bio's vectors, from `skip` bytes into the vector at `index`.
///
/// # Safety
///
/// The bio has that many bytes there: `bi_vcnt` does not count for a bio that was split off another. Its pages stay
/// allocated for as long as `each` runs; there is no high memory on the machines that this module builds for.
pub(super) unsafe fn segments(
    bio: *mut bindings::bio,
    mut index: usize,
    mut skip: usize,
    mut len: usize,
    each: &mut dyn FnMut(Segment),
) {
    // SAFETY: By the caller's promise.
    let vecs = unsafe { (*bio).bi_io_vec };
    while len > 0 {
        // SAFETY: By the caller's promise there are `len` bytes more from `skip` on, so there is a vector.
        let vec = unsafe { &*vecs.add(index) };
        let left = (vec.bv_len as usize).saturating_sub(skip);
        if left == 0 {
            skip = 0;
            index = index.saturating_add(1);
            continue;
        }
        // SAFETY: The vector has a byte there, and its page is allocated by the caller's promise.
        let mut part = unsafe { segment_at(vec, skip) };
        part.len = part.len.min(left).min(len);
        len -= part.len;
        skip += part.len;
        each(part);
    }
}

/// What is `skip` bytes into `vec`, up to the end of its folio: a vector's pages are contiguous but may be those of several
/// folios.
///
/// # Safety
///
/// `vec` has more than `skip` bytes, in pages that are allocated.
unsafe fn segment_at(vec: &bindings::bio_vec, skip: usize) -> Segment {
    let offset = vec.bv_offset as usize + skip;
    // SAFETY: By the function's contract. Pages of contiguous memory have contiguous descriptions.
    let (folio, at) = unsafe {
        let page = vec.bv_page.add(offset / PAGE_SIZE);
        let start = bindings::rbtrfs_page_address(page).cast::<u8>();
        let at = start.add(offset % PAGE_SIZE);
        (Folio::borrow(bindings::rbtrfs_page_folio(page)), at)
    };
    // SAFETY: The byte is the folio's.
    let offset = unsafe { bindings::rbtrfs_offset_in_folio(folio.as_ptr(), at.cast()) };
    let len = folio.size().saturating_sub(offset);
    let folio = folio.as_ptr();
    Segment {
        folio,
        offset,
        at,
        len,
    }
}

/// Bytes that were added to a bio that is whole, whatever has become of them.
///
/// # Safety
///
/// `bio` was not split off another.
pub(super) unsafe fn bytes_added(bio: *mut bindings::bio) -> usize {
    // SAFETY: `bi_vcnt` vectors are in use.
    let vecs =
        unsafe { core::slice::from_raw_parts((*bio).bi_io_vec, usize::from((*bio).bi_vcnt)) };
    vecs.iter()
        .fold(0, |sum: usize, vec| sum.saturating_add(vec.bv_len as usize))
}
