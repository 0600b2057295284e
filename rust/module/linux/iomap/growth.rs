// SPDX-License-Identifier: GPL-2.0

//! The folio across the end of a file, when the file grows.
//!
//! A large folio that was cut may go on behind the end of its file: dirty folios are not split. What it has there is
//! nothing: neither space nor meaning. But its blocks may be marked dirty, since the kernel marks a folio as a whole after
//! every store through a mapping, and a device may have stored there through a pin. No mark can be taken back when it
//! comes, as the kernel sets it last. So it is done here, once, before the end moves: else zeroes would be written where
//! the file is to have a hole, and would need space that nobody reserved.
//!
//! C headers: `include/linux/pagemap.h`, `include/linux/rmap.h`

use super::{
    bindings, bytes_before, cached_at, page_of, range_of, write, Blocks, FileData, Tables,
};
use crate::linux::inode::LockedInode;
use crate::linux::{Folio, Inode, LockedFolio};
use core::ptr;

impl<T: FileData> Tables<T> {
    /// Calls `raise`, which may make the file longer, with nothing left behind its end in the page cache. A writer, whose
    /// size iomap raises later, passes an empty `raise`: a store to the folio in between, through a mapping, may leave
    /// zeroes where the file could have a hole, and no more.
    ///
    /// No direct write that makes the file longer is under way, and the caller holds no folio's lock. `raise` takes none, and
    /// does not wait.
    pub(crate) fn clear_behind_end(inode: LockedInode<'_>, raise: impl FnOnce()) {
        match lock_across(&inode) {
            None => raise(),
            Some(folio) => {
                // Its bytes hold still until then, and so do their checksums.
                folio.wait_writeback();
                // SAFETY: The folio is of `inode`, goes on behind its end, and writeback of it begins under its lock only.
                unsafe { clear::<T>(&inode, &folio) };
                raise();
            }
        }
    }
}

/// Whether the page cache has a folio that goes on behind the block with the end of the file. Without the inode's lock the
/// answer is a guess.
pub(crate) fn is_folio_across_end(inode: &Inode) -> bool {
    if !inode.has_pages() {
        return false;
    }
    cached_at(inode, inode.end()).is_some_and(|folio| goes_on(inode, &folio))
}

/// The folio that goes on behind the block with the end of the file, locked. Most files have none, and those that grow by
/// a block at a time have only small ones there.
fn lock_across(inode: &Inode) -> Option<LockedFolio> {
    if !is_folio_across_end(inode) {
        return None;
    }
    // SAFETY: An inode keeps its mapping.
    let found = unsafe { bindings::filemap_lock_folio(inode.mapping(), page_of(inode.end())) };
    // SAFETY: The page cache gave a reference, and left its lock to us.
    let folio = unsafe { LockedFolio::from_locked(Folio::found(found).ok()?) };
    goes_on(inode, &folio).then_some(folio)
}

/// Whether `folio`, which has the end of the file, begins before it and goes on behind its block. Without its lock the
/// answer is a guess.
fn goes_on(inode: &Inode, folio: &Folio) -> bool {
    let end = inode.end();
    let range = range_of(folio);
    range.start < end && Blocks::of(inode).round_up(end) < range.end
}

/// Zeroes what the folio has behind the end of the file, and takes the dirty marks off its blocks there.
///
/// # Safety
///
/// `inode` is of `T`, `folio` is of it, not under writeback, and goes on behind the end of the file.
unsafe fn clear<T: FileData>(inode: &Inode, folio: &LockedFolio) {
    // What a mapping still has of marks would come behind ours. The next store faults, and asks for space up to the new
    // end.
    // SAFETY: The folio is locked.
    if unsafe { bindings::folio_mkclean(folio.as_ptr()) } != 0 {
        folio.mark_dirty();
    }
    let inside = bytes_before(folio, inode.end());
    let behind = folio.size().saturating_sub(inside);
    // SAFETY: These bytes are the folio's. User space may store to them, hence no reference to them.
    unsafe { ptr::write_bytes(folio.address().add(inside), 0, behind) };
    // SAFETY: The folio is locked and of a file of `T` by the function's contract.
    unsafe { write::invalidate_folio::<T>(folio.as_ptr(), inside, behind) };
}
