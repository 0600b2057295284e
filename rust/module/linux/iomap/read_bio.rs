// SPDX-License-Identifier: GPL-2.0

//! The bios that iomap builds for reads into the page cache, on their way to the device and back.
//!
//! C headers: `include/linux/bio.h`, `include/linux/iomap.h`. Completions arrive in interrupt context; they only
//! queue a worker, which checks what was read. What the worker needs was allocated before the bio was sent.
//!
//! The memory of a read is the read's alone: its folios are locked, and nobody maps or copies from blocks that are not
//! up to date.

use super::segments::{bytes_added, segments, Segment};
use super::sent::{Destination, Done, Ready};
use super::{bindings, of, Blocks, FileData};
use crate::linux::bio::result_of;
use crate::linux::{BlockDevice, Inode, Sector};
use core::mem::ManuallyDrop;
use core::pin::Pin;
use kernel::workqueue::{impl_has_work, new_work, Work, WorkItem};
use latch::prelude::*;
use units::{Bytes, FileOffset, Logical};

/// A read that iomap built; its sector is a logical address.
///
/// # Invariants
///
/// `bio` is a bio that iomap built for locked folios of `inode`'s mapping, not submitted, and owned by this value.
pub(crate) struct ReadBio<T: FileData> {
    bio: *mut bindings::bio,
    inode: *mut bindings::inode,
    pos: FileOffset,
    age: u64,
    _file: core::marker::PhantomData<T>,
}

impl<T: FileData> ReadBio<T> {
    /// # Safety
    ///
    /// The invariants of [`ReadBio`].
    pub(super) unsafe fn new(
        bio: *mut bindings::bio,
        inode: *mut bindings::inode,
        pos: FileOffset,
        age: u64,
    ) -> Self {
        // INVARIANT: By the caller's promise.
        Self {
            bio,
            inode,
            pos,
            age,
            _file: core::marker::PhantomData,
        }
    }

    /// The file position of the first byte.
    pub(crate) fn pos(&self) -> FileOffset {
        self.pos
    }

    /// [`FileData::age_of_addresses`] before the address was looked up.
    pub(crate) fn age(&self) -> u64 {
        self.age
    }

    /// The logical address of the first byte.
    pub(crate) fn logical(&self) -> Logical {
        Logical::after(Sector::bytes(self.iter().bi_sector))
    }

    /// Bytes to read.
    pub(crate) fn len(&self) -> Bytes {
        Bytes::from(self.iter().bi_size)
    }

    fn iter(&self) -> bindings::bvec_iter {
        // SAFETY: The bio is ours.
        unsafe { (*self.bio).bi_iter }
    }

    /// Sends the read to `sector` of `device`; [`FileData::verify`] gets `read`.
    pub(crate) fn submit(self, device: &BlockDevice, sector: Sector, read: T::Read) {
        if let Some(ready) = self.prepare(read) {
            ready.send(device, Destination::At(sector));
        }
    }

    /// Sends the read nowhere: what was looked up is no good any more, and a worker looks again ([`FileData::read_now`]).
    pub(crate) fn read_again(self, read: T::Read) {
        if let Some(ready) = self.prepare(read) {
            ready.send_nowhere();
        }
    }

    /// The bio, whose end a worker will see to; `None` where there is no memory for that: it has ended.
    fn prepare(self, read: T::Read) -> Option<Ready> {
        let (bio, inode, pos) = (self.bio, self.inode, self.pos);
        core::mem::forget(self);
        let done = KBox::pin_init(
            pin_init!(ReadDone::<T> { work <- new_work!("rbtrfs_read"), bio, inode, pos, read }),
            GFP_KERNEL,
        );
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                // SAFETY: The bio was ours and was not sent.
                unsafe { end_read(bio, error) };
                return None;
            }
        };
        // SAFETY: The bio was ours; its folios are locked by the read, and keep inode and memory, until it is done.
        Some(unsafe { Ready::new(bio, done) })
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

/// Ends all of a read with an error.
///
/// # Safety
///
/// `bio` is a read bio that iomap built and that is not in flight; it is gone afterwards.
unsafe fn end_read(bio: *mut bindings::bio, error: Error) {
    // SAFETY: The folios of a read bio are locked by it.
    unsafe {
        segments(bio, 0, 0, bytes_added(bio), &mut |part| {
            let errno = error.to_errno();
            bindings::iomap_finish_folio_read(part.folio, part.offset, part.len, errno);
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
    pos: FileOffset,
    read: T::Read,
}

// SAFETY: The bio belongs to the value; the inode outlives the locked folios of its bio.
unsafe impl<T: FileData> Send for ReadDone<T> {}

impl_has_work! {
    impl{T: FileData} HasWork<ReadDone<T>> for ReadDone<T> { self.work }
}

impl<T: FileData> Done for ReadDone<T> {
    type File = T;

    fn inode(&self) -> *mut bindings::inode {
        self.inode
    }
}

impl<T: FileData> WorkItem for ReadDone<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        // SAFETY: The inode outlives the locked folios of the bio, the last of which is unlocked below.
        let inode = unsafe { Inode::borrow(this.inode) };
        let Ok(file) = of::<T>(inode) else {
            return;
        };
        // SAFETY: The bio has completed and is ours.
        let status = result_of(unsafe { (*this.bio).bi_status });
        let check = |pos, bytes: &mut [u8]| match status {
            Ok(()) => file.verify(&this.read, pos, bytes),
            // The device gave nothing: another copy may do.
            Err(_) => file.read_now(pos, bytes),
        };
        let block = Blocks::of(inode).size().get() as usize;
        let mut pos = this.pos;
        let mut each = |part: Segment| {
            let check =
                |offset: usize, bytes: &mut [u8]| check(pos.saturating_add(offset.into()), bytes);
            // SAFETY: The read has come from the device; its memory is nobody else's until it is finished.
            unsafe { finish(&part, block, check) };
            pos = pos.saturating_add(part.len.into());
        };
        // SAFETY: The bio is ours and whole; its folios are locked by the read, and the last is told of when all is done.
        unsafe {
            segments(this.bio, 0, 0, bytes_added(this.bio), &mut each);
            bindings::bio_put(this.bio);
        }
    }
}

/// Finishes the read of `part`, blocks of one folio, as `check` says of each: one that is damaged costs no other. They are
/// told to iomap in runs that fared alike.
///
/// # Safety
///
/// The folio is locked by a read of its that has come from the device; its memory is nobody else's until it is finished.
unsafe fn finish(part: &Segment, block: usize, check: impl Fn(usize, &mut [u8]) -> Result) {
    let (mut begin, mut at) = (0, 0);
    let mut so_far = 0;
    let tell = |begin: usize, end: usize, errno| {
        let (offset, len) = (part.offset.saturating_add(begin), end.saturating_sub(begin));
        // SAFETY: By the function's contract; these bytes are borrowed no more.
        unsafe { bindings::iomap_finish_folio_read(part.folio, offset, len, errno) };
    };
    while at < part.len {
        let len = block.min(part.len.saturating_sub(at));
        // SAFETY: By the function's contract: nothing from `at` on is finished yet.
        let bytes = unsafe { core::slice::from_raw_parts_mut(part.at.add(at), len) };
        let errno = check(at, bytes).err().map_or(0, |error| error.to_errno());
        if errno != so_far && at > begin {
            tell(begin, at, so_far);
            begin = at;
        }
        so_far = errno;
        at = at.saturating_add(len);
    }
    tell(begin, at, so_far);
}
