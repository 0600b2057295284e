// SPDX-License-Identifier: GPL-2.0

//! The bios that iomap builds for file data, on their way to the device and back.
//!
//! C headers: `include/linux/bio.h`, `include/linux/iomap.h`. Completions arrive in interrupt context; they only note
//! the result and queue a worker, which checks reads and finishes writes. What the worker needs was allocated before
//! the bio was sent.

use super::bindings;
use super::iomap::{of, FileData, WriteEnd};
use super::BlockDevice;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use kernel::error::to_result;
use kernel::page::PAGE_SIZE;
use kernel::workqueue::{impl_has_work, new_work, Work, WorkItem};
use latch::prelude::*;

/// `len` bytes of a bio's vectors as kernel memory, from `skip` bytes into the vector at `index`.
///
/// # Safety
///
/// The bio has that many bytes there: `bi_vcnt` does not count for a bio that was split off another. Its pages stay
/// allocated and hold still, or are ours alone, for as long as `each` runs; there is no high memory on the machines
/// that this module builds for.
unsafe fn segments(
    bio: *mut bindings::bio,
    mut index: usize,
    mut skip: usize,
    mut len: usize,
    each: &mut dyn FnMut(*mut bindings::folio, usize, &mut [u8]),
) {
    // SAFETY: By the caller's promise.
    let vecs = unsafe { (*bio).bi_io_vec };
    while len > 0 {
        // SAFETY: There are `len` bytes more from `skip` on. A vector's pages are contiguous but may be those of several
        // folios: each step stays within one.
        unsafe {
            let vec = &*vecs.add(index);
            let left = (vec.bv_len as usize).saturating_sub(skip);
            if left == 0 {
                skip = 0;
                index = index.saturating_add(1);
                continue;
            }
            let offset = vec.bv_offset as usize + skip;
            let page = vec.bv_page.add(offset / PAGE_SIZE);
            let folio = bindings::rbtrfs_page_folio(page);
            let address = bindings::rbtrfs_page_address(page)
                .cast::<u8>()
                .add(offset % PAGE_SIZE);
            let in_folio = bindings::rbtrfs_offset_in_folio(folio, address.cast());
            let take = bindings::folio_size(folio)
                .saturating_sub(in_folio)
                .min(left)
                .min(len);
            each(
                folio,
                in_folio,
                core::slice::from_raw_parts_mut(address, take),
            );
            len -= take;
            skip += take;
        }
    }
}

/// A read that iomap built; its sector is a logical address.
///
/// # Invariants
///
/// `bio` is a bio that iomap built for locked folios of `inode`'s mapping, not submitted, and owned by this value.
pub(crate) struct ReadBio<T: FileData> {
    bio: *mut bindings::bio,
    inode: *mut bindings::inode,
    pos: u64,
    _file: core::marker::PhantomData<T>,
}

impl<T: FileData> ReadBio<T> {
    /// # Safety
    ///
    /// The invariants of [`ReadBio`].
    pub(super) unsafe fn new(
        bio: *mut bindings::bio,
        inode: *mut bindings::inode,
        pos: u64,
    ) -> Self {
        // INVARIANT: By the caller's promise.
        Self {
            bio,
            inode,
            pos,
            _file: core::marker::PhantomData,
        }
    }

    /// The logical address of the first byte.
    pub(crate) fn logical(&self) -> u64 {
        // SAFETY: The bio is ours.
        let sector = unsafe { (*self.bio).bi_iter.bi_sector };
        sector << 9
    }

    /// Bytes to read.
    pub(crate) fn len(&self) -> u64 {
        // SAFETY: The bio is ours.
        u64::from(unsafe { (*self.bio).bi_iter.bi_size })
    }

    /// Sends the read to `sector` of `device`; [`FileData::verify`] gets `read`.
    pub(crate) fn submit(self, device: &BlockDevice, sector: u64, read: T::Read) {
        let (bio, inode, pos) = (self.bio, self.inode, self.pos);
        core::mem::forget(self);
        let done = KBox::pin_init(
            pin_init!(ReadDone::<T> { work <- new_work!("rbtrfs_read"), bio, inode, pos, read }),
            GFP_KERNEL,
        );
        match done {
            // SAFETY: The bio was ours; `bi_private` is unused until now and read by `read_end_io` alone.
            Ok(done) => unsafe {
                (*bio).bi_private = KBox::into_raw(Pin::into_inner_unchecked(done)).cast();
                (*bio).bi_end_io = Some(read_end_io::<T>);
                (*bio).bi_iter.bi_sector = sector;
                bindings::bio_set_dev(bio, device.as_ptr());
                bindings::submit_bio(bio);
            },
            // SAFETY: The bio was ours and was not sent.
            Err(error) => unsafe { end_read(bio, error) },
        }
    }

    /// Ends the read without sending it.
    pub(crate) fn fail(self, error: Error) {
        let this = ManuallyDrop::new(self);
        // SAFETY: The bio is ours and was not sent.
        unsafe { end_read(this.bio, error) }
    }
}

impl<T: FileData> Drop for ReadBio<T> {
    fn drop(&mut self) {
        // SAFETY: The bio is ours and was not sent: its folios must be unlocked.
        unsafe { end_read(self.bio, EIO) }
    }
}

/// Bytes that were added to a bio that is whole, whatever has become of them.
///
/// # Safety
///
/// `bio` was not split off another.
unsafe fn bytes_added(bio: *mut bindings::bio) -> usize {
    // SAFETY: `bi_vcnt` vectors are in use.
    let vecs =
        unsafe { core::slice::from_raw_parts((*bio).bi_io_vec, usize::from((*bio).bi_vcnt)) };
    vecs.iter()
        .fold(0, |sum: usize, vec| sum.saturating_add(vec.bv_len as usize))
}

/// Ends all of a read with an error.
///
/// # Safety
///
/// `bio` is a read bio that iomap built and that is not in flight; it is gone afterwards.
unsafe fn end_read(bio: *mut bindings::bio, error: Error) {
    // SAFETY: The folios of a read bio are locked by it.
    unsafe {
        segments(bio, 0, 0, bytes_added(bio), &mut |folio, offset, bytes| {
            bindings::iomap_finish_folio_read(folio, offset, bytes.len(), error.to_errno());
        });
        bindings::bio_put(bio);
    }
}

#[pin_data]
struct ReadDone<T: FileData> {
    #[pin]
    work: Work<ReadDone<T>>,
    bio: *mut bindings::bio,
    inode: *mut bindings::inode,
    pos: u64,
    read: T::Read,
}

// SAFETY: The bio belongs to the value; the inode outlives the locked folios of its bio.
unsafe impl<T: FileData> Send for ReadDone<T> {}
// SAFETY: Nothing is reached through a shared reference.
unsafe impl<T: FileData> Sync for ReadDone<T> {}

impl_has_work! {
    impl{T: FileData} HasWork<ReadDone<T>> for ReadDone<T> { self.work }
}

unsafe extern "C" fn read_end_io<T: FileData>(bio: *mut bindings::bio) {
    // SAFETY: `bi_private` was set by `ReadBio::submit` and is taken once.
    let done =
        unsafe { Pin::new_unchecked(KBox::from_raw((*bio).bi_private.cast::<ReadDone<T>>())) };
    // SAFETY: The inode outlives the locked folios of the bio.
    if let Ok(file) = unsafe { of::<T>(done.inode) } {
        file.queue().enqueue(done);
    }
}

impl<T: FileData> WorkItem for ReadDone<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        // SAFETY: The inode outlives the locked folios of the bio, the last of which is unlocked below.
        let Ok(file) = (unsafe { of::<T>(this.inode) }) else {
            return;
        };
        // SAFETY: The bio has completed and is ours.
        let status = to_result(unsafe { bindings::blk_status_to_errno((*this.bio).bi_status) });
        let mut offset = 0u64;
        // SAFETY: The folios are locked by this read: their memory is ours until each is finished, and the inode stays
        // until the last one is.
        unsafe {
            segments(
                this.bio,
                0,
                0,
                bytes_added(this.bio),
                &mut |folio, in_folio, bytes| {
                    let pos = this.pos.saturating_add(offset);
                    let checked = match status {
                        Ok(()) => file.verify(&this.read, pos, offset, bytes),
                        // The device gave nothing: another copy may do.
                        Err(_) => file.read_now(pos, bytes),
                    };
                    offset = offset.saturating_add(bytes.len() as u64);
                    let error = checked.err().map_or(0, |error| error.to_errno());
                    bindings::iomap_finish_folio_read(folio, in_folio, bytes.len(), error);
                },
            );
            bindings::bio_put(this.bio);
        }
    }
}

/// Where a write goes.
pub(crate) enum Destination {
    /// To this sector.
    At(u64),
    /// Behind what the zone that starts at this sector holds: the device says where.
    Append(u64),
}

/// A write that iomap built: dirty bytes under writeback that have no place yet.
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

    /// Calls `each` for the bytes to write, in order, in runs of whole blocks.
    pub(crate) fn bytes(&self, each: &mut dyn FnMut(&[u8])) {
        // SAFETY: The ioend is ours; pages under writeback hold still (the mapping asks for stable writes).
        unsafe {
            let iter = (*self.bio()).bi_iter;
            segments(
                self.bio(),
                iter.bi_idx as usize,
                bindings::rbtrfs_bio_vec_done(self.bio()) as usize,
                iter.bi_size as usize,
                &mut |_, _, bytes| each(bytes),
            );
        }
    }

    /// How many of the first `max` bytes one zone append takes: the device limits its bytes and its pieces of memory.
    /// Whole blocks of the file system.
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

    /// Sends the bytes on their way; [`FileData::written`] gets `write` when they are there.
    pub(crate) fn submit(
        self,
        device: &BlockDevice,
        destination: Destination,
        write: T::Write,
    ) -> Result {
        let done = KBox::pin_init(
            pin_init!(WriteDone::<T> {
                work <- new_work!("rbtrfs_write"),
                ioend: self.ioend,
                sector: AtomicU64::new(0),
                status: AtomicI32::new(0),
                write,
            }),
            GFP_KERNEL,
        );
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                self.end(Err(error));
                return Err(error);
            }
        };
        let bio = self.bio();
        core::mem::forget(self);
        // SAFETY: The bio was ours; `write_end_io` owns it from here.
        unsafe {
            let done = KBox::into_raw(Pin::into_inner_unchecked(done));
            (*(*done).ioend).io_private = done.cast();
            (*bio).bi_end_io = Some(write_end_io::<T>);
            bindings::bio_set_dev(bio, device.as_ptr());
            match destination {
                Destination::At(sector) => (*bio).bi_iter.bi_sector = sector,
                Destination::Append(sector) => {
                    (*bio).bi_iter.bi_sector = sector;
                    (*bio).bi_opf &= !bindings::REQ_OP_MASK;
                    (*bio).bi_opf |= bindings::req_op_REQ_OP_ZONE_APPEND;
                }
            }
            // A split bio starts where iomap's own bookkeeping says, which must agree for the completion.
            (*(*done).ioend).io_sector = (*bio).bi_iter.bi_sector;
            bindings::submit_bio(bio);
        }
        Ok(())
    }

    /// Ends the write without sending it. With an error the bytes are lost, and the file's next fsync says so.
    pub(crate) fn end(self, result: Result) {
        let this = ManuallyDrop::new(self);
        // SAFETY: The ioend was ours and not sent; ending writeback is what iomap asks for.
        unsafe { finish(this.ioend, result) }
    }
}

impl<T: FileData> Drop for Ioend<T> {
    fn drop(&mut self) {
        // SAFETY: The ioend is ours and was not sent: its folios must leave writeback.
        unsafe { finish(self.ioend, Err(EIO)) }
    }
}

/// Whether a split must respect the limits of zone append.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Append {
    /// It must.
    Yes,
    /// It need not.
    No,
}

/// Ends writeback of an ioend's folios.
///
/// # Safety
///
/// `ioend` is not in flight, and is gone afterwards.
unsafe fn finish(ioend: *mut bindings::iomap_ioend, result: Result) {
    let error = result.err().map_or(0, |error| error.to_errno());
    // SAFETY: By the caller's promise; the list of merged ioends is empty.
    unsafe { bindings::iomap_finish_ioends(ioend, error) }
}

#[pin_data]
struct WriteDone<T: FileData> {
    #[pin]
    work: Work<WriteDone<T>>,
    ioend: *mut bindings::iomap_ioend,
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
    // SAFETY: All bios with this callback are part of an ioend, whose `io_private` `Ioend::submit` set.
    unsafe {
        let ioend = bindings::iomap_ioend_from_bio(bio);
        let done = Pin::new_unchecked(KBox::from_raw((*ioend).io_private.cast::<WriteDone<T>>()));
        (*ioend).io_private = ptr::null_mut();
        done.sector
            .store((*bio).bi_iter.bi_sector, Ordering::Relaxed);
        done.status.store(
            bindings::blk_status_to_errno((*bio).bi_status),
            Ordering::Relaxed,
        );
        // The inode outlives the writeback of its folios.
        if let Ok(file) = of::<T>((*ioend).io_inode) {
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
            sector: this.sector.load(Ordering::Relaxed),
            result: to_result(this.status.load(Ordering::Relaxed)),
        };
        // SAFETY: Nothing in a `WriteDone` is pinned but the work, which is not queued any more.
        let done = KBox::into_inner(unsafe { Pin::into_inner_unchecked(this) });
        let result = file.and_then(|file| file.written(done.write, end));
        // SAFETY: The IO has completed; the ioend is ours.
        unsafe { finish(ioend, result) }
    }
}
