// SPDX-License-Identifier: GPL-2.0

//! Writing into the page cache and dropping from it: delayed blocks come and go.

use super::{
    bindings, bytes_at, describe, of, round_down, round_up, touched, whole, Extent, FileData,
    Source,
};
use core::ptr;
use kernel::error::{from_result, to_result};
use kernel::ffi;
use latch::prelude::*;

pub(super) unsafe extern "C" fn write_begin<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
    srcmap: *mut bindings::iomap,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap calls this for inodes whose tables are `T`'s, and keeps the inode.
        let file = unsafe { of::<T>(inode) }?;
        let (start, mut end) = touched(pos as u64, (length as u64).min(MAX_DELAY));
        let partial = pos as u64 != start || (pos as u64).saturating_add(length as u64) < end;
        let zeroing = flags & bindings::IOMAP_ZERO != 0;
        if zeroing && !file.is_delayed(start, end) {
            // What is dirty or on its way is not in the tree yet, where holes are looked up.
            // SAFETY: The mapping of a live inode.
            to_result(unsafe {
                bindings::filemap_write_and_wait_range(
                    (*inode).i_mapping,
                    start as bindings::loff_t,
                    end.saturating_sub(1) as bindings::loff_t,
                )
            })?;
        }
        if partial || zeroing {
            let extent = file.map(start, end.saturating_sub(start))?;
            end = end.min(touched(extent.pos, extent.len).1);
            let hole = matches!(extent.source, Source::Hole);
            if hole && zeroing && !file.is_delayed(start, end) {
                // SAFETY: iomap passes a mapping for us to fill.
                describe(unsafe { &mut *iomap }, file.block_device(), extent)?;
                return Ok(0);
            }
            if !hole {
                // Its bytes come from `read_now`, which looks for itself: the address does not matter.
                let source = Extent {
                    source: Source::Mapped(0),
                    ..extent
                };
                // SAFETY: iomap passes a source mapping for us to fill.
                describe(unsafe { &mut *srcmap }, file.block_device(), source)?;
            }
        }
        match file.delay(start, end) {
            // A fault holds its folio's lock, which writing out would wait for.
            Err(error) if error == ENOSPC && flags & bindings::IOMAP_FAULT == 0 => {
                // SAFETY: A live inode, no folio of which is locked by this task.
                unsafe { write_out_all(inode) };
                file.delay(start, end)?;
            }
            delayed => delayed?,
        }
        // SAFETY: iomap passes a mapping for us to fill.
        let iomap = unsafe { &mut *iomap };
        iomap.offset = start as bindings::loff_t;
        iomap.length = end.saturating_sub(start);
        iomap.bdev = file.block_device().as_ptr();
        iomap.addr = bindings::IOMAP_NULL_ADDR as u64;
        iomap.type_ = bindings::IOMAP_DELALLOC as u16;
        Ok(0)
    })
}

/// Writes out all dirty data of the file system and waits for it: finished data needs less space than was promised.
///
/// # Safety
///
/// `inode` is alive, and the caller holds no lock that writeback takes.
pub(in crate::linux) unsafe fn write_out_all(inode: *mut bindings::inode) {
    // SAFETY: By the caller's promise; an unmount under way has the lock, and leaves nothing to wait for.
    unsafe {
        let sb = (*inode).i_sb;
        let lock = ptr::addr_of_mut!((*sb).s_umount);
        if bindings::down_read_trylock(lock) != 0 {
            bindings::sync_inodes_sb(sb);
            bindings::up_read(lock);
        }
    }
}

/// How much one call delays at the most, in bytes: as much as iomap writes before it asks again.
const MAX_DELAY: u64 = 4 << 20;

pub(super) unsafe extern "C" fn write_end<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    written: isize,
    flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
) -> ffi::c_int {
    // SAFETY: iomap passes the mapping that `write_begin` filled.
    let delayed = unsafe { (*iomap).type_ } == bindings::IOMAP_DELALLOC as u16;
    if !delayed || written as i64 >= length || flags & bindings::IOMAP_FAULT != 0 {
        return 0;
    }
    let done = (pos as u64).saturating_add(written.max(0) as u64);
    let start = if written <= 0 {
        round_down(done)
    } else {
        round_up(done)
    };
    let (_, last) = touched(pos as u64, length as u64);
    if start < last {
        // Gives up the delayed blocks that no dirty folio covers. The lock keeps faults out, as the function asks.
        // SAFETY: The inode is live and locked; the callback is for inodes of `T`.
        unsafe {
            bindings::filemap_invalidate_lock((*inode).i_mapping);
            bindings::iomap_write_delalloc_release(
                inode,
                start as bindings::loff_t,
                last as bindings::loff_t,
                flags,
                iomap,
                Some(punch::<T>),
            );
            bindings::filemap_invalidate_unlock((*inode).i_mapping);
        }
    }
    0
}

unsafe extern "C" fn punch<T: FileData>(
    inode: *mut bindings::inode,
    offset: bindings::loff_t,
    length: bindings::loff_t,
    _iomap: *mut bindings::iomap,
) {
    // SAFETY: iomap calls this for the inode it was given.
    if let Ok(file) = unsafe { of::<T>(inode) } {
        file.punch(offset as u64, (offset as u64).saturating_add(length as u64));
    }
}

pub(super) unsafe extern "C" fn read_folio_range_now<T: FileData>(
    iter: *const bindings::iomap_iter,
    folio: *mut bindings::folio,
    pos: bindings::loff_t,
    len: usize,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap passes its iterator over a live inode and a locked folio that holds `[pos, pos + len)`.
        let (file, (_, bytes)) =
            unsafe { (of::<T>((*iter).inode)?, bytes_at(folio, pos as u64, len)) };
        file.read_now(pos as u64, bytes)?;
        Ok(0)
    })
}

pub(super) unsafe extern "C" fn invalidate_folio<T: FileData>(
    folio: *mut bindings::folio,
    offset: usize,
    len: usize,
) {
    // SAFETY: The VFS passes a locked folio of one of our inodes, which the mapping keeps.
    unsafe {
        let start = (bindings::folio_pos(folio) as u64).saturating_add(offset as u64);
        // Only whole blocks are given up: a block that is cut keeps its dirty head.
        let (first, last) = whole(start, len as u64);
        if first < last {
            let mapping = (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping;
            if let Ok(file) = of::<T>((*mapping).host) {
                file.punch(first, last);
            }
        }
        bindings::iomap_invalidate_folio(folio, offset, len);
    }
}
