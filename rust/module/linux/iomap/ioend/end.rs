// SPDX-License-Identifier: GPL-2.0

//! The end of an ioend: of its folios' writeback, or of its part of a direct request.
//!
//! C header: `include/linux/iomap.h`

use crate::linux::bindings;
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};
use latch::prelude::*;

/// Whether an ioend is of a direct request.
///
/// # Safety
///
/// `ioend` is the caller's.
pub(super) unsafe fn is_direct(ioend: *mut bindings::iomap_ioend) -> bool {
    // SAFETY: By the caller's promise.
    u32::from(unsafe { (*ioend).io_flags }) & bindings::IOMAP_IOEND_DIRECT != 0
}

/// Ends writeback of an ioend's folios, or its part of a direct request.
///
/// # Safety
///
/// `ioend` is not in flight, and is gone afterwards.
pub(super) unsafe fn finish(ioend: *mut bindings::iomap_ioend, result: Result) {
    let error = result.err().map_or(0, |error| error.to_errno());
    // SAFETY: By the caller's promise; the list of merged ioends is empty.
    unsafe {
        match is_direct(ioend) {
            false => bindings::iomap_finish_ioends(ioend, error),
            true => end_direct(ioend, error),
        }
    }
}

/// Ends an ioend of a direct request, and with the last of those that were split off one bio, the bio. Unlike
/// `iomap_finish_ioends`, it leaves it to iomap where the request is completed: what must be synced is not synced by a
/// worker of the queue that the sync waits for.
///
/// # Safety
///
/// `ioend` is one of a direct request, not in flight, and is gone afterwards.
unsafe fn end_direct(ioend: *mut bindings::iomap_ioend, error: i32) {
    // SAFETY: By the caller's promise.
    let ioend = unsafe { into_parent(ioend) };
    // SAFETY: The parent stays until all that was split off it is done, and everybody reaches both fields atomically.
    let (first, left) = unsafe {
        let first = AtomicI32::from_ptr(ptr::addr_of_mut!((*ioend).io_error));
        let left = AtomicI32::from_ptr(ptr::addr_of_mut!((*ioend).io_remaining.counter));
        (first, left)
    };
    if error != 0 {
        let _ = first.compare_exchange(0, error, Ordering::Relaxed, Ordering::Relaxed);
    }
    if left.fetch_sub(1, Ordering::AcqRel) != 1 {
        return;
    }
    let error = first.load(Ordering::Relaxed);
    // SAFETY: This was the last part: the parent's bio is ours to end.
    unsafe {
        let bio = ptr::addr_of_mut!((*ioend).io_bio);
        (*bio).bi_status = bindings::errno_to_blk_status(error);
        bindings::iomap_dio_bio_end_io(bio);
    }
}

/// What an ioend was split off, or the ioend itself. A part that was split off is gone afterwards.
///
/// # Safety
///
/// The contract of [`end_direct`].
unsafe fn into_parent(ioend: *mut bindings::iomap_ioend) -> *mut bindings::iomap_ioend {
    // SAFETY: By the caller's promise.
    let parent = unsafe { (*ioend).io_parent };
    if parent.is_null() {
        return ioend;
    }
    // SAFETY: By the caller's promise the part is done, and its bio the last that is left of it.
    unsafe { bindings::bio_put(ptr::addr_of_mut!((*ioend).io_bio)) };
    parent
}
