// SPDX-License-Identifier: GPL-2.0

//! Bytes that nobody changes any more, on their way to the device and back.
//!
//! C headers: `include/linux/bio.h`, `include/linux/iomap.h`. Completions arrive in interrupt context; they only note the
//! result and queue a worker. What the worker needs is in an [`Envelope`], allocated before anything else, and what a copy
//! of the bytes needs is in a [`CopyRoom`].

use super::end::finish;
use super::{Ioend, Pins, Resend};
use crate::linux::bio::result_of;
use crate::linux::iomap::bounce::{Bounce, Sealed};
use crate::linux::iomap::sent::{Destination, Done, Ready};
use crate::linux::iomap::{of, FileData, WriteEnd};
use crate::linux::memory::Memory;
use crate::linux::{bindings, BlockDevice, Inode, Sector};
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use kernel::workqueue::{impl_has_work, new_work, Work, WorkItem};
use latch::prelude::*;
use units::Bytes;

impl<T: FileData> Ioend<T> {
    /// Allocates what [`Self::hold_still`] takes for the first `len` bytes or, where memory is short, for fewer; tells for
    /// how many. `ENOMEM`.
    pub(crate) fn room_for_copy(&self, pins: Pins, len: Bytes) -> Result<(CopyRoom, Bytes)> {
        if pins == Pins::None {
            return Ok((CopyRoom(None), len));
        }
        // SAFETY: The bio is ours.
        let room = unsafe { Bounce::new(self.bio(), len) }?;
        let len = room.room().min(len);
        Ok((CopyRoom(Some(room)), len))
    }

    /// Sees to it that the bytes hold still until they are on the device: they do while they are under writeback, as
    /// writers and faults wait for its end, unless their pages were pinned; then they are copied to `room`, which was made
    /// for no fewer than they are.
    pub(crate) fn hold_still(self, room: CopyRoom) -> Still<T> {
        let copy = room.0.map(|mut copy| {
            self.memory(&mut |part| copy.append(part));
            copy.seal()
        });
        Still { ioend: self, copy }
    }
}

/// A write whose bytes nobody changes any more, see [`Ioend::hold_still`].
pub(crate) struct Still<T: FileData> {
    ioend: Ioend<T>,
    copy: Option<Sealed>,
}

impl<T: FileData> Still<T> {
    /// The write whose pages stay as they are.
    pub(crate) fn ioend(&self) -> &Ioend<T> {
        &self.ioend
    }

    /// Whether it is a copy that is written.
    pub(crate) fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// Calls `each` for what is written, in order.
    pub(crate) fn memory(&self, each: &mut dyn FnMut(Memory<'_>)) {
        match &self.copy {
            Some(copy) => copy.memory(each),
            None => self.ioend.memory(each),
        }
    }

    /// Sends the bytes on their way; [`FileData::written`] gets `write` when they are there.
    pub(crate) fn submit(
        self,
        device: &BlockDevice,
        destination: Destination,
        envelope: Envelope<T>,
        write: T::Write,
    ) {
        let bio = self.bio();
        let (ioend, copy) = (self.ioend.into_raw(), self.copy);
        // A split bio starts where iomap's own bookkeeping says, which must agree for the completion.
        // SAFETY: Both are ours.
        let (private, iter) = unsafe {
            (*ioend).io_sector = destination.sector().get();
            ((*bio).bi_private, (*bio).bi_iter)
        };
        let Ok(done) = envelope.0.write_pin_init(pin_init!(WriteDone::<T> {
            work <- new_work!("rbtrfs_write"),
            ioend,
            copy,
            private,
            iter,
            sector: AtomicU64::new(0),
            status: AtomicU8::new(0),
            write,
        }));
        // SAFETY: The bio was ours or belongs to the copy in `done`. What was in `bi_private` comes back before anybody wants
        // it. The inode and its folios, or the pages of a direct request, stay until `done` ends the ioend.
        unsafe { Ready::new(bio, done) }.send(device, destination);
    }

    fn bio(&self) -> *mut bindings::bio {
        match &self.copy {
            Some(copy) => copy.bio(),
            None => self.ioend.bio(),
        }
    }
}

/// Memory for a copy of a write's bytes, where they need one.
pub(crate) struct CopyRoom(Option<Bounce>);

/// Memory for the completion of a write.
pub(crate) struct Envelope<T: FileData>(KBox<MaybeUninit<WriteDone<T>>>);

impl<T: FileData> Envelope<T> {
    /// Allocates it; `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(KBox::new_uninit(GFP_KERNEL)?))
    }
}

#[pin_data]
struct WriteDone<T: FileData> {
    #[pin]
    work: Work<WriteDone<T>>,
    ioend: *mut bindings::iomap_ioend,
    copy: Option<Sealed>,
    /// What the bio's `bi_private` was: iomap's direct request.
    private: *mut kernel::ffi::c_void,
    /// What bytes the bio had.
    iter: bindings::bvec_iter,
    sector: AtomicU64,
    status: AtomicU8,
    write: T::Write,
}

// SAFETY: The ioend belongs to the value.
unsafe impl<T: FileData> Send for WriteDone<T> {}

impl_has_work! {
    impl{T: FileData} HasWork<WriteDone<T>> for WriteDone<T> { self.work }
}

impl<T: FileData> Done for WriteDone<T> {
    type File = T;

    fn inode(&self) -> *mut bindings::inode {
        // SAFETY: The ioend is this value's, which has ended nothing yet.
        unsafe { (*self.ioend).io_inode }
    }

    fn note(&self, sector: Sector, status: bindings::blk_status_t) {
        self.sector.store(sector.get(), Ordering::Relaxed);
        self.status.store(status, Ordering::Relaxed);
    }
}

impl<T: FileData> WorkItem for WriteDone<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        let ioend = this.ioend;
        // SAFETY: The inode outlives the writeback of its folios, which ends below.
        let file = of::<T>(unsafe { Inode::borrow(this.inode()) });
        let (sector, status) = (&this.sector, &this.status);
        let sector = Sector::new(sector.load(Ordering::Relaxed));
        let result = result_of(status.load(Ordering::Relaxed));
        // SAFETY: Nothing in a `WriteDone` is pinned but the work, which is not queued any more.
        let done = KBox::into_inner(unsafe { Pin::into_inner_unchecked(this) });
        // SAFETY: The ioend is ours.
        let own = unsafe { ptr::addr_of_mut!((*ioend).io_bio) };
        let bio = done.copy.as_ref().map_or(own, Sealed::bio);
        // SAFETY: The bio is back, and was sent with `iter`. It and its memory stay until `end` is gone, below.
        let resend = unsafe { Resend::new(bio, done.iter) };
        let end = WriteEnd {
            sector,
            result,
            resend,
        };
        let result = file.and_then(|file| file.written(done.write, &end));
        if done.copy.is_none() {
            // SAFETY: The IO has completed; the ioend is ours.
            unsafe { (*ioend).io_bio.bi_private = done.private };
        }
        drop((end, done.copy));
        // SAFETY: The IO has completed, nobody else has the ioend, and it is not used again.
        unsafe { finish(ioend, result) }
    }
}
