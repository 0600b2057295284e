// SPDX-License-Identifier: GPL-2.0

//! Folios and their blocks: which bytes they have, and in what state.
//!
//! C headers: `include/linux/pagemap.h`, `include/linux/iomap.h`

use super::bindings;
use core::ops::Range;

/// The blocks of an inode.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    mask: u64,
}

impl Blocks {
    /// # Safety
    ///
    /// `inode` is alive.
    pub(super) unsafe fn of(inode: *mut bindings::inode) -> Self {
        // SAFETY: By the caller's promise; the size of blocks never changes.
        let bits = unsafe { (*inode).i_blkbits };
        Self {
            mask: 1u64.checked_shl(bits.into()).unwrap_or(1).wrapping_sub(1),
        }
    }

    pub(super) fn size(self) -> u64 {
        self.mask.wrapping_add(1)
    }

    pub(super) fn round_down(self, pos: u64) -> u64 {
        pos & !self.mask
    }

    pub(super) fn round_up(self, pos: u64) -> u64 {
        self.round_down(pos.saturating_add(self.mask))
    }

    /// Those that `[pos, pos + len)` touches, from the first one's start to the last one's end, in bytes.
    pub(super) fn touched(self, pos: u64, len: u64) -> (u64, u64) {
        (self.round_down(pos), self.round_up(pos.saturating_add(len)))
    }

    /// Those that lie in `[pos, pos + len)` as a whole; not ascending if there is none.
    pub(super) fn whole(self, pos: u64, len: u64) -> (u64, u64) {
        (self.round_up(pos), self.round_down(pos.saturating_add(len)))
    }
}

/// The file that a folio belongs to.
///
/// # Safety
///
/// `folio` is locked or under writeback, and in a mapping.
pub(super) unsafe fn mapping_of(folio: *mut bindings::folio) -> *mut bindings::address_space {
    // SAFETY: By the caller's promise.
    unsafe { (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping }
}

/// The bytes of its file that a folio has.
///
/// # Safety
///
/// `folio` is referenced, and locked or otherwise kept from being split.
pub(super) unsafe fn range_of(folio: *mut bindings::folio) -> Range<u64> {
    // SAFETY: By the caller's promise.
    let (start, len) = unsafe {
        (
            bindings::folio_pos(folio) as u64,
            bindings::folio_size(folio) as u64,
        )
    };
    start..start.saturating_add(len)
}

/// What of `range`, the bytes of a folio, the file has: it ends with the block of the file's last byte.
///
/// # Safety
///
/// `inode` is alive.
pub(super) unsafe fn inside_file(inode: *mut bindings::inode, range: Range<u64>) -> Range<u64> {
    // SAFETY: By the caller's promise.
    let end = unsafe { Blocks::of(inode).round_up(bindings::i_size_read(inode) as u64) };
    range.start..end.min(range.end).max(range.start)
}

/// The first run of blocks in `range` that are up to date. The others hold nothing, also where they are marked dirty with
/// all of their folio.
///
/// # Safety
///
/// `folio` is locked, in a file with these `blocks`, and has `range`, which is of whole blocks.
pub(super) unsafe fn next_up_to_date(
    folio: *mut bindings::folio,
    blocks: Blocks,
    range: Range<u64>,
) -> Option<Range<u64>> {
    // SAFETY: By the caller's promise.
    let start = unsafe { bindings::folio_pos(folio) as u64 };
    let size = blocks.size();
    let is_up_to_date = |pos: u64| {
        let offset = pos.saturating_sub(start) as usize;
        // SAFETY: By the caller's promise.
        unsafe {
            bindings::folio_test_uptodate(folio)
                || bindings::iomap_is_partially_uptodate(folio, offset, size as usize)
        }
    };
    let mut first = range.start;
    while first < range.end && !is_up_to_date(first) {
        first = first.saturating_add(size);
    }
    let mut end = first;
    while end < range.end && is_up_to_date(end) {
        end = end.saturating_add(size);
    }
    (first < end).then_some(first..end)
}

/// Takes the dirty marks off the blocks of `folio` that lie behind the end of the file: nothing will write them, and
/// they must not count as dirty when the file grows.
///
/// # Safety
///
/// `folio` is locked and in a mapping of this driver.
pub(super) unsafe fn clean_behind(folio: *mut bindings::folio, end: u64) {
    // SAFETY: By the caller's promise. A part of a folio is no invalidation: iomap only clears its marks.
    unsafe {
        let size = bindings::folio_size(folio);
        let inside = end.saturating_sub(bindings::folio_pos(folio) as u64);
        let inside = usize::try_from(inside).unwrap_or(size).min(size);
        if inside > 0 && inside < size {
            bindings::iomap_invalidate_folio(folio, inside, size - inside);
        }
    }
}

/// The `len` bytes of a folio at the file position `pos`, and how far into the folio they are.
///
/// # Safety
///
/// `folio` is locked and holds the range; nobody else uses these bytes for as long as they are borrowed.
pub(super) unsafe fn bytes_at<'a>(
    folio: *mut bindings::folio,
    pos: u64,
    len: usize,
) -> (usize, &'a mut [u8]) {
    // SAFETY: By the caller's promise.
    unsafe {
        let offset = pos.saturating_sub(bindings::folio_pos(folio) as u64) as usize;
        let start = bindings::rbtrfs_folio_address(folio).cast::<u8>();
        (
            offset,
            core::slice::from_raw_parts_mut(start.add(offset), len),
        )
    }
}
