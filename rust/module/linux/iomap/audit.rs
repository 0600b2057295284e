// SPDX-License-Identifier: GPL-2.0

//! A file's folios compared with its delayed ranges, where the module was loaded with `audit=1`.
//!
//! C header: `include/linux/pagemap.h`

use super::{bindings, inside_file, mapping_of, of, range_of, FileData};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use latch::prelude::*;

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Compares from now on.
pub(crate) fn enable() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// Looks at every folio of the file: one that is clean has no space, or that space would be kept for ever. (That a
/// dirty one has none is no fault: it was dirtied behind the file system's back, or the end of the file is before it.)
///
/// # Safety
///
/// `inode` is a live inode of `T`; the caller holds no folio's lock.
pub(crate) unsafe fn audit<T: FileData>(inode: *mut bindings::inode) {
    if !IS_ON.load(Ordering::Relaxed) {
        return;
    }
    let mut wrong = 0u64;
    // SAFETY: By the caller's promise.
    unsafe {
        let Ok(file) = of::<T>(inode) else { return };
        each_folio((*inode).i_mapping, |folio| {
            if bindings::folio_test_dirty(folio) {
                return;
            }
            // Behind the end a truncation is at work: it gives up what writeback has passed over.
            let Range { start, end } = inside_file(inode, range_of(folio));
            if file.uncovered(start, end) != end.saturating_sub(start) {
                wrong = wrong.saturating_add(1);
            }
        });
        if wrong > 0 {
            pr_err!(
                "audit: inode {}: {wrong} clean folios have space\n",
                (*inode).i_ino
            );
        }
    }
}

/// Calls `each` for the folios of `mapping`, locked and in it.
///
/// # Safety
///
/// `mapping` is alive; the caller holds no folio's lock.
unsafe fn each_folio(
    mapping: *mut bindings::address_space,
    mut each: impl FnMut(*mut bindings::folio),
) {
    let mut next = 0;
    // SAFETY: By the caller's promise; a batch keeps its folios.
    unsafe {
        let mut batch = pin_init::zeroed();
        bindings::folio_batch_init(&mut batch);
        while bindings::filemap_get_folios(mapping, &mut next, usize::MAX, &mut batch) > 0 {
            for &folio in batch.folios.iter().take(usize::from(batch.nr)) {
                bindings::folio_lock(folio);
                if mapping_of(folio) == mapping {
                    each(folio);
                }
                bindings::folio_unlock(folio);
            }
            bindings::folio_batch_release(&mut batch);
        }
    }
}
