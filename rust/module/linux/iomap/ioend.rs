// SPDX-License-Identifier: GPL-2.0

//! Runs of bytes under writeback, from iomap's hands to the end of their folios' writeback.
//!
//! C header: `include/linux/iomap.h`. An [`Ioend`] has no place yet. [`Ioend::hold_still`] makes it a [`Still`], whose
//! bytes nobody changes: that is what is checksummed and sent. Completions arrive in interrupt context; they only note
//! the result and queue a worker. What the worker needs is in an [`Envelope`], allocated before anything else,
//! and what a copy of the bytes needs is in a [`CopyRoom`].

use super::bounce::Bounce;
pub(crate) use super::bounce::MAX_BYTES as MAX_COPY;
use super::direct::end_ioend;
use super::segments::segments;
use super::{bindings, of, FileData, WriteEnd};
use crate::linux::memory::Memory;
use crate::linux::{BlockDevice, Sector};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use kernel::error::to_result;
use kernel::workqueue::{impl_has_work, new_work, Work, WorkItem};
use latch::prelude::*;

/// Where a write goes.
pub(crate) enum Destination {
    /// To this sector.
    At(Sector),
    /// Behind what the zone that starts at this sector holds: the device says where.
    Append(Sector),
}

/// Whether a split must respect the limits of zone append.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Append {
    /// It must.
    Yes,
    /// It need not.
    No,
}

/// Whether pages of a write were pinned when it was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pins {
    /// One was.
    Some,
    /// None was.
    None,
}

/// A write that iomap built: bytes under writeback that have no place yet.
///
/// # Invariants
///
/// `ioend` is an ioend of a file of `T` that was not submitted, and belongs to this value.
pub(crate) struct Ioend<T: FileData> {
    ioend: *mut bindings::iomap_ioend,
    _file: core::marker::PhantomData<T>,
}

impl<T: FileData> Ioend<T> {
    /// # Safety
    ///
    /// The invariants of [`Ioend`].
    pub(super) unsafe fn new(ioend: *mut bindings::iomap_ioend) -> Self {
        // The file system has its own line in the log for an error.
        // SAFETY: By the caller's promise the bio is the caller's alone.
        unsafe { (*ioend).io_bio.bi_flags |= 1 << bindings::BIO_QUIET };
        // INVARIANT: By the caller's promise.
        Self {
            ioend,
            _file: core::marker::PhantomData,
        }
    }

    fn bio(&self) -> *mut bindings::bio {
        // SAFETY: The ioend is ours.
        unsafe { ptr::addr_of_mut!((*self.ioend).io_bio) }
    }

    /// The file position of the first byte.
    pub(crate) fn pos(&self) -> u64 {
        // SAFETY: The ioend is ours.
        unsafe { (*self.ioend).io_offset as u64 }
    }

    /// Bytes to write: whole blocks.
    pub(crate) fn len(&self) -> u64 {
        // SAFETY: The ioend is ours.
        u64::from(unsafe { (*self.bio()).bi_iter.bi_size })
    }

    /// The end of what the user wrote: at most `pos + len`, the end of file when the writeback began.
    pub(crate) fn user_end(&self) -> u64 {
        // SAFETY: The ioend is ours.
        let size = unsafe { (*self.ioend).io_size as u64 };
        self.pos().saturating_add(size.min(self.len()))
    }

    /// Calls `each` for the memory of the bytes to write, in order. It may change as long as they are not held still.
    pub(crate) fn memory(&self, each: &mut dyn FnMut(Memory<'_>)) {
        // SAFETY: The ioend is ours; its pages stay as long as they are under writeback, and `each` keeps no `Memory`.
        unsafe {
            self.segments(&mut |part| each(Memory::new(part.at, part.len)));
        }
    }

    /// # Safety
    ///
    /// As of [`segments`]; all pages of an ioend stay allocated until its writeback ends.
    unsafe fn segments(&self, each: &mut dyn FnMut(super::segments::Segment)) {
        // SAFETY: By the caller's promise; what was done of the bio is skipped.
        unsafe {
            let iter = (*self.bio()).bi_iter;
            segments(
                self.bio(),
                iter.bi_idx as usize,
                bindings::rbtrfs_bio_vec_done(self.bio()) as usize,
                iter.bi_size as usize,
                each,
            );
        }
    }

    /// How many of the first `max` bytes one zone append takes: the device limits its bytes and its pieces of memory.
    /// Whole blocks of `block` bytes.
    pub(crate) fn append_len(&self, max: u64, block: u64) -> Result<u64> {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let mut segments = 0;
        // SAFETY: The bio is ours, and has its device since iomap made it.
        let sectors = unsafe {
            let limits = bindings::bdev_limits((*self.bio()).bi_bdev);
            bindings::bio_split_rw_at(self.bio(), limits, &mut segments, max)
        };
        let bytes = match u64::try_from(sectors) {
            Err(_) => return Err(Error::from_errno(sectors)),
            Ok(0) => self.len(), // no split is needed
            Ok(sectors) => sectors.saturating_mul(512),
        };
        bytes
            .checked_div(block)
            .map(|blocks| blocks.saturating_mul(block))
            .filter(|bytes| *bytes > 0)
            .ok_or(EIO)
    }

    /// Splits off the first `max` bytes, or fewer where `append` and the device's limits for zone append ask for it.
    /// `None`: all of it is within the limits.
    pub(crate) fn split(&mut self, max: u64, append: Append) -> Result<Option<Ioend<T>>> {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        // SAFETY: The ioend is ours, and still a plain write as the function asks.
        let front = unsafe { bindings::iomap_split_ioend(self.ioend, max, append == Append::Yes) };
        let front = kernel::error::from_err_ptr(front)?;
        if front.is_null() {
            return Ok(None);
        }
        // SAFETY: A split ioend is one of its own, and now ours.
        Ok(Some(unsafe { Ioend::new(front) }))
    }

    /// Whether somebody may write the bytes without a fault: a page of theirs is pinned (`pin_user_pages`). Where that
    /// matters for a direct request, iomap has copied them (`IOMAP_DIO_BOUNCE`).
    ///
    /// Asked once for a piece, before its length is chosen: who pins a page to write it later than this faults first, and
    /// waits for the end of writeback, as the mapping asks for stable writes; who pins it to read may come at any time.
    pub(crate) fn pins(&self) -> Pins {
        let mut pinned = false;
        // SAFETY: The ioend is ours.
        unsafe {
            if !is_direct(self.ioend) {
                self.segments(&mut |part| pinned |= bindings::folio_maybe_dma_pinned(part.folio));
            }
        }
        match pinned {
            true => Pins::Some,
            false => Pins::None,
        }
    }

    /// Allocates what [`Self::hold_still`] takes for the first `len` bytes or, where memory is short, for fewer; tells for
    /// how many. `ENOMEM`.
    pub(crate) fn room_for_copy(&self, pins: Pins, len: u64) -> Result<(CopyRoom, u64)> {
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
            copy.seal();
            copy
        });
        Still { ioend: self, copy }
    }

    /// Ends the write without sending it: the bytes have reached their place in another way.
    pub(crate) fn end(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: The ioend was ours and not sent; ending writeback is what iomap asks for.
        unsafe { finish(this.ioend, Ok(())) }
    }

    /// Ends the write without sending it: the bytes are lost, and the file's next fsync says so.
    pub(crate) fn fail(self, error: Error) {
        let this = ManuallyDrop::new(self);
        // SAFETY: As in `end`.
        unsafe { finish(this.ioend, Err(error)) }
    }

    /// Makes the bytes dirty again while they are still under writeback. All of their folios becomes so, as iomap has it;
    /// what of that has no reservation is mended as what was dirtied behind the file system's back.
    pub(crate) fn dirty_again(&self) {
        // SAFETY: The ioend is ours; folios under writeback stay in their mapping.
        unsafe {
            self.segments(&mut |part| {
                bindings::iomap_dirty_folio(super::mapping_of(part.folio), part.folio);
            });
        }
    }
}

impl<T: FileData> Drop for Ioend<T> {
    fn drop(&mut self) {
        // SAFETY: The ioend is ours and was not sent: its folios must leave writeback.
        unsafe { finish(self.ioend, Err(EIO)) }
    }
}

/// A write whose bytes nobody changes any more, see [`Ioend::hold_still`].
pub(crate) struct Still<T: FileData> {
    ioend: Ioend<T>,
    copy: Option<Bounce>,
}

impl<T: FileData> Still<T> {
    /// The write.
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
        let (ioend, bio) = (self.ioend.ioend, self.bio());
        let copy = self.copy;
        core::mem::forget(self.ioend);
        let Ok(done) = envelope.0.write_pin_init(pin_init!(WriteDone::<T> {
            work <- new_work!("rbtrfs_write"),
            ioend,
            copy,
            // SAFETY: The bio is ours.
            private: unsafe { (*bio).bi_private },
            sector: AtomicU64::new(0),
            status: AtomicI32::new(0),
            write,
        }));
        // SAFETY: The bio is ours or belongs to the copy in `done`: `write_end_io` owns both from here. What was in
        // `bi_private` comes back before anybody wants it.
        unsafe {
            (*bio).bi_private = KBox::into_raw(Pin::into_inner_unchecked(done)).cast();
            (*bio).bi_end_io = Some(write_end_io::<T>);
            bindings::bio_set_dev(bio, device.as_ptr());
            match destination {
                Destination::At(sector) => (*bio).bi_iter.bi_sector = sector.get(),
                Destination::Append(sector) => {
                    (*bio).bi_iter.bi_sector = sector.get();
                    (*bio).bi_opf &= !bindings::REQ_OP_MASK;
                    (*bio).bi_opf |= bindings::req_op_REQ_OP_ZONE_APPEND;
                }
            }
            // A split bio starts where iomap's own bookkeeping says, which must agree for the completion.
            (*ioend).io_sector = (*bio).bi_iter.bi_sector;
            bindings::submit_bio(bio);
        }
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

/// Whether an ioend is of a direct request.
///
/// # Safety
///
/// `ioend` is the caller's.
unsafe fn is_direct(ioend: *mut bindings::iomap_ioend) -> bool {
    // SAFETY: By the caller's promise.
    u32::from(unsafe { (*ioend).io_flags }) & bindings::IOMAP_IOEND_DIRECT != 0
}

/// Ends writeback of an ioend's folios, or its part of a direct request.
///
/// # Safety
///
/// `ioend` is not in flight, and is gone afterwards.
unsafe fn finish(ioend: *mut bindings::iomap_ioend, result: Result) {
    let error = result.err().map_or(0, |error| error.to_errno());
    // SAFETY: By the caller's promise; the list of merged ioends is empty.
    unsafe {
        match is_direct(ioend) {
            false => bindings::iomap_finish_ioends(ioend, error),
            true => end_ioend(ioend, error),
        }
    }
}

#[pin_data]
struct WriteDone<T: FileData> {
    #[pin]
    work: Work<WriteDone<T>>,
    ioend: *mut bindings::iomap_ioend,
    copy: Option<Bounce>,
    /// What the bio's `bi_private` was: iomap's direct request.
    private: *mut kernel::ffi::c_void,
    sector: AtomicU64,
    status: AtomicI32,
    write: T::Write,
}

// SAFETY: The ioend belongs to the value.
unsafe impl<T: FileData> Send for WriteDone<T> {}
// SAFETY: Only the atomics are reached through a shared reference.
unsafe impl<T: FileData> Sync for WriteDone<T> {}

impl_has_work! {
    impl{T: FileData} HasWork<WriteDone<T>> for WriteDone<T> { self.work }
}

unsafe extern "C" fn write_end_io<T: FileData>(bio: *mut bindings::bio) {
    // SAFETY: `bi_private` of all bios with this callback was set by `Still::submit`, and is taken once.
    unsafe {
        let done = Pin::new_unchecked(KBox::from_raw((*bio).bi_private.cast::<WriteDone<T>>()));
        done.sector
            .store((*bio).bi_iter.bi_sector, Ordering::Relaxed);
        done.status.store(
            bindings::blk_status_to_errno((*bio).bi_status),
            Ordering::Relaxed,
        );
        // The inode outlives the writeback of its folios.
        if let Ok(file) = of::<T>((*done.ioend).io_inode) {
            file.queue().enqueue(done);
        }
    }
}

impl<T: FileData> WorkItem for WriteDone<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        let ioend = this.ioend;
        // SAFETY: The inode outlives the writeback of its folios, which ends below.
        let file = unsafe { of::<T>((*ioend).io_inode) };
        let end = WriteEnd {
            sector: Sector::new(this.sector.load(Ordering::Relaxed)),
            result: to_result(this.status.load(Ordering::Relaxed)),
        };
        // SAFETY: Nothing in a `WriteDone` is pinned but the work, which is not queued any more.
        let done = KBox::into_inner(unsafe { Pin::into_inner_unchecked(this) });
        // SAFETY: The IO has completed; the ioend is ours.
        unsafe {
            if done.copy.is_none() {
                (*ioend).io_bio.bi_private = done.private;
            }
        }
        drop(done.copy);
        let result = file.and_then(|file| file.written(done.write, end));
        // SAFETY: As above.
        unsafe { finish(ioend, result) }
    }
}
