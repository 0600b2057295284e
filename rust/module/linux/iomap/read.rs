// SPDX-License-Identifier: GPL-2.0

//! Reading into the page cache: mappings, inline bytes, bios with checksums to be verified.
//!
//! Readahead of a task that must not wait does without what is not in memory, and no readahead waits for a direct write
//! that is under way: what was not read then is read when somebody waits for it.

use super::{
    bindings, bytes_at, describe, forget, inline_bytes, inode_of, of, range_of, FileData, Patience,
    ReadBio, Tables,
};
use crate::linux::loff::{bytes, position};
use crate::linux::noio::NoioScope;
use crate::linux::{Folio, Inode};
use core::cell::Cell;
use core::ptr;
use kernel::container_of;
use kernel::error::from_result;
use kernel::ffi;
use latch::prelude::*;
use units::FileOffset;

pub(super) unsafe extern "C" fn read_begin<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
    _srcmap: *mut bindings::iomap,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap keeps the inode for the call. All of its mappings are those of iterators, of calls from here.
        let (inode, request) = unsafe {
            let iter = container_of!(iomap, bindings::iomap_iter, iomap);
            (Inode::borrow(inode), request_of(iter))
        };
        let patience = request.and_then(|request| request.readahead);
        let file = of::<T>(inode)?;
        // Before the look-up: what happens in between must be noticed.
        let age = file.age_of_addresses();
        let (pos, mut len) = (position(pos), bytes(length));
        if patience.is_some() {
            let end = pos.saturating_add(len);
            let free = file.direct_ranges().free_until(&(pos..end));
            len = free.saturating_since(pos);
            if len.is_zero() {
                return Err(EAGAIN);
            }
        }
        let extent = file.map(pos, len, patience.unwrap_or(Patience::Waits));
        let extent = extent.inspect_err(|error| {
            if let Some(request) = request {
                request.failed.set(Some(*error));
            }
        })?;
        // SAFETY: iomap passes a mapping for us to fill.
        let iomap = unsafe { &mut *iomap };
        describe(iomap, file.block_device(), extent)?;
        iomap.validity_cookie = age;
        Ok(0)
    })
}

/// What a call from here passes through iomap to those that iomap calls.
struct Request {
    /// The patience of readahead; `None` for others, who wait.
    readahead: Option<Patience>,
    /// Why there is no mapping. iomap does not hand that on.
    failed: Cell<Option<Error>>,
}

impl Request {
    const fn new(readahead: Option<Patience>) -> Self {
        Self {
            readahead,
            failed: Cell::new(None),
        }
    }

    /// The request as iomap carries it.
    fn private(&self) -> *mut ffi::c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// What the call passed.
///
/// # Safety
///
/// `iter` is that of a call of iomap from this file, or has no `private`. It lives for `'a`.
unsafe fn request_of<'a>(iter: *const bindings::iomap_iter) -> Option<&'a Request> {
    // SAFETY: By the caller's promise; the calls from here lend their request until iomap returns.
    unsafe { (*iter).private.cast::<Request>().as_ref() }
}

pub(super) unsafe extern "C" fn end<T: FileData>(
    _inode: *mut bindings::inode,
    _pos: bindings::loff_t,
    _length: bindings::loff_t,
    _written: isize,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
) -> ffi::c_int {
    // SAFETY: iomap lends a mapping that `read_begin` filled, and is done with it.
    unsafe { forget(&mut *iomap) };
    0
}

const fn read_ops<T: FileData>() -> bindings::iomap_read_ops {
    bindings::iomap_read_ops {
        read_folio_range: Some(read_folio_range::<T>),
        submit_read: Some(submit_read::<T>),
        bio_set: ptr::null_mut(),
    }
}

pub(super) unsafe extern "C" fn read_folio<T: FileData>(
    _file: *mut bindings::file,
    folio: *mut bindings::folio,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: The VFS lends a locked folio of one of our files, with a reference, and keeps the file for the call.
        let (lent, inode) = unsafe { (Folio::borrow(folio), inode_of(Folio::borrow(folio))) };
        // SAFETY: The folio's lock is the VFS's, or taken below: ours to give up.
        let unlock = || unsafe { bindings::folio_unlock(folio) };
        let file = of::<T>(inode).inspect_err(|_| unlock())?;
        let range = range_of(lent);
        let mut kept_out = None;
        if file.direct_ranges().free_until(&range) < range.end {
            unlock();
            kept_out = Some(file.direct_ranges().keep_out(&range)?);
            // SAFETY: The folio is referenced. The VFS looks again for `AOP_TRUNCATED_PAGE`.
            unsafe { bindings::folio_lock(folio) };
            if lent.mapping() != inode.mapping() || lent.is_uptodate() {
                unlock();
                return Ok(bindings::positive_aop_returns_AOP_TRUNCATED_PAGE as ffi::c_int);
            }
        }
        // SAFETY: The folio is locked, and in the file.
        let started = unsafe { start_reading::<T>(folio) };
        // From here on it is the folio's lock that is waited for.
        drop(kept_out);
        started.map(|()| 0)
    })
}

/// Reads what of `folio` is not up to date. Its lock is given up when all is there, or, after an error, what could be read.
///
/// # Safety
///
/// `folio` is locked and in a file of `T`, and no direct write is under way to it.
unsafe fn start_reading<T: FileData>(folio: *mut bindings::folio) -> Result {
    let ops = read_ops::<T>();
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &ops,
        cur_folio: folio,
        ..pin_init::zeroed()
    };
    let request = Request::new(None);
    // SAFETY: By the caller's promise; `ops`, `context` and `request` outlive the call, which submits all it makes.
    unsafe { bindings::iomap_read_folio(Tables::<T>::READ, &mut context, request.private()) };
    request.failed.get().map_or(Ok(()), Err)
}

pub(super) unsafe extern "C" fn readahead<T: FileData>(rac: *mut bindings::readahead_control) {
    let ops = read_ops::<T>();
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &ops,
        rac,
        ..pin_init::zeroed()
    };
    let request = Request::new(Some(match NoioScope::is_entered() {
        true => Patience::None,
        false => Patience::Waits,
    }));
    // SAFETY: As for `read_folio`.
    unsafe { bindings::iomap_readahead(Tables::<T>::READ, &mut context, request.private()) };
}

unsafe extern "C" fn read_folio_range<T: FileData>(
    iter: *const bindings::iomap_iter,
    context: *mut bindings::iomap_read_folio_ctx,
    len: usize,
) -> ffi::c_int {
    // SAFETY: iomap lends its iterator, with a mapping that `read_begin` filled, and its context.
    let (iomap, pos, inline, is_begun) = unsafe {
        let iomap = &(*iter).iomap;
        let is_begun = !(*context).read_ctx.is_null();
        (iomap, (*iter).pos, inline_bytes(iomap), is_begun)
    };
    if let Some(bytes) = inline {
        let skip = pos.saturating_sub(iomap.offset) as usize;
        let bytes = bytes.get(skip..).unwrap_or(&[]);
        // SAFETY: iomap reads these bytes of its locked folio, which are nobody else's until then.
        unsafe {
            copy_inline(
                bytes,
                Folio::borrow((*context).cur_folio),
                position(pos),
                len,
            )
        };
        return 0;
    }
    let is_alone = u32::from(iomap.flags) & bindings::IOMAP_F_PRIVATE != 0;
    if is_alone && pos == iomap.offset && is_begun {
        // SAFETY: iomap lends its iterator and context.
        unsafe { submit_read::<T>(iter, context) };
    }
    // SAFETY: iomap lends its iterator and context for the call.
    unsafe { bindings::iomap_bio_read_folio_range(iter, context, len) }
}

/// Finishes the read of `len` bytes at `pos` with the inline `data`, and zeroes behind that.
///
/// # Safety
///
/// `folio` is locked by a read, and has the range, which nobody else uses until its read is finished.
unsafe fn copy_inline(data: &[u8], folio: &Folio, pos: FileOffset, len: usize) {
    // SAFETY: By the function's contract.
    let (offset, bytes) = unsafe { bytes_at(folio, pos, len) };
    let (head, tail) = bytes.split_at_mut(data.len().min(len));
    head.copy_from_slice(&data[..head.len()]);
    tail.fill(0);
    // SAFETY: By the function's contract; the bytes are borrowed no more.
    unsafe { bindings::iomap_finish_folio_read(folio.as_ptr(), offset, len, 0) };
}

unsafe extern "C" fn submit_read<T: FileData>(
    iter: *const bindings::iomap_iter,
    context: *mut bindings::iomap_read_folio_ctx,
) {
    // SAFETY: iomap lends its iterator, which keeps the inode, and the context. `private` is as `request_of` needs it.
    let (iter, context, inode, request) = unsafe {
        let inode = Inode::borrow((*iter).inode);
        (&*iter, &mut *context, inode, request_of(iter))
    };
    let patience = request.and_then(|request| request.readahead);
    let bio = core::mem::replace(&mut context.read_ctx, ptr::null_mut());
    if bio.is_null() {
        return;
    }
    // A bio is of one mapping: this is called at the end of each.
    let (pos, age) = (
        position(context.read_ctx_file_offset),
        iter.iomap.validity_cookie,
    );
    // SAFETY: `read_ctx` is the bio that iomap built for locked folios of this inode, and hands over.
    let bio = unsafe { ReadBio::<T>::new(bio.cast(), iter.inode, pos, age) };
    if let Ok(file) = of::<T>(inode) {
        file.read(bio, patience.unwrap_or(Patience::Waits));
    }
}
