// SPDX-License-Identifier: GPL-2.0

//! A file becomes longer or shorter.

use crate::linux::bindings as b;
use crate::linux::iomap::{settle, FileData, Tables};
use crate::linux::Inode;
use latch::prelude::*;

/// Zeroes what stands behind the end of the file in its last block, before the file grows over it: a mapping may have
/// written there.
///
/// # Safety
///
/// `inode` is a live file of `T`, locked.
pub(super) unsafe fn zero_tail<T: FileData>(inode: *mut b::inode, size: i64) -> Result {
    // SAFETY: By the function's contract.
    match unsafe { tail_of(inode, size) } {
        0 => Ok(()),
        // SAFETY: By the function's contract.
        tail => unsafe { Tables::<T>::zero_range(inode, size as u64, tail) },
    }
}

/// How many bytes are behind `size` in its block.
///
/// # Safety
///
/// `inode` is alive.
pub(super) unsafe fn tail_of(inode: *mut b::inode, size: i64) -> u64 {
    // SAFETY: By the function's contract; the size of blocks never changes.
    let bits = unsafe { (*inode).i_blkbits };
    let mask = 1u64.checked_shl(bits.into()).unwrap_or(1).wrapping_sub(1);
    (size as u64).wrapping_neg() & mask
}

/// Cuts or extends the page cache of a file to `size` bytes, around `store`, which does the same to the trees and was
/// asked before whether it will. After an error the size is what it was, or, where pages were cut already, what `store`
/// left.
///
/// The VFS holds the inode's lock.
pub(crate) fn resize<T: FileData>(
    inode: &Inode,
    size: i64,
    store: impl FnOnce() -> Result,
) -> Result {
    // SAFETY: The inode is alive, and the VFS holds its lock while it asks for another size.
    unsafe {
        match size > inode.size() {
            true => extend::<T>(inode, size, store),
            false => cut::<T>(inode, size, store),
        }
    }
}

/// # Safety
///
/// `inode` is a file of `T`, locked.
unsafe fn extend<T: FileData>(inode: &Inode, size: i64, store: impl FnOnce() -> Result) -> Result {
    let (at, old) = (inode.as_ptr(), inode.size());
    // SAFETY: By the function's contract.
    unsafe { zero_tail::<T>(at, old) }?;
    // SAFETY: By the function's contract.
    if unsafe { tail_of(at, old) } != 0 {
        // Before the size: what was behind the old end must not appear if the power fails in between.
        // SAFETY: By the function's contract; this task has no folio locked.
        unsafe { settle::<T>(at, old, old) }?;
    }
    store()?;
    // SAFETY: By the function's contract: the inode's lock lets this task alone change its size.
    unsafe {
        Tables::<T>::clear_behind_end(at, || b::i_size_write(at, size));
        b::truncate_setsize(at, size);
    }
    Ok(())
}

/// # Safety
///
/// `inode` is a file of `T`, locked.
unsafe fn cut<T: FileData>(inode: &Inode, size: i64, store: impl FnOnce() -> Result) -> Result {
    let at = inode.as_ptr();
    // The block that is cut keeps its head: its tail must be zero on the device as well.
    // SAFETY: By the function's contract.
    let tail = unsafe {
        zero_tail::<T>(at, size)?;
        tail_of(at, size)
    };
    // SAFETY: An inode keeps its mapping. Its lock keeps faults away from what is cut, until it is let go here.
    unsafe {
        let mapping = (*at).i_mapping;
        b::filemap_invalidate_lock(mapping);
        b::truncate_setsize(at, size);
        Tables::<T>::give_up_behind(at, (size as u64).saturating_add(tail));
        b::filemap_invalidate_unlock(mapping);
    }
    store()
}
