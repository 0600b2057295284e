// SPDX-License-Identifier: GPL-2.0

//! The pool that requests for metadata come from.
//!
//! C header: `include/linux/bio.h`

use crate::linux::bindings as b;
use crate::linux::single::{Single, Taken};
use kernel::error::to_result;
use kernel::ffi::{c_int, c_uint};
use latch::prelude::*;

/// How many requests can be had when there is no memory: one is enough, as each is sent before its task asks for another.
const RESERVE: c_uint = b::BIO_POOL_SIZE;

/// The pool stands in static memory: the kernel links it into lists of its own.
static SLOT: Single<b::bio_set> = Single::new();

/// The requests for metadata, of all volumes: apart from those for data, as a task that has one of these in hand, not
/// sent yet, may have to read metadata before it can go on. Who asks one pool twice may wait for himself.
///
/// # Invariants
///
/// The pool in `SLOT` was made.
pub(in crate::linux) struct MetadataPool {
    _taken: Taken<b::bio_set>,
}

impl MetadataPool {
    /// Makes the pool. `EBUSY` if there is one, `ENOMEM` without memory for its reserve.
    pub(in crate::linux) fn new() -> Result<Self> {
        let taken = SLOT.take()?;
        let flags = b::BIOSET_NEED_BVECS as c_int;
        // SAFETY: The slot is taken, it is zeroed or was left by `bioset_exit`, and it never moves.
        to_result(unsafe { b::bioset_init(SLOT.as_ptr(), RESERVE, 0, flags) })?;
        // INVARIANT: It was made.
        Ok(Self { _taken: taken })
    }

    /// The pool, for the requests of a device that a mount has open. There is one then: it outlives all mounts.
    pub(super) fn get() -> *mut b::bio_set {
        SLOT.as_ptr()
    }
}

impl Drop for MetadataPool {
    fn drop(&mut self) {
        // SAFETY: By the type invariant there is a pool; nothing is mounted any more, so no request of it is left.
        unsafe { b::bioset_exit(SLOT.as_ptr()) };
    }
}
