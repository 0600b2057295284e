// SPDX-License-Identifier: GPL-2.0

//! Folios and their blocks: which bytes they have, and in what state.
//!
//! C headers: `include/linux/pagemap.h`, `include/linux/iomap.h`

use super::bindings;
use crate::linux::{Folio, Inode, LockedFolio};
use core::ops::{ControlFlow, Range};
use kernel::sync::aref::ARef;
use units::{Bytes, FileOffset};

/// The blocks of an inode.
#[derive(Clone, Copy)]
pub(in crate::linux) struct Blocks {
    mask: u64,
}

impl Blocks {
    pub(in crate::linux) fn of(inode: &Inode) -> Self {
        let size = 1u64.checked_shl(inode.block_bits()).unwrap_or(1);
        Self {
            mask: size.wrapping_sub(1),
        }
    }

    pub(super) fn size(self) -> Bytes {
        Bytes::new(self.mask.wrapping_add(1))
    }

    /// Whether a multiple of the size of blocks has these bits.
    pub(super) fn divide(self, bits: u64) -> bool {
        bits & self.mask == 0
    }

    /// How many bytes are behind `pos` in its block.
    pub(in crate::linux) fn tail_of(self, pos: FileOffset) -> Bytes {
        Bytes::new(pos.get().wrapping_neg() & self.mask)
    }

    pub(super) fn round_down(self, pos: FileOffset) -> FileOffset {
        FileOffset::new(pos.get() & !self.mask)
    }

    pub(in crate::linux) fn round_up(self, pos: FileOffset) -> FileOffset {
        self.round_down(pos.saturating_add(Bytes::new(self.mask)))
    }

    /// The blocks that `[pos, pos + len)` touches, from the first one's start to the last one's end.
    pub(in crate::linux) fn touched(self, pos: FileOffset, len: Bytes) -> Range<FileOffset> {
        self.round_down(pos)..self.round_up(pos.saturating_add(len))
    }

    /// The blocks that lie in `[pos, pos + len)` as a whole; the range does not ascend if there is none.
    pub(in crate::linux) fn whole(self, pos: FileOffset, len: Bytes) -> Range<FileOffset> {
        self.round_up(pos)..self.round_down(pos.saturating_add(len))
    }
}

/// The inode that a folio belongs to.
///
/// # Safety
///
/// `folio` is in a file of this driver, and locked or under writeback for as long as it is borrowed.
pub(super) unsafe fn inode_of(folio: &Folio) -> &Inode {
    // SAFETY: By the function's contract: such a folio stays in its mapping, and keeps the inode.
    unsafe { Inode::borrow((*folio.mapping()).host) }
}

/// The bytes of its file that a folio has. A guess, if nothing keeps the folio from being split.
pub(super) fn range_of(folio: &Folio) -> Range<FileOffset> {
    let start = folio.pos();
    start..start.saturating_add(folio.size().into())
}

/// How many bytes of `folio` are before the file position `end`.
pub(super) fn bytes_before(folio: &Folio, end: FileOffset) -> usize {
    let (size, before) = (folio.size(), end.saturating_since(folio.pos()));
    usize::try_from(before).unwrap_or(size).min(size)
}

/// The number of the page that has the byte at the file position `pos`.
pub(super) fn page_of(pos: FileOffset) -> usize {
    pos.get() as usize >> bindings::PAGE_SHIFT
}

/// The numbers of the pages that have the first and the last byte of `range`, which is not empty.
pub(in crate::linux) fn pages_of(range: &Range<FileOffset>) -> (usize, usize) {
    let last = range.end.saturating_sub(Bytes::new(1));
    (page_of(range.start), page_of(last))
}

/// The folio that the page cache has at the file position `pos`. It may be split or go at any time: who locks it looks again.
pub(super) fn cached_at(inode: &Inode, pos: FileOffset) -> Option<ARef<Folio>> {
    // SAFETY: An inode keeps its mapping.
    let found = unsafe { bindings::filemap_get_folio(inode.mapping(), page_of(pos)) };
    // SAFETY: The page cache gave a reference.
    unsafe { Folio::found(found) }.ok()
}

/// Calls `each` for the folios of `inode` that have bytes of `range`, in ascending order, each locked and in the file, until
/// it breaks off. The caller holds no folio's lock.
pub(super) fn each_folio<B>(
    inode: &Inode,
    range: &Range<FileOffset>,
    mut each: impl FnMut(&LockedFolio) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mapping = inode.mapping();
    let ((mut next, last), mut batch) = (pages_of(range), pin_init::zeroed());
    // SAFETY: The batch is ours.
    unsafe { bindings::folio_batch_init(&mut batch) };
    let mut answer = ControlFlow::Continue(());
    while answer.is_continue() {
        // SAFETY: An inode keeps its mapping; the batch is ours, and empty.
        if unsafe { bindings::filemap_get_folios(mapping, &mut next, last, &mut batch) } == 0 {
            break;
        }
        for &folio in batch.folios.iter().take(usize::from(batch.nr)) {
            // SAFETY: The batch has a reference to each of its folios until it is released.
            let folio = LockedFolio::lock(unsafe { Folio::borrow(folio) }.into());
            if folio.mapping() == mapping {
                answer = each(&folio);
            }
            if answer.is_break() {
                break;
            }
        }
        // SAFETY: The batch is ours, and gives its references up.
        unsafe { bindings::folio_batch_release(&mut batch) };
    }
    answer
}

/// Whether a folio with bytes of `range` is on its way to the device.
pub(super) fn is_under_writeback(inode: &Inode, range: &Range<FileOffset>) -> bool {
    // SAFETY: An inode keeps its mapping.
    if !unsafe { bindings::mapping_tagged(inode.mapping(), bindings::PAGECACHE_TAG_WRITEBACK) } {
        return false;
    }
    let mut pos = range.start;
    while pos < range.end {
        let next_page = FileOffset::new(pos.get() | (bindings::PAGE_SIZE as u64 - 1));
        let next_page = next_page.saturating_add(Bytes::new(1));
        pos = match cached_at(inode, pos) {
            Some(folio) if folio.is_writeback() => return true,
            Some(folio) => range_of(&folio).end.max(next_page),
            None => next_page,
        };
    }
    false
}

/// What of `range`, the bytes of a folio, the file has: it ends with the block of the file's last byte.
pub(super) fn inside_file(inode: &Inode, range: Range<FileOffset>) -> Range<FileOffset> {
    let end = Blocks::of(inode).round_up(inode.end());
    range.start..end.min(range.end).max(range.start)
}

/// The first run of blocks in `range` that are up to date. The others hold nothing, also where they are marked dirty with
/// all of their folio. The folio has `range`, which is of whole `blocks`.
///
/// # Safety
///
/// `folio` is of a file of this driver.
pub(super) unsafe fn next_up_to_date(
    folio: &LockedFolio,
    blocks: Blocks,
    range: Range<FileOffset>,
) -> Option<Range<FileOffset>> {
    let start = folio.pos();
    let size = blocks.size();
    let is_up_to_date = |pos: FileOffset| {
        let offset = pos.saturating_since(start).get() as usize;
        folio.is_uptodate()
            // SAFETY: By the function's contract iomap has the folio's private word, and keeps that under its lock.
            || unsafe { bindings::iomap_is_partially_uptodate(folio.as_ptr(), offset, size.get() as usize) }
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

/// Marks all blocks of `folio` dirty, if it is still in its file.
///
/// # Safety
///
/// `folio` is locked or under writeback, and of a file of this driver.
pub(super) unsafe fn mark_all_dirty(folio: &Folio) {
    let mapping = folio.mapping();
    if !mapping.is_null() {
        // SAFETY: By the function's contract: such a folio stays in its mapping.
        unsafe { bindings::iomap_dirty_folio(mapping, folio.as_ptr()) };
    }
}

/// Takes the dirty marks off the blocks of `folio` that lie behind the end of the file: nothing will write them, and
/// they must not count as dirty when the file grows.
///
/// # Safety
///
/// `folio` is of a file of this driver.
pub(super) unsafe fn clean_behind(folio: &LockedFolio, end: FileOffset) {
    let (size, inside) = (folio.size(), bytes_before(folio, end));
    if inside > 0 && inside < size {
        // SAFETY: By the function's contract, and locked. A part of it is no invalidation: iomap only clears its marks.
        unsafe { bindings::iomap_invalidate_folio(folio.as_ptr(), inside, size - inside) };
    }
}

/// The `len` bytes of a folio at the file position `pos`, and how far into the folio they are.
///
/// # Safety
///
/// `folio` has the range; nobody else uses these bytes for as long as they are borrowed.
pub(super) unsafe fn bytes_at(folio: &Folio, pos: FileOffset, len: usize) -> (usize, &mut [u8]) {
    let offset = pos.saturating_since(folio.pos()).get() as usize;
    // SAFETY: By the function's contract.
    let bytes = unsafe { core::slice::from_raw_parts_mut(folio.address().add(offset), len) };
    (offset, bytes)
}
