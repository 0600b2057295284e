// SPDX-License-Identifier: GPL-2.0

//! Writing into the page cache and dropping from it: delayed blocks come and go.
//!
//! iomap asks for a mapping without a folio's lock, then locks a folio, copies, marks it dirty and gives it back. What
//! is decided without the lock is how much space to reserve, no more: [`can_write`] asks under the lock whether it is
//! still enough, what stands at a block is looked up under it, and [`put_folio`] makes the blocks delayed before it is
//! given up.

use super::{
    bindings, bytes_at, describe, describe_unplaced, inode_of, is_under_writeback, mark_all_dirty,
    of, Blocks, FileData, Patience, Scope, Source,
};
use crate::linux::enospc::{in_turn, write_out_all, Persistence};
use crate::linux::loff::{bytes, first_and_last, position};
use crate::linux::{Folio, Inode, LockedFolio};
use core::ops::Range;
use core::sync::atomic::Ordering;
use kernel::error::from_result;
use kernel::ffi;
use latch::prelude::*;
use latch::NofsScope;
use units::{Bytes, FileOffset};

/// How much one call reserves for at the most: as much as iomap writes before it asks again.
const MAX_DELAY: Bytes = Bytes::new(4 << 20);

pub(super) unsafe extern "C" fn write_begin<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
    srcmap: *mut bindings::iomap,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap keeps the inode for the call, and lends two mappings for us to fill.
        let (inode, iomap, srcmap) = unsafe { (Inode::borrow(inode), &mut *iomap, &mut *srcmap) };
        let (file, blocks) = (of::<T>(inode)?, Blocks::of(inode));
        let mut range = blocks.touched(position(pos), bytes(length).min(MAX_DELAY));
        if file.direct_ranges().free_until(&range) < range.end {
            if Patience::of(flags) == Patience::None {
                return Err(EAGAIN);
            }
            // What is left from the last mapping may be what they, or who mends a folio for them, wait for.
            done::<T>(inode);
            // The inode is locked, so that no direct request begins. That those under way have dropped what the cache had
            // of their ranges comes after they left them.
            inode.wait_direct();
        }
        // iomap waits for that whatever the flags say: a folio's bytes hold still until they are on the device.
        if Patience::of(flags) == Patience::None && is_under_writeback(inode, &range) {
            return Err(EAGAIN);
        }
        if flags & bindings::IOMAP_ZERO != 0 && is_known(inode, &range) {
            let len = range.end.saturating_since(range.start);
            let extent = file.map(range.start, len, Patience::Waits)?;
            range.end = range.end.min(blocks.touched(extent.pos, extent.len).end);
            if matches!(extent.source, Source::Hole) {
                describe(iomap, file.block_device(), extent)?;
                return Ok(0);
            }
        }
        let reserve = || reserve(file, inode, &range, Patience::of(flags));
        range.end = match flags & bindings::IOMAP_ZERO {
            0 => in_turn(inode, Persistence::Patient, reserve)?,
            // Who zeroes may have faults kept out, and asks again without.
            _ => reserve()?,
        };
        // What stands there already is found by `read_folio_range_now`, which looks for itself: the address does not matter.
        let device = file.block_device();
        describe_unplaced(iomap, device, &range, bindings::IOMAP_DELALLOC);
        describe_unplaced(srcmap, device, &range, bindings::IOMAP_MAPPED);
        srcmap.addr = 0;
        Ok(0)
    })
}

/// Whether the trees know what is in `range`: not where a folio of it is dirty, under writeback or locked. A block whose write was
/// lost is none of these, and has bytes that the trees know nothing of.
fn is_known(inode: &Inode, range: &Range<FileOffset>) -> bool {
    let (first, last) = first_and_last(range);
    // SAFETY: An inode keeps its mapping.
    let is_busy = unsafe { bindings::filemap_range_has_writeback(inode.mapping(), first, last) };
    !is_busy && !inode.has_lost_writes()
}

/// Makes the writer's allowance large enough for `range`, or for a part of it where space is short or others of it go
/// elsewhere; gives the end of that. This task has the inode locked, and no folio. `EBUSY`: others have what there is for
/// writing in place, and the writer nothing.
fn reserve<T: FileData>(
    file: &T,
    inode: &Inode,
    range: &Range<FileOffset>,
    patience: Patience,
) -> Result<FileOffset> {
    let block = Blocks::of(inode).size();
    let mut allowance = core::mem::take(&mut *file.writer().lock());
    let mut range = range.clone();
    let scope = Scope::Front;
    let mut result = file.reserve(&mut allowance, &range, scope, patience);
    if result == Err(ENOSPC) && patience == Patience::Waits {
        write_out_all(inode.super_block(), Persistence::Patient);
        result = file.reserve(&mut allowance, &range, scope, patience);
        // Then for less: to wait once more would not help but for the last block.
        let mut len = range.end.saturating_since(range.start);
        while result.is_err() && result != Err(EBUSY) && len > block {
            len = len.divided_by(2).round_down(block).max(block);
            range.end = range.start.saturating_add(len);
            let patience = match len > block {
                true => Patience::None,
                false => Patience::Waits,
            };
            result = file.reserve(&mut allowance, &range, scope, patience);
        }
    }
    if result == Err(EBUSY) {
        allowance = T::Allowance::default();
    }
    *file.writer().lock() = allowance;
    result
}

/// Gives back what a call has not used of the writer's allowance. This task has the inode locked.
pub(super) fn done<T: FileData>(inode: &Inode) {
    if let Ok(file) = of::<T>(inode) {
        let allowance = core::mem::take(&mut *file.writer().lock());
        drop(allowance);
    }
}

/// Whether what was reserved is still enough, with the folio locked. If not, iomap asks for a mapping again.
pub(super) unsafe extern "C" fn can_write<T: FileData>(
    inode: *mut bindings::inode,
    iomap: *const bindings::iomap,
) -> bool {
    // SAFETY: iomap lends its inode and the mapping that `write_begin` filled.
    let (inode, iomap) = unsafe { (Inode::borrow(inode), &*iomap) };
    of::<T>(inode).is_ok_and(|file| {
        let start = position(iomap.offset);
        let range = start..start.saturating_add(Bytes::new(iomap.length));
        file.can_cover(&file.writer().lock(), &range)
    })
}

/// Makes the new blocks of a folio delayed, which is locked and dirty, and gives it back.
pub(super) unsafe extern "C" fn put_folio<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    copied: ffi::c_uint,
    folio: *mut bindings::folio,
) {
    // SAFETY: iomap keeps the inode for the call.
    let inode = unsafe { Inode::borrow(inode) };
    if let (Ok(file), 1..) = (of::<T>(inode), copied) {
        let range = Blocks::of(inode).touched(position(pos), Bytes::from(copied));
        // `can_write` has seen to it that there is enough: else the blocks get their space as those that were dirtied
        // behind our back, and who seeks data has to look for them.
        if file.cover(&mut file.writer().lock(), &range).is_err() {
            file.fixups().suspect();
        }
    }
    // SAFETY: iomap leaves us the lock that it took, and its reference, to give up.
    unsafe {
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
        // SAFETY: iomap keeps the inode that its iterator is over, and the folio, for the call.
        let (inode, folio) = unsafe { (Inode::borrow((*iter).inode), Folio::borrow(folio)) };
        // SAFETY: The folio is locked and has `[pos, pos + len)`, which is not up to date: nobody reads or maps it.
        let (_, bytes) = unsafe { bytes_at(folio, position(pos), len) };
        of::<T>(inode)?.read_now(position(pos), bytes).map(|()| 0)
    })
}

/// Whether a folio may go from the page cache. While somebody has its pages pinned it may not: what he stores would go
/// nowhere. A direct write to another part of it asks this, with the folio locked and in nobody's page tables, so no pin
/// can come behind the answer.
pub(super) unsafe extern "C" fn release_folio(
    folio: *mut bindings::folio,
    gfp: bindings::gfp_t,
) -> bool {
    // SAFETY: The VFS lends a locked folio of ours.
    unsafe { !Folio::borrow(folio).may_be_pinned() && bindings::iomap_release_folio(folio, gfp) }
}

pub(super) unsafe extern "C" fn invalidate_folio<T: FileData>(
    folio: *mut bindings::folio,
    offset: usize,
    len: usize,
) {
    // SAFETY: The VFS lends a locked folio of one of our files until the call returns.
    let locked = unsafe { LockedFolio::lent(folio) };
    // iomap marks dirty blocks one by one only where it has begun to: else all of a dirty folio is.
    let is_part = offset != 0 || len != locked.size();
    // SAFETY: While the folio is locked its word is nobody else's to change: iomap has it.
    if is_part && locked.is_dirty() && unsafe { locked.private_word() }.load(Ordering::Relaxed) == 0
    {
        let _nofs = NofsScope::enter();
        // SAFETY: The folio is locked and of a file of ours.
        unsafe { mark_all_dirty(&locked) };
    }
    // SAFETY: The VFS lends the folio, locked; iomap takes the range that the VFS gave.
    unsafe { bindings::iomap_invalidate_folio(folio, offset, len) };
    // SAFETY: A folio is in its mapping until its lock is given up.
    let inode = unsafe { inode_of(&locked) };
    // Only whole blocks are given up: a block that is cut keeps its dirty head.
    let start = locked.pos().saturating_add(offset.into());
    let range = Blocks::of(inode).whole(start, len.into());
    if let (Ok(file), false) = (of::<T>(inode), range.is_empty()) {
        file.punch(&range);
    }
}
