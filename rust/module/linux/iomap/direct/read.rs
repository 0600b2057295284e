// SPDX-License-Identifier: GPL-2.0

//! Direct reads: the device writes into the user's memory, a worker checks what it finds there.

use super::{bindings, DirectData};
use crate::linux::bio::result_of;
use crate::linux::iomap::segments::segments;
use crate::linux::iomap::sent::{Destination, Done, Ready};
use crate::linux::iomap::{describe, of, Patience, Source};
use crate::linux::loff::{bytes, position};
use crate::linux::memory::MemoryMut;
use crate::linux::{BlockDevice, Inode, Sector};
use core::pin::Pin;
use core::ptr;
use kernel::error::from_result;
use kernel::ffi;
use kernel::sync::Arc;
use kernel::workqueue::{impl_has_work, new_work, Work, WorkItem};
use latch::prelude::*;
use units::{Bytes, FileOffset, Logical};

/// The most that one mapping is for: its checksums are one allocation.
const MAX_READ: Bytes = Bytes::new(1 << 20);

struct Ops<T>(core::marker::PhantomData<T>);

impl<T: DirectData> Ops<T> {
    const MAPPING: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_begin: Some(begin::<T>),
        iomap_end: Some(end_mapping::<T>),
        iomap_next: None,
    };
    const DIRECT: &'static bindings::iomap_dio_ops = &bindings::iomap_dio_ops {
        end_io: None,
        submit_io: Some(submit::<T>),
        bio_set: ptr::null_mut(),
    };
}

/// Reads at the position of `iocb` into `to`; `done` bytes of the request have been read before. Gives all that have
/// been read now, or an errno. Less than asked for without being at the end: the rest must come from the page cache, or
/// (`EFAULT` or some bytes) memory of `to` was not there.
///
/// # Safety
///
/// The pointers are those of a `read_iter` call on a file of `T`; the inode is locked, perhaps shared.
pub(in crate::linux) unsafe fn direct_read<T: DirectData>(
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
    done: usize,
) -> isize {
    let (ops, dio_ops) = (Ops::<T>::MAPPING, Ops::<T>::DIRECT);
    let flags = bindings::IOMAP_DIO_PARTIAL | bindings::IOMAP_DIO_FSBLOCK_ALIGNED;
    // SAFETY: By the caller's promise; the tables live forever.
    unsafe { bindings::iomap_dio_rw(iocb, to, ops, dio_ops, flags, ptr::null_mut(), done) }
}

unsafe extern "C" fn begin<T: DirectData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
    _srcmap: *mut bindings::iomap,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap keeps the inode for the call, and lends a mapping for us to fill.
        let (inode, iomap) = unsafe { (Inode::borrow(inode), &mut *iomap) };
        let file = of::<T>(inode)?;
        let patience = Patience::of(flags);
        let len = bytes(length);
        let (extent, check) = file.find(position(pos), len.min(MAX_READ), patience)?;
        // Part of what was asked for would be all that the caller gets.
        if patience == Patience::None && extent.len < len {
            return Err(EAGAIN);
        }
        if let Source::Inline(_) = extent.source {
            // Its bytes are in the tree, and come by way of the page cache.
            return match patience {
                Patience::Waits => Ok(ENOTBLK.to_errno()),
                Patience::None => Err(EAGAIN),
            };
        }
        describe(iomap, file.block_device(), extent)?;
        if let Some(check) = check {
            iomap.private = Arc::into_raw(check).cast_mut().cast();
        }
        Ok(0)
    })
}

unsafe extern "C" fn end_mapping<T: DirectData>(
    _inode: *mut bindings::inode,
    _pos: bindings::loff_t,
    _length: bindings::loff_t,
    _written: isize,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
) -> ffi::c_int {
    // SAFETY: iomap is done with the mapping that `begin` filled: `private` is null or what it put there.
    let check = unsafe { ptr::replace(&mut (*iomap).private, ptr::null_mut()) };
    if !check.is_null() {
        // SAFETY: What `begin` put there is from `Arc::into_raw`, and is taken once.
        drop(unsafe { Arc::from_raw(check.cast::<T::Check>().cast_const()) });
    }
    0
}

unsafe extern "C" fn submit<T: DirectData>(
    iter: *const bindings::iomap_iter,
    bio: *mut bindings::bio,
    pos: bindings::loff_t,
) {
    // SAFETY: iomap lends its iterator, and keeps the inode that it is over.
    let (iter, inode) = unsafe { (&*iter, Inode::borrow((*iter).inode)) };
    let check = iter.iomap.private.cast::<T::Check>().cast_const();
    // SAFETY: `begin` filled the mapping, and the bio is ours from here.
    let bio = unsafe { DirectRead::new(bio, iter.inode, position(pos), clone(check)) };
    match of::<T>(inode) {
        Ok(file) => file.read_direct(bio),
        Err(error) => bio.fail(error),
    }
}

/// Takes one more reference.
///
/// # Safety
///
/// `at` is null or from `Arc::into_raw`, and not given back yet.
unsafe fn clone<C>(at: *const C) -> Option<Arc<C>> {
    if at.is_null() {
        return None;
    }
    // SAFETY: By the function's contract; the reference that is not ours stays.
    let own = core::mem::ManuallyDrop::new(unsafe { Arc::from_raw(at) });
    Some((*own).clone())
}

/// A direct read that iomap built; its sector is a logical address.
///
/// # Invariants
///
/// `bio` is a bio of a direct read of `inode`, not in flight, and owned by this value.
pub(crate) struct DirectRead<T: DirectData> {
    bio: *mut bindings::bio,
    inode: *mut bindings::inode,
    pos: FileOffset,
    check: Option<Arc<T::Check>>,
}

impl<T: DirectData> DirectRead<T> {
    /// # Safety
    ///
    /// The invariants of [`DirectRead`].
    unsafe fn new(
        bio: *mut bindings::bio,
        inode: *mut bindings::inode,
        pos: FileOffset,
        check: Option<Arc<T::Check>>,
    ) -> Self {
        // INVARIANT: By the caller's promise.
        Self {
            bio,
            inode,
            pos,
            check,
        }
    }

    /// The logical address of the first byte.
    pub(crate) fn logical(&self) -> Logical {
        Logical::after(Sector::bytes(self.iter().bi_sector))
    }

    /// Bytes to read: whole blocks.
    pub(crate) fn len(&self) -> Bytes {
        Bytes::from(self.iter().bi_size)
    }

    fn iter(&self) -> bindings::bvec_iter {
        // SAFETY: The bio is ours.
        unsafe { (*self.bio).bi_iter }
    }

    /// Sends the read to `sector` of `device`; [`DirectData::verify_direct`] checks it.
    pub(crate) fn submit(self, device: &BlockDevice, sector: Sector) {
        if let Some(ready) = self.prepare() {
            ready.send(device, Destination::At(sector));
        }
    }

    /// Sends the read nowhere: what was looked up is no good any more, and a worker looks again
    /// ([`DirectData::reread_direct`]).
    pub(crate) fn read_again(self) {
        if let Some(ready) = self.prepare() {
            ready.send_nowhere();
        }
    }

    /// The bio, whose end a worker will see to; `None` where there is no memory for that: it has ended.
    fn prepare(mut self) -> Option<Ready> {
        let (bio, inode, pos) = (self.bio, self.inode, self.pos);
        let Some(check) = self.check.take() else {
            self.fail(EIO);
            return None;
        };
        // What its iterator says now is not there any more when it comes back.
        let (index, len) = (self.iter().bi_idx as usize, self.iter().bi_size as usize);
        // SAFETY: The bio is ours.
        let (skip, dio) = unsafe { (bindings::rbtrfs_bio_vec_done(bio), (*bio).bi_private) };
        let skip = skip as usize;
        let done = KBox::pin_init(
            pin_init!(ReadDone::<T> {
                work <- new_work!("rbtrfs_direct_read"),
                bio, inode, pos, index, skip, len, dio, check,
            }),
            GFP_KERNEL,
        );
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                self.fail(error);
                return None;
            }
        };
        let bio = self.into_bio();
        // SAFETY: The bio was ours. iomap keeps its pages until it gets it back, with its own `bi_private`, and the file that
        // is read keeps the inode.
        Some(unsafe { Ready::new(bio, done) })
    }

    fn into_bio(mut self) -> *mut bindings::bio {
        self.check = None;
        let bio = self.bio;
        core::mem::forget(self);
        bio
    }

    /// Ends the read without sending it.
    pub(crate) fn fail(self, error: Error) {
        let bio = self.into_bio();
        // SAFETY: The bio was ours and was not sent.
        unsafe { end(bio, Err(error)) }
    }
}

impl<T: DirectData> Drop for DirectRead<T> {
    fn drop(&mut self) {
        // SAFETY: The bio is ours and was not sent: iomap waits for it.
        unsafe { end(self.bio, Err(EIO)) }
    }
}

/// Gives a bio back to iomap.
///
/// # Safety
///
/// `bio` is a bio of a direct request that is not in flight, with iomap's own `bi_private`; it is gone afterwards.
unsafe fn end(bio: *mut bindings::bio, result: Result) {
    let errno = result.err().map_or(0, |error| error.to_errno());
    // SAFETY: By the caller's promise.
    unsafe {
        (*bio).bi_status = bindings::errno_to_blk_status(errno);
        bindings::iomap_dio_bio_end_io(bio);
    }
}

#[pin_data]
struct ReadDone<T: DirectData> {
    #[pin]
    work: Work<ReadDone<T>>,
    bio: *mut bindings::bio,
    inode: *mut bindings::inode,
    pos: FileOffset,
    index: usize,
    skip: usize,
    len: usize,
    dio: *mut ffi::c_void,
    check: Arc<T::Check>,
}

// SAFETY: The bio belongs to the value; the file that is read keeps the inode.
unsafe impl<T: DirectData> Send for ReadDone<T> {}

impl_has_work! {
    impl{T: DirectData} HasWork<ReadDone<T>> for ReadDone<T> { self.work }
}

impl<T: DirectData> Done for ReadDone<T> {
    type File = T;

    fn inode(&self) -> *mut bindings::inode {
        self.inode
    }
}

impl<T: DirectData> WorkItem for ReadDone<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        let bio = this.bio;
        // SAFETY: The file that is read keeps the inode.
        let file = of::<T>(unsafe { Inode::borrow(this.inode) });
        // SAFETY: The bio has completed and is ours.
        let status = result_of(unsafe { (*bio).bi_status });
        let mut result = Ok(());
        let mut offset = Bytes::ZERO;
        let mut each = |bytes: MemoryMut<'_>| {
            let pos = this.pos.saturating_add(offset);
            let len = Bytes::from(bytes.len());
            let checked = file.and_then(|file| match status {
                Ok(()) => file.verify_direct(&this.check, pos, bytes),
                Err(_) => file.reread_direct(pos, bytes),
            });
            result = result.and(checked);
            offset = offset.saturating_add(len);
        };
        // SAFETY: The bio has these bytes; iomap keeps its pages until it gets the bio back, with what was its own.
        unsafe {
            segments(bio, this.index, this.skip, this.len, &mut |part| {
                each(MemoryMut::new(part.at, part.len));
            });
            (*bio).bi_private = this.dio;
            end(bio, result);
        }
    }
}
