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

use super::{bindings, range_of, write, Blocks, FileData, Tables};
use crate::linux::{Folio, LockedFolio};
use core::ptr::{self, NonNull};
use kernel::error::from_err_ptr;
use kernel::sync::aref::ARef;

impl<T: FileData> Tables<T> {
    /// Calls `raise`, which may make the file longer, with nothing left behind its end in the page cache. A writer, whose
    /// size iomap raises later, passes an empty `raise`: a store to the folio in between, through a mapping, may leave
    /// zeroes where the file could have a hole, and no more.
    ///
    /// # Safety
    ///
    /// `inode` is a live inode of `T`, locked exclusively, with no direct write under way that makes it longer; the caller
    /// holds no folio's lock. `raise` takes none, and does not wait.
    pub(crate) unsafe fn clear_behind_end(inode: *mut bindings::inode, raise: impl FnOnce()) {
        // SAFETY: By the caller's promise.
        match unsafe { lock_across(inode) } {
            None => raise(),
            Some(folio) => {
                // Its bytes hold still until then, and so do their checksums.
                folio.wait_writeback();
                // SAFETY: The folio is of `inode`, goes on behind its end, and writeback of it begins under its lock only.
                unsafe { clear::<T>(inode, &folio) };
                raise();
            }
        }
    }
}

/// Whether the page cache has a folio that goes on behind the block with the end of the file.
///
/// # Safety
///
/// `inode` is alive; the caller has it locked.
pub(crate) unsafe fn is_folio_across_end(inode: *mut bindings::inode) -> bool {
    // SAFETY: By the caller's promise.
    unsafe {
        if (*(*inode).i_mapping).nrpages == 0 {
            return false;
        }
        let found = bindings::filemap_get_folio((*inode).i_mapping, index_of_end(inode));
        // The folio may be split or go meanwhile: who locks it looks again.
        owned(found).is_some_and(|folio| goes_on(inode, &folio))
    }
}

/// The folio that goes on behind the block with the end of the file, locked. Most files have none, and those that grow by
/// a block at a time have only small ones there.
///
/// # Safety
///
/// As for [`Tables::clear_behind_end`].
unsafe fn lock_across(inode: *mut bindings::inode) -> Option<LockedFolio> {
    // SAFETY: By the caller's promise.
    if unsafe { !is_folio_across_end(inode) } {
        return None;
    }
    // SAFETY: By the caller's promise: an inode keeps its mapping.
    let found = unsafe { bindings::filemap_lock_folio((*inode).i_mapping, index_of_end(inode)) };
    // SAFETY: The page cache gave a reference, and left its lock to us.
    let folio = unsafe { LockedFolio::from_locked(owned(found)?) };
    // SAFETY: By the caller's promise.
    unsafe { goes_on(inode, &folio) }.then_some(folio)
}

/// # Safety
///
/// `inode` is alive.
unsafe fn index_of_end(inode: *mut bindings::inode) -> usize {
    // SAFETY: By the caller's promise.
    let size = unsafe { bindings::i_size_read(inode) };
    size as usize >> bindings::PAGE_SHIFT
}

/// Takes over the reference of what the page cache found.
///
/// # Safety
///
/// `found` is an answer of the page cache: an error, or a folio with a reference for the caller.
unsafe fn owned(found: *mut bindings::folio) -> Option<ARef<Folio>> {
    let folio = NonNull::new(from_err_ptr(found).ok()?)?;
    // SAFETY: By the caller's promise.
    Some(unsafe { ARef::from_raw(folio.cast()) })
}

/// Whether `folio`, which has the end of the file, begins before it and goes on behind its block.
///
/// # Safety
///
/// `inode` is alive.
unsafe fn goes_on(inode: *mut bindings::inode, folio: &Folio) -> bool {
    // SAFETY: By the caller's promise; the folio is referenced, and without its lock its range is a guess, not a danger.
    unsafe {
        let size = bindings::i_size_read(inode) as u64;
        let range = range_of(folio.as_ptr());
        range.start < size && Blocks::of(inode).round_up(size) < range.end
    }
}

/// Zeroes what the folio has behind the end of the file, and takes the dirty marks off its blocks there.
///
/// # Safety
///
/// `inode` is a live inode of `T`, `folio` is of it, not under writeback, and goes on behind the end of the file.
unsafe fn clear<T: FileData>(inode: *mut bindings::inode, folio: &LockedFolio) {
    let at = folio.as_ptr();
    // SAFETY: By the caller's promise. User space may store to these bytes, hence no reference to them.
    unsafe {
        // What a mapping still has of marks would come behind ours. The next store faults, and asks for space up to the
        // new end.
        if bindings::folio_mkclean(at) != 0 {
            folio.mark_dirty();
        }
        let inside = (bindings::i_size_read(inode) as u64).saturating_sub(range_of(at).start);
        let inside = usize::try_from(inside)
            .unwrap_or(usize::MAX)
            .min(folio.size());
        let behind = folio.size().saturating_sub(inside);
        ptr::write_bytes(folio.address().add(inside), 0, behind);
        write::invalidate_folio::<T>(at, inside, behind);
    }
}
