// SPDX-License-Identifier: GPL-2.0

//! Writing into the page cache and dropping from it: delayed blocks come and go.
//!
//! iomap asks for a mapping without a folio's lock, then locks a folio, copies, marks it dirty and gives it back. What
//! is decided without the lock is how much space to reserve, no more: [`can_write`] asks under the lock whether it is
//! still enough, what stands at a block is looked up under it, and [`put_folio`] makes the blocks delayed before it is
//! given up.

use super::{
    bindings, bytes_at, describe, describe_unplaced, mapping_of, of, Blocks, FileData, Patience,
    Source,
};
use crate::linux::enospc::write_out_all;
use crate::linux::Inode;
use kernel::error::from_result;
use kernel::ffi;
use latch::prelude::*;
use latch::NofsScope;

/// How much one call reserves for at the most, in bytes: as much as iomap writes before it asks again.
const MAX_DELAY: u64 = 4 << 20;

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
        let (file, blocks) = unsafe { (of::<T>(inode)?, Blocks::of(inode)) };
        let (start, mut end) = blocks.touched(pos as u64, (length as u64).min(MAX_DELAY));
        if file.direct_ranges().free_until(&(start..end)) < end {
            if Patience::of(flags) == Patience::None {
                return Err(EAGAIN);
            }
            // SAFETY: As above; the inode is locked, so that no direct request begins. That those under way have dropped
            // what the cache had of their ranges comes after they left them.
            unsafe { bindings::inode_dio_wait(inode) };
        }
        // SAFETY: As above.
        if flags & bindings::IOMAP_ZERO != 0 && !unsafe { is_busy(inode, start, end) } {
            let extent = file.map(start, end.saturating_sub(start), Patience::Waits)?;
            end = end.min(blocks.touched(extent.pos, extent.len).1);
            if matches!(extent.source, Source::Hole) {
                // SAFETY: iomap passes a mapping for us to fill.
                describe(unsafe { &mut *iomap }, file.block_device(), extent)?;
                return Ok(0);
            }
        }
        // SAFETY: As above; no folio is locked.
        let end = unsafe { reserve(file, inode, start, end, flags) }?;
        // SAFETY: iomap passes mappings for us to fill. What stands there already is found by `read_folio_range_now`,
        // which looks for itself: the address does not matter.
        let (iomap, srcmap) = unsafe { (&mut *iomap, &mut *srcmap) };
        let device = file.block_device();
        describe_unplaced(iomap, device, start, end, bindings::IOMAP_DELALLOC);
        describe_unplaced(srcmap, device, start, end, bindings::IOMAP_MAPPED);
        srcmap.addr = 0;
        Ok(0)
    })
}

/// Whether a folio of `[start, end)` is dirty, under writeback or locked: the trees may not know yet what is there.
///
/// # Safety
///
/// `inode` is alive.
unsafe fn is_busy(inode: *mut bindings::inode, start: u64, end: u64) -> bool {
    let last = end.saturating_sub(1);
    // SAFETY: By the caller's promise.
    unsafe {
        bindings::filemap_range_has_writeback(
            (*inode).i_mapping,
            start as bindings::loff_t,
            last as bindings::loff_t,
        )
    }
}

/// Makes the writer's allowance large enough for `[start, end)`, or for a part of it where space is short; gives the
/// end of that.
///
/// # Safety
///
/// `inode` is alive and locked by this task, which holds no folio's lock.
unsafe fn reserve<T: FileData>(
    file: &T,
    inode: *mut bindings::inode,
    start: u64,
    end: u64,
    flags: ffi::c_uint,
) -> Result<u64> {
    // SAFETY: By the caller's promise.
    let block = unsafe { Blocks::of(inode) }.size();
    let patience = Patience::of(flags);
    let mut allowance = core::mem::take(&mut *file.writer().lock());
    let mut end = end;
    let mut result = file.reserve(&mut allowance, start, end, patience);
    if result == Err(ENOSPC) && patience == Patience::Waits {
        // SAFETY: The inode is alive.
        write_out_all(unsafe { Inode::borrow(inode) }.super_block());
        result = file.reserve(&mut allowance, start, end, patience);
        // Then for less: to wait once more would not help but for the last block.
        while result.is_err() && end.saturating_sub(start) > block {
            let half = end.saturating_sub(start) / 2;
            end = start.saturating_add((half & !(block - 1)).max(block));
            let patience = match end.saturating_sub(start) > block {
                true => Patience::None,
                false => Patience::Waits,
            };
            result = file.reserve(&mut allowance, start, end, patience);
        }
    }
    *file.writer().lock() = allowance;
    result.map(|()| end)
}

/// Gives back what a call has not used of the writer's allowance.
///
/// # Safety
///
/// `inode` is an inode of `T`, locked by this task.
pub(super) unsafe fn done<T: FileData>(inode: *mut bindings::inode) {
    // SAFETY: By the caller's promise.
    if let Ok(file) = unsafe { of::<T>(inode) } {
        let allowance = core::mem::take(&mut *file.writer().lock());
        drop(allowance);
    }
}

/// With the folio locked: whether what was reserved is still enough. If not, iomap asks for a mapping again.
pub(super) unsafe extern "C" fn can_write<T: FileData>(
    inode: *mut bindings::inode,
    iomap: *const bindings::iomap,
) -> bool {
    // SAFETY: iomap passes its inode and the mapping that `write_begin` filled.
    let (file, start, len) = unsafe { (of::<T>(inode), (*iomap).offset as u64, (*iomap).length) };
    file.is_ok_and(|file| {
        let allowance = file.writer().lock();
        file.can_cover(&allowance, start, start.saturating_add(len))
    })
}

/// With the folio locked and dirty: its new blocks become delayed, then the folio is given back.
pub(super) unsafe extern "C" fn put_folio<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    copied: ffi::c_uint,
    folio: *mut bindings::folio,
) {
    // SAFETY: iomap passes its inode and the folio that it locked, with a reference for us to give up.
    unsafe {
        if let (Ok(file), 1..) = (of::<T>(inode), copied) {
            let (start, end) = Blocks::of(inode).touched(pos as u64, u64::from(copied));
            // `can_write` has seen to it that there is enough: else the blocks would get their space as those that
            // were dirtied behind our back.
            let _ = file.cover(&mut file.writer().lock(), start, end);
        }
        bindings::folio_unlock(folio);
        bindings::folio_put(folio);
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

/// Whether a folio may go from the page cache. While somebody has its pages pinned it may not: what he stores would go
/// nowhere. A direct write to another part of it asks this, with the folio locked and in nobody's page tables, so no pin
/// can come behind the answer.
pub(super) unsafe extern "C" fn release_folio(
    folio: *mut bindings::folio,
    gfp: bindings::gfp_t,
) -> bool {
    // SAFETY: The VFS passes a locked folio of ours.
    unsafe { !bindings::folio_maybe_dma_pinned(folio) && bindings::iomap_release_folio(folio, gfp) }
}

pub(super) unsafe extern "C" fn invalidate_folio<T: FileData>(
    folio: *mut bindings::folio,
    offset: usize,
    len: usize,
) {
    // SAFETY: The VFS passes a locked folio of one of our inodes, which the mapping keeps.
    unsafe {
        let mapping = mapping_of(folio);
        let inode = (*mapping).host;
        let start = (bindings::folio_pos(folio) as u64).saturating_add(offset as u64);
        // iomap marks dirty blocks one by one only where it has begun to: else all of a dirty folio is.
        let is_part = offset != 0 || len != bindings::folio_size(folio);
        if is_part && bindings::folio_test_dirty(folio) {
            let _nofs = NofsScope::enter();
            if (*folio)
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_3
                .private
                .is_null()
            {
                bindings::iomap_dirty_folio(mapping, folio);
            }
        }
        bindings::iomap_invalidate_folio(folio, offset, len);
        // Only whole blocks are given up: a block that is cut keeps its dirty head.
        let (first, last) = Blocks::of(inode).whole(start, len as u64);
        if let (Ok(file), true) = (of::<T>(inode), first < last) {
            file.punch(first, last);
        }
    }
}
