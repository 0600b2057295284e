// SPDX-License-Identifier: GPL-2.0

//! Parts of a write that failed, sent once more.
//!
//! C header: `include/linux/bio.h`. A part has a bio on the stack, with the memory of the one that failed: nothing is
//! allocated, so nothing can fail but the device. Who sends it waits for its end, which needs no worker.

use crate::linux::{bindings, BlockDevice, Sector};
use core::mem::MaybeUninit;
use core::ops::Range;
use kernel::error::to_result;
use latch::prelude::*;
use units::Bytes;

/// A write that has ended, parts of which can be sent again.
///
/// # Invariants
///
/// `bio` is not in flight, and had `iter` when it was sent; it stays as long as this value, and so does its memory.
pub(crate) struct Resend {
    bio: *mut bindings::bio,
    iter: bindings::bvec_iter,
}

impl Resend {
    /// # Safety
    ///
    /// The invariants of [`Resend`].
    pub(super) unsafe fn new(bio: *mut bindings::bio, iter: bindings::bvec_iter) -> Self {
        // INVARIANT: By the caller's promise.
        Self { bio, iter }
    }

    /// Sends what of the write is in `part`, whole blocks, to `sector`, and waits for its end.
    pub(crate) fn send(&self, device: &BlockDevice, sector: Sector, part: &Range<Bytes>) -> Result {
        let skip = u32::try_from(part.start.get()).map_err(|_| EFBIG)?;
        let len = u32::try_from(part.end.saturating_sub(part.start).get()).map_err(|_| EFBIG)?;
        if u64::from(self.iter.bi_size) < part.end.get() {
            return Err(EINVAL);
        }
        let mut room = MaybeUninit::<bindings::bio>::uninit();
        let bio = room.as_mut_ptr();
        // SAFETY: By the type invariant; the new bio is initialised in its place, stays there until it is back, and is given up
        // once. It has as many bytes behind `skip` as were just compared.
        unsafe {
            to_result(bindings::bio_init_clone(
                device.as_ptr(),
                bio,
                self.bio,
                bindings::GFP_NOFS,
            ))?;
            bindings::bio_set_dev(bio, device.as_ptr());
            (*bio).bi_opf = bindings::req_op_REQ_OP_WRITE | bindings::REQ_SYNC;
            (*bio).bi_iter = self.iter;
            bindings::__bio_advance(bio, skip);
            (*bio).bi_iter.bi_size = len;
            (*bio).bi_iter.bi_sector = sector.get();
            let sent = to_result(bindings::submit_bio_wait(bio));
            bindings::bio_uninit(bio);
            sent
        }
    }
}
