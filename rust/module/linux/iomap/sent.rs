// SPDX-License-Identifier: GPL-2.0

//! Bios of data on their way to the device, each with what is to be done when it is back.
//!
//! C header: `include/linux/bio.h`. A bio ends in interrupt context: there only its status is noted, and a worker queued.

use super::{bindings, of, FileData};
use crate::linux::{BlockDevice, Inode, Sector};
use core::pin::Pin;
use kernel::workqueue::{HasWork, WorkItem};
use latch::prelude::*;

/// Where a bio goes.
pub(crate) enum Destination {
    /// The bio goes to this sector.
    At(Sector),
    /// The bio goes behind what the zone that starts at this sector holds: the device says where.
    Append(Sector),
}

/// What is to be done in a worker when a bio is back.
pub(super) trait Done:
    Sized + WorkItem<Pointer = Pin<KBox<Self>>> + HasWork<Self> + Send + 'static
{
    /// The kind of file.
    type File: FileData;

    /// The file, which outlives what is to be done.
    fn inode(&self) -> *mut bindings::inode;
    /// Notes where the bio went and how it ended, in interrupt context.
    fn note(&self, _sector: Sector, _status: bindings::blk_status_t) {}
}

impl Destination {
    /// The sector that the bio names.
    pub(super) fn sector(&self) -> Sector {
        let (Self::At(sector) | Self::Append(sector)) = *self;
        sector
    }
}

/// A bio that knows what is to be done when it is back.
///
/// # Invariants
///
/// The bio is this value's and not in flight, and [`Ready::new`] has set its `bi_private` and `bi_end_io`.
#[must_use = "who waits for the bio waits for ever"]
pub(super) struct Ready(*mut bindings::bio);

impl Ready {
    /// # Safety
    ///
    /// The bio is the caller's, not in flight, and this value's until it is back, with its `bi_private` and `bi_end_io`. Its
    /// memory stays until then, and the inode of `done` until that is done.
    pub(super) unsafe fn new<D: Done>(bio: *mut bindings::bio, done: Pin<KBox<D>>) -> Self {
        // SAFETY: By the function's contract; the value stays pinned until `end` takes it.
        unsafe {
            (*bio).bi_private = KBox::into_raw(Pin::into_inner_unchecked(done)).cast();
            (*bio).bi_end_io = Some(end::<D>);
        }
        // INVARIANT: By the function's contract, and just set.
        Self(bio)
    }

    /// Sends the bio on its way.
    pub(super) fn send(self, device: &BlockDevice, destination: Destination) {
        let bio = self.0;
        // SAFETY: By the type invariant; from here the bio is the block layer's, until `end` gets it back.
        unsafe {
            bindings::bio_set_dev(bio, device.as_ptr());
            (*bio).bi_iter.bi_sector = destination.sector().get();
            if let Destination::Append(_) = destination {
                (*bio).bi_opf &= !bindings::REQ_OP_MASK;
                (*bio).bi_opf |= bindings::req_op_REQ_OP_ZONE_APPEND;
            }
            bindings::submit_bio(bio);
        }
    }

    /// Sends it nowhere: it is back at once, as if the device had failed, and what is to be done is done.
    pub(super) fn send_nowhere(self) {
        // SAFETY: By the type invariant; the bio ends here, once.
        unsafe {
            (*self.0).bi_status = bindings::errno_to_blk_status(EIO.to_errno());
            bindings::bio_endio(self.0);
        }
    }
}

unsafe extern "C" fn end<D: Done>(bio: *mut bindings::bio) {
    // SAFETY: The bio is back, and stays until what is to be done has begun.
    let (sector, status) = unsafe { ((*bio).bi_iter.bi_sector, (*bio).bi_status) };
    // SAFETY: The bio is back; `Ready::new` put the value there, pinned, and it is taken once.
    let done = unsafe { Pin::new_unchecked(KBox::from_raw((*bio).bi_private.cast::<D>())) };
    done.note(Sector::new(sector), status);
    // SAFETY: By the contract of `Ready::new`.
    if let Ok(file) = of::<D::File>(unsafe { Inode::borrow(done.inode()) }) {
        file.queue().enqueue(done);
    }
}
