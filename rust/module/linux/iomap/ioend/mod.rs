// SPDX-License-Identifier: GPL-2.0

//! Runs of bytes under writeback, from iomap's hands to the end of their folios' writeback.
//!
//! C header: `include/linux/iomap.h`. An [`Ioend`] has no place yet. [`Ioend::hold_still`] makes it a [`Still`], whose
//! bytes nobody changes: that is what is checksummed and sent.
//!
//! | module    | what it has                                                    |
//! |-----------|----------------------------------------------------------------|
//! | [`still`] | bytes that nobody changes, on their way to the device          |
//! | [`resend`] | parts of a write that failed, sent once more                  |
//! | [`end`]   | the end of writeback, or of a part of a direct request         |
//!
//! Here: bytes that have no place yet.

pub(crate) use super::bounce::MAX_BYTES as MAX_COPY;
use super::segments::{segments, Segment};
use super::{bindings, mark_all_dirty, of, FileData, Goal};
use crate::linux::loff::position;
use crate::linux::memory::Memory;
use crate::linux::{Folio, Inode, Sector};
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr;
use latch::prelude::*;
use units::{Bytes, FileOffset};

mod end;
mod resend;
mod still;

pub(crate) use super::sent::Destination;
use end::{finish, is_direct};
pub(crate) use resend::Resend;
pub(crate) use still::{CopyRoom, Envelope, Still};

/// Whether a split must respect the limits of zone append.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Append {
    /// The ioend must respect them.
    Yes,
    /// The ioend need not respect them.
    No,
}

/// Whether pages of a write were pinned when it was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pins {
    /// A folio of it was.
    Some,
    /// None of them was.
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

    /// The C object, which is no longer this value's.
    fn into_raw(self) -> *mut bindings::iomap_ioend {
        ManuallyDrop::new(self).ioend
    }

    fn bio(&self) -> *mut bindings::bio {
        // SAFETY: The ioend is ours.
        unsafe { ptr::addr_of_mut!((*self.ioend).io_bio) }
    }

    /// The file position of the first byte.
    pub(crate) fn pos(&self) -> FileOffset {
        // SAFETY: The ioend is ours.
        position(unsafe { (*self.ioend).io_offset })
    }

    /// Where the bytes go.
    pub(crate) fn goal(&self) -> Goal {
        // SAFETY: The ioend is ours.
        let flags = unsafe { (*self.ioend).io_flags };
        match u32::from(flags) & bindings::IOMAP_IOEND_UNWRITTEN {
            0 => Goal::New,
            _ => Goal::Unwritten,
        }
    }

    /// Bytes to write: whole blocks.
    pub(crate) fn len(&self) -> Bytes {
        // SAFETY: The ioend is ours.
        Bytes::from(unsafe { (*self.ioend).io_bio.bi_iter.bi_size })
    }

    /// Where in the file the bytes to write are.
    pub(crate) fn range(&self) -> Range<FileOffset> {
        let start = self.pos();
        start..start.saturating_add(self.len())
    }

    /// The end of what the user wrote: at most `pos + len`, the end of file when the writeback began.
    pub(crate) fn user_end(&self) -> FileOffset {
        // SAFETY: The ioend is ours.
        let size = Bytes::new(unsafe { (*self.ioend).io_size as u64 });
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
    /// The contract of [`segments`]; all pages of an ioend stay allocated until its writeback ends.
    unsafe fn segments(&self, each: &mut dyn FnMut(Segment)) {
        let bio = self.bio();
        // SAFETY: By the caller's promise; what was done of the bio is skipped.
        unsafe {
            let iter = (*bio).bi_iter;
            let (index, skip) = (iter.bi_idx as usize, bindings::rbtrfs_bio_vec_done(bio));
            segments(bio, index, skip as usize, iter.bi_size as usize, each);
        }
    }

    /// How many of the first `max` bytes one zone append takes: the device limits its bytes and its pieces of memory.
    /// Whole blocks of `block`.
    pub(crate) fn append_len(&self, max: Bytes, block: Bytes) -> Result<Bytes> {
        let max = u32::try_from(max.get()).unwrap_or(u32::MAX);
        let mut segments = 0;
        // SAFETY: The bio is ours, and has its device since iomap made it.
        let sectors = unsafe {
            let limits = bindings::bdev_limits((*self.bio()).bi_bdev);
            bindings::bio_split_rw_at(self.bio(), limits, &mut segments, max)
        };
        let bytes = match u64::try_from(sectors) {
            Err(_) => return Err(Error::from_errno(sectors)),
            Ok(0) => self.len(), // no split is needed
            Ok(sectors) => Sector::bytes(sectors),
        };
        match bytes.round_down(block) {
            Bytes::ZERO => Err(EIO),
            bytes => Ok(bytes),
        }
    }

    /// Splits off the first `max` bytes, or fewer where `append` and the device's limits for zone append ask for it.
    /// `None`: all of it is within the limits.
    pub(crate) fn split(&mut self, max: Bytes, append: Append) -> Result<Option<Ioend<T>>> {
        let max = u32::try_from(max.get()).unwrap_or(u32::MAX);
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
        // SAFETY: The ioend is ours; its folios stay as long as they are under writeback.
        unsafe {
            if !is_direct(self.ioend) {
                self.segments(&mut |part| pinned |= Folio::borrow(part.folio).may_be_pinned());
            }
        }
        match pinned {
            true => Pins::Some,
            false => Pins::None,
        }
    }

    /// Ends the write without sending it: the bytes have reached their place in another way.
    pub(crate) fn end(self) {
        // SAFETY: The ioend was ours and not sent; ending writeback is what iomap asks for.
        unsafe { finish(self.into_raw(), Ok(())) }
    }

    /// Ends the write without sending it: the bytes are lost, and the file's next fsync says so.
    pub(crate) fn fail(self, error: Error) {
        // SAFETY: As in `end`.
        unsafe { finish(self.into_raw(), Err(error)) }
    }

    /// Makes the bytes dirty again while they are still under writeback. All of their folios becomes so, as iomap has it;
    /// what of that has no reservation is mended as what was dirtied behind the file system's back.
    pub(crate) fn dirty_again(&self) {
        // SAFETY: The ioend is ours; its folios are of one of our files, and under writeback.
        unsafe { self.segments(&mut |part| mark_all_dirty(Folio::borrow(part.folio))) };
    }
}

impl<T: FileData> Drop for Ioend<T> {
    fn drop(&mut self) {
        // SAFETY: The inode outlives the writeback of its folios, and a direct request to it, which ends below.
        if let Ok(file) = of::<T>(unsafe { Inode::borrow((*self.ioend).io_inode) }) {
            file.lost(&self.range(), EIO);
        }
        // SAFETY: The ioend is ours and was not sent: its folios must leave writeback.
        unsafe { finish(self.ioend, Err(EIO)) }
    }
}
