// SPDX-License-Identifier: GPL-2.0

//! The pool that requests for metadata come from.
//!
//! C header: `include/linux/bio.h`

use crate::linux::bindings as b;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::error::to_result;
use kernel::ffi::{c_int, c_uint};
use latch::prelude::*;

/// How many requests can be had when there is no memory: one is enough, as each is sent before its task asks for another.
const RESERVE: c_uint = b::BIO_POOL_SIZE;

/// Where the pool stands, which the kernel links into lists of its own.
///
/// # Invariants
///
/// Only the [`MetadataPool`] that set `TAKEN` makes it and takes it away.
struct Slot(UnsafeCell<b::bio_set>);

// SAFETY: By the type invariant; what else uses the pool is C code that locks it.
unsafe impl Sync for Slot {}

static SLOT: Slot = Slot(UnsafeCell::new(pin_init::zeroed()));
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The requests for metadata, of all volumes: apart from those for data, as a task that has one of these in hand, not
/// sent yet, may have to read metadata before it can go on. Who asks one pool twice may wait for himself.
///
/// # Invariants
///
/// `TAKEN` is set, and the pool in `SLOT` was made.
pub(in crate::linux) struct MetadataPool(());

impl MetadataPool {
    /// Makes the pool. `EBUSY` if there is one, `ENOMEM` without memory for its reserve.
    pub(in crate::linux) fn new() -> Result<Self> {
        if TAKEN.swap(true, Ordering::Acquire) {
            return Err(EBUSY);
        }
        let flags = b::BIOSET_NEED_BVECS as c_int;
        // SAFETY: `TAKEN` makes the slot ours, it is zeroed or was left by `bioset_exit`, and it never moves.
        let made = to_result(unsafe { b::bioset_init(SLOT.0.get(), RESERVE, 0, flags) });
        if let Err(error) = made {
            TAKEN.store(false, Ordering::Release);
            return Err(error);
        }
        // INVARIANT: Both were done.
        Ok(Self(()))
    }

    /// The pool, for the requests of a device that a mount has open. There is one then: it outlives all mounts.
    pub(super) fn get() -> *mut b::bio_set {
        SLOT.0.get()
    }
}

impl Drop for MetadataPool {
    fn drop(&mut self) {
        // SAFETY: By the type invariant there is a pool; nothing is mounted any more, so no request of it is left.
        unsafe { b::bioset_exit(SLOT.0.get()) };
        TAKEN.store(false, Ordering::Release);
    }
}
