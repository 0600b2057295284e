// SPDX-License-Identifier: GPL-2.0

//! The memory of a bio, folio by folio.
//!
//! C header: `include/linux/bvec.h`

use super::bindings;
use kernel::page::PAGE_SIZE;

/// A run of a bio's bytes within one folio.
pub(super) struct Segment {
    /// The folio.
    pub(super) folio: *mut bindings::folio,
    /// Where in it, in bytes.
    pub(super) offset: usize,
    /// Where the kernel sees it.
    pub(super) at: *mut u8,
    /// Bytes.
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
        // SAFETY: There are `len` bytes more from `skip` on. A vector's pages are contiguous but may be those of several
        // folios: each step stays within one.
        unsafe {
            let vec = &*vecs.add(index);
            let left = (vec.bv_len as usize).saturating_sub(skip);
            if left == 0 {
                skip = 0;
                index = index.saturating_add(1);
                continue;
            }
            let offset = vec.bv_offset as usize + skip;
            let page = vec.bv_page.add(offset / PAGE_SIZE);
            let folio = bindings::rbtrfs_page_folio(page);
            let at = bindings::rbtrfs_page_address(page)
                .cast::<u8>()
                .add(offset % PAGE_SIZE);
            let offset = bindings::rbtrfs_offset_in_folio(folio, at.cast());
            let take = bindings::folio_size(folio)
                .saturating_sub(offset)
                .min(left)
                .min(len);
            each(Segment {
                folio,
                offset,
                at,
                len: take,
            });
            len -= take;
            skip += take;
        }
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
