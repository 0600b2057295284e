// SPDX-License-Identifier: GPL-2.0

//! Reading into the page cache: mappings, inline bytes, bios with checksums to be verified.
//!
//! Readahead of a task that must not wait does without what is not in memory, and no readahead waits for a direct write
//! that is under way: what was not read then is read when somebody waits for it.

use super::{
    bindings, bytes_at, describe, forget, mapping_of, of, range_of, FileData, Patience, ReadBio,
    Tables,
};
use crate::linux::noio::NoioScope;
use core::ptr;
use kernel::container_of;
use kernel::error::from_result;
use kernel::ffi;
use latch::prelude::*;

pub(super) unsafe extern "C" fn read_begin<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
    _srcmap: *mut bindings::iomap,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap calls this for inodes whose tables are `T`'s, and keeps the inode.
        let file = unsafe { of::<T>(inode) }?;
        // Before the look-up: what happens in between must be noticed.
        let age = file.age_of_addresses();
        // SAFETY: All of iomap's mappings are those of iterators, of calls from here or without `private` (seeks).
        let patience = unsafe { of_readahead(container_of!(iomap, bindings::iomap_iter, iomap)) };
        let (pos, mut len) = (pos as u64, length as u64);
        if patience.is_some() {
            let end = pos.saturating_add(len);
            let free = file.direct_ranges().free_until(&(pos..end));
            len = free.saturating_sub(pos);
            if len == 0 {
                return Err(EAGAIN);
            }
        }
        let extent = file.map(pos, len, patience.unwrap_or(Patience::Waits))?;
        // SAFETY: iomap passes a mapping for us to fill.
        let iomap = unsafe { &mut *iomap };
        describe(iomap, file.block_device(), extent)?;
        iomap.validity_cookie = age;
        Ok(0)
    })
}

/// The patience of readahead; `None` for others, who wait.
///
/// # Safety
///
/// `iter` is that of a call of iomap from this file, or has no `private`.
unsafe fn of_readahead(iter: *const bindings::iomap_iter) -> Option<Patience> {
    // SAFETY: By the caller's promise; `readahead` lends its patience until iomap returns.
    unsafe { (*iter).private.cast::<Patience>().as_ref() }.copied()
}

pub(super) unsafe extern "C" fn end<T: FileData>(
    _inode: *mut bindings::inode,
    _pos: bindings::loff_t,
    _length: bindings::loff_t,
    _written: isize,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
) -> ffi::c_int {
    // SAFETY: iomap is done with the mapping.
    unsafe { forget(iomap) };
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
    // SAFETY: The VFS passes a locked folio of ours, keeps it and the inode, and looks again for `AOP_TRUNCATED_PAGE`.
    from_result(|| unsafe {
        let (mapping, range) = (mapping_of(folio), range_of(folio));
        let ranges = of::<T>((*mapping).host)
            .inspect_err(|_| bindings::folio_unlock(folio))?
            .direct_ranges();
        let mut kept_out = None;
        if ranges.free_until(&range) < range.end {
            bindings::folio_unlock(folio);
            kept_out = Some(ranges.keep_out(&range)?);
            bindings::folio_lock(folio);
            if mapping_of(folio) != mapping || bindings::folio_test_uptodate(folio) {
                bindings::folio_unlock(folio);
                return Ok(bindings::positive_aop_returns_AOP_TRUNCATED_PAGE as ffi::c_int);
            }
        }
        start_reading::<T>(folio);
        // From here on it is the folio's lock that is waited for.
        drop(kept_out);
        Ok(0)
    })
}

/// Reads what of `folio` is not up to date. Its lock is given up when all is there.
///
/// # Safety
///
/// `folio` is locked and in a file of `T`, and no direct write is under way to it.
unsafe fn start_reading<T: FileData>(folio: *mut bindings::folio) {
    let ops = read_ops::<T>();
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &ops,
        cur_folio: folio,
        ..pin_init::zeroed()
    };
    // SAFETY: By the caller's promise; `ops` and `context` outlive the call, which submits all it makes.
    unsafe { bindings::iomap_read_folio(Tables::<T>::READ, &mut context, ptr::null_mut()) };
}

pub(super) unsafe extern "C" fn readahead<T: FileData>(rac: *mut bindings::readahead_control) {
    let ops = read_ops::<T>();
    let mut context = bindings::iomap_read_folio_ctx {
        ops: &ops,
        rac,
        ..pin_init::zeroed()
    };
    let mut patience = match NoioScope::is_entered() {
        true => Patience::None,
        false => Patience::Waits,
    };
    let private = ptr::addr_of_mut!(patience).cast();
    // SAFETY: As for `read_folio`; `patience` outlives the call.
    unsafe { bindings::iomap_readahead(Tables::<T>::READ, &mut context, private) };
}

unsafe extern "C" fn read_folio_range<T: FileData>(
    iter: *const bindings::iomap_iter,
    context: *mut bindings::iomap_read_folio_ctx,
    len: usize,
) -> ffi::c_int {
    // SAFETY: iomap passes its own iterator and context.
    unsafe {
        let iomap = &(*iter).iomap;
        let alone = u32::from(iomap.flags) & bindings::IOMAP_F_PRIVATE != 0;
        if !iomap.private.is_null() {
            copy_inline(iter, (*context).cur_folio, len);
            return 0;
        }
        if alone && (*iter).pos == iomap.offset && !(*context).read_ctx.is_null() {
            submit_read::<T>(iter, context);
        }
        bindings::iomap_bio_read_folio_range(iter, context, len)
    }
}

/// Finishes the read of `len` bytes at the iterator's position from the inline bytes of its mapping.
///
/// # Safety
///
/// The mapping was filled by [`describe`] from `Source::Inline`; `folio` is locked and holds the range.
unsafe fn copy_inline(iter: *const bindings::iomap_iter, folio: *mut bindings::folio, len: usize) {
    // SAFETY: By the caller's promise.
    unsafe {
        let pos = (*iter).pos as u64;
        let data = &*(*iter).iomap.private.cast::<KVec<u8>>();
        let skip = pos.saturating_sub((*iter).iomap.offset as u64) as usize;
        let (offset, bytes) = bytes_at(folio, pos, len);
        let data = data.get(skip..).unwrap_or(&[]);
        let (head, tail) = bytes.split_at_mut(data.len().min(len));
        head.copy_from_slice(&data[..head.len()]);
        tail.fill(0);
        bindings::iomap_finish_folio_read(folio, offset, len, 0);
    }
}

unsafe extern "C" fn submit_read<T: FileData>(
    iter: *const bindings::iomap_iter,
    context: *mut bindings::iomap_read_folio_ctx,
) {
    // SAFETY: iomap passes its own iterator and context; `read_ctx` is the bio it built, or null.
    unsafe {
        let bio = (*context).read_ctx.cast::<bindings::bio>();
        if bio.is_null() {
            return;
        }
        (*context).read_ctx = ptr::null_mut();
        // A bio is of one mapping: this is called at the end of each.
        let bio = ReadBio::new(
            bio,
            (*iter).inode,
            (*context).read_ctx_file_offset as u64,
            (*iter).iomap.validity_cookie,
        );
        if let Ok(file) = of::<T>((*iter).inode) {
            file.read(bio, of_readahead(iter).unwrap_or(Patience::Waits));
        }
    }
}
