// SPDX-License-Identifier: GPL-2.0

//! Direct writes: space is promised for a piece of the request, each bio of it finds its place when it is sent, and is in
//! the trees before iomap hears of its end.

use super::ranges::{Entrant, Overlaps};
use super::{bindings, DirectData};
use crate::linux::enospc::with_space;
use crate::linux::iomap::{describe_unplaced, of, pages_of, settle, Ioend, Patience};
use crate::linux::loff::{bytes, length, position};
use crate::linux::Inode;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicI64, Ordering};
use kernel::error::{from_err_ptr, from_result, to_result};
use kernel::ffi;
use latch::prelude::*;
use units::{Bytes, FileOffset};

/// The most that is promised space at once.
const MAX_WRITE: Bytes = Bytes::new(16 << 20);

/// The most that a request may ask for which must not wait: as a rule it is one bio, with one address. Where it is not, it waits for
/// the rest, since what was begun cannot be refused: see [`DirectWrite::patience_at`].
const MAX_NOWAIT: Bytes = Bytes::new(512 << 10);

/// How often a folio may be made dirty again while it is being dropped.
const DROP_ATTEMPTS: u32 = 8;

struct Ops<T>(PhantomData<T>);

impl<T: DirectData> Ops<T> {
    const MAPPING: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_begin: Some(begin::<T>),
        iomap_end: Some(end::<T>),
        iomap_next: None,
    };
    const DIRECT: &'static bindings::iomap_dio_ops = &bindings::iomap_dio_ops {
        end_io: Some(end_io::<T>),
        submit_io: Some(submit::<T>),
        bio_set: ptr::addr_of_mut!(bindings::iomap_ioend_bioset),
    };
}

/// A request that writes, as long as its caller submits it.
pub(in crate::linux) struct DirectWrite<T: DirectData> {
    /// Space of the mapping that is being sent.
    space: T::Taken,
    /// Whether it may wait.
    patience: Patience,
    /// Where the request began.
    start: FileOffset,
}

impl<T: DirectData> DirectWrite<T> {
    /// Makes what a request that begins at `start` is known by.
    pub(in crate::linux) fn new(start: FileOffset, patience: Patience) -> Self {
        Self {
            space: T::Taken::default(),
            patience,
            start,
        }
    }

    /// Whether it may wait for what begins at `pos`. Behind its start some of it is on its way, and an `EAGAIN` would have all of it
    /// done again: then it does.
    fn patience_at(&self, pos: FileOffset) -> Patience {
        match pos > self.start {
            true => Patience::Waits,
            false => self.patience,
        }
    }
}

/// Writes `from` at the position of `iocb`; `done` bytes of the request have been written before. Memory that is not there
/// is not fetched. Null: there is nothing to do. What is not null is a request that `iomap_dio_complete` must be called for, or
/// `EIOCBQUEUED`: it is under way, and `iocb` not ours. `EBUSY`, perhaps when it is completed: nothing was sent, as others
/// that write in place have what there is.
///
/// # Safety
///
/// The pointers are those of a `write_iter` call on a file of `T`; the inode is locked, exclusively if the file grows, and
/// the caller keeps it until this returns.
pub(in crate::linux) unsafe fn direct_write<T: DirectData>(
    iocb: *mut bindings::kiocb,
    from: *mut bindings::iov_iter,
    write: &mut DirectWrite<T>,
    done: usize,
) -> Result<*mut bindings::iomap_dio> {
    // SAFETY: By the caller's promise: an open file keeps its inode.
    let file = of::<T>(unsafe { Inode::borrow(bindings::file_inode((*iocb).ki_filp)) })?;
    // SAFETY: By the caller's promise.
    let (start, len) = unsafe { (position((*iocb).ki_pos), bindings::iov_iter_count(from)) };
    let mut flags = bindings::IOMAP_DIO_PARTIAL | bindings::IOMAP_DIO_FSBLOCK_ALIGNED;
    // The user's memory is copied also where it may change: to pin it would take `mmap_lock`, which a fault that waits
    // for this range may hold.
    // SAFETY: By the caller's promise.
    if file.needs_stable_writes() || unsafe { bindings::user_backed_iter(from) } {
        flags |= bindings::IOMAP_DIO_BOUNCE;
    }
    let range = start..start.saturating_add(len.into());
    let overlaps = match file.excludes_overlaps() {
        true => Overlaps::Excluded,
        false => Overlaps::Allowed,
    };
    let entered =
        file.direct_ranges()
            .enter(Entrant::write(iocb), range, overlaps, write.patience)?;
    let (ops, dio_ops) = (Ops::<T>::MAPPING, Ops::<T>::DIRECT);
    let private = ptr::from_mut(write).cast();
    // SAFETY: By the caller's promise; the tables live forever, `write` is used by callbacks of this call alone. The iterator
    // is the caller's memory: it is there also where the request goes on without us.
    let result = unsafe {
        (*from).nofault = true;
        let dio = bindings::__iomap_dio_rw(iocb, from, ops, dio_ops, flags, private, done);
        (*from).nofault = false;
        from_err_ptr(dio)
    };
    match result {
        Ok(dio) if !dio.is_null() => entered.goes_on(),
        Err(error) if error == EIOCBQUEUED => entered.goes_on(),
        // It has not begun.
        _ => {}
    }
    result
}

/// The request whose mapping `iomap` is.
///
/// # Safety
///
/// `iomap` is the mapping of an iterator of [`direct_write`].
unsafe fn request<'a, T: DirectData>(iomap: *mut bindings::iomap) -> &'a mut DirectWrite<T> {
    // SAFETY: By the caller's promise; `private` is what `direct_write` passed, and nobody else uses it meanwhile.
    unsafe {
        let iter = kernel::container_of!(iomap, bindings::iomap_iter, iomap);
        &mut *(*iter).private.cast::<DirectWrite<T>>()
    }
}

unsafe extern "C" fn begin<T: DirectData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
    _srcmap: *mut bindings::iomap,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap calls this within `direct_write`, keeps the inode meanwhile, and lends a mapping for us to fill.
        let (inode, write, iomap) =
            unsafe { (Inode::borrow(inode), request::<T>(iomap), &mut *iomap) };
        let file = of::<T>(inode)?;
        let (start, asked) = (position(pos), bytes(length));
        let len = asked.min(MAX_WRITE);
        let reserved = match write.patience_at(start) {
            Patience::None if asked > MAX_NOWAIT => Err(EAGAIN),
            Patience::None => file.reserve_direct(&mut write.space, start, len, Patience::None),
            // The inode's lock is none that writeback takes.
            Patience::Waits => with_space(inode, || {
                file.reserve_direct(&mut write.space, start, len, Patience::Waits)
            }),
        };
        let (len, goal) = match reserved {
            // Some of the request is under way: that must not become an error. The page cache has the last word.
            Err(ENOSPC | EBUSY) if start > write.start => return Ok(ENOTBLK.to_errno()),
            reserved => reserved?,
        };
        let range = start..start.saturating_add(len);
        let kind = goal.iomap_type(bindings::IOMAP_MAPPED);
        describe_unplaced(iomap, file.block_device(), &range, kind);
        // No address yet. Metadata are to be committed before the write is durable, and to be changed when it ends.
        iomap.flags = (bindings::IOMAP_F_ANON_WRITE
            | bindings::IOMAP_F_DIRTY
            | bindings::IOMAP_F_SHARED) as u16;
        Ok(0)
    })
}

unsafe extern "C" fn end<T: DirectData>(
    _inode: *mut bindings::inode,
    _pos: bindings::loff_t,
    _length: bindings::loff_t,
    _written: isize,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
) -> ffi::c_int {
    // SAFETY: iomap calls this within `direct_write`. What was not sent needs no space.
    unsafe { request::<T>(iomap) }.space = T::Taken::default();
    0
}

unsafe extern "C" fn submit<T: DirectData>(
    iter: *const bindings::iomap_iter,
    bio: *mut bindings::bio,
    pos: bindings::loff_t,
) {
    // SAFETY: iomap lends its iterator, with the mapping that `begin` filled.
    let kind = unsafe { (*iter).iomap.type_ };
    let flags = match u32::from(kind) {
        bindings::IOMAP_UNWRITTEN => bindings::IOMAP_IOEND_DIRECT | bindings::IOMAP_IOEND_UNWRITTEN,
        _ => bindings::IOMAP_IOEND_DIRECT,
    } as u16;
    // SAFETY: iomap lends its iterator, and hands over a bio of `bio_set`.
    let ioend =
        unsafe { Ioend::<T>::new(bindings::iomap_init_ioend((*iter).inode, bio, pos, flags)) };
    // SAFETY: iomap calls this within `direct_write`, whose `private` nobody else uses meanwhile, and keeps the inode.
    let (inode, write) = unsafe {
        let write = &mut *(*iter).private.cast::<DirectWrite<T>>();
        (Inode::borrow((*iter).inode), write)
    };
    match of::<T>(inode) {
        Ok(file) => {
            let patience = write.patience_at(ioend.pos());
            file.send_direct(ioend, &mut write.space, patience)
        }
        Err(error) => ioend.fail(error),
    }
}

/// All of a request is done; the size follows the data. If its caller waits for it, and the file grows, the caller has the
/// inode locked, and no other request is under way.
unsafe extern "C" fn end_io<T: DirectData>(
    iocb: *mut bindings::kiocb,
    size: isize,
    error: ffi::c_int,
    _flags: ffi::c_uint,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap lends the request's iocb, whose file keeps its inode.
        let (inode, pos) = unsafe {
            let inode = bindings::file_inode((*iocb).ki_filp);
            (Inode::borrow(inode), position((*iocb).ki_pos))
        };
        let (file, old) = (of::<T>(inode)?, inode.size());
        let _entered = file.direct_ranges().entered(Entrant::write(iocb));
        let range = pos..pos.saturating_add(usize::try_from(size).unwrap_or(0).into());
        if error != 0 {
            if !range.is_empty() && range.end.before() > old {
                // SAFETY: iomap lends the request's iocb until its end returns.
                match unsafe { (*iocb).ki_complete } {
                    None => file.forget_behind(old)?,
                    // Others may have gone on behind it: the file is as long as what of it is there.
                    Some(_) => raise_size(inode, file.stored_size()),
                }
            }
            return to_result(error).map(|()| 0);
        }
        if !range.is_empty() {
            raise_size(inode, range.end.before());
            drop_cached::<T>(inode, &range);
        }
        Ok(0)
    })
}

/// Makes the inode's size at least `size`. Who else writes its size waits for direct requests first.
fn raise_size(inode: &Inode, size: Bytes) {
    // SAFETY: The inode is alive. On 64 bits, where alone the module is built, `i_size_write` is such a store as well.
    let field = unsafe { AtomicI64::from_ptr(ptr::addr_of_mut!((*inode.as_ptr()).i_size)) };
    field.fetch_max(length(size), Ordering::Release);
}

/// Drops the folios that the page cache has of `range`: none of these bytes is up to date there, but a large folio may be
/// dirty elsewhere, and is written first. iomap does the same afterwards and once, and blames the application where it
/// fails. The caller holds no lock that writeback takes.
fn drop_cached<T: DirectData>(inode: &Inode, range: &Range<FileOffset>) {
    let (first, last) = pages_of(range);
    let drop = || {
        // SAFETY: An inode keeps its mapping.
        to_result(unsafe { bindings::invalidate_inode_pages2_range(inode.mapping(), first, last) })
    };
    for _ in 0..DROP_ATTEMPTS {
        if !inode.has_pages() || drop().is_ok() || settle::<T>(inode, range).is_err() {
            return;
        }
    }
}
