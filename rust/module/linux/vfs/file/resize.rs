// SPDX-License-Identifier: GPL-2.0

//! A file becomes longer or shorter.

use super::lock::FaultsKeptOut;
use crate::linux::bindings as b;
use crate::linux::iomap::{settle, Blocks, FileData, Tables};
use crate::linux::Inode;
use latch::prelude::*;

/// Zeroes what stands behind the end of the file in its last block, before the file grows over it: a mapping may have
/// written there. The inode is locked.
pub(super) fn zero_tail<T: FileData>(inode: &Inode, size: i64) -> Result {
    match Blocks::of(inode).tail_of(size as u64) {
        0 => Ok(()),
        tail => Tables::<T>::zero_range(inode, size as u64, tail),
    }
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
    match size > inode.size() {
        true => extend::<T>(inode, size, store),
        false => cut::<T>(inode, size, store),
    }
}

fn extend<T: FileData>(inode: &Inode, size: i64, store: impl FnOnce() -> Result) -> Result {
    let old = inode.size();
    zero_tail::<T>(inode, old)?;
    if Blocks::of(inode).tail_of(old as u64) != 0 {
        // Before the size: what was behind the old end must not appear if the power fails in between.
        settle::<T>(inode, old, old)?;
    }
    store()?;
    Tables::<T>::clear_behind_end(inode, || inode.set_size(size));
    // SAFETY: The inode is alive, and its lock lets this task alone change its size.
    unsafe { b::truncate_setsize(inode.as_ptr(), size) };
    Ok(())
}

fn cut<T: FileData>(inode: &Inode, size: i64, store: impl FnOnce() -> Result) -> Result {
    // The block that is cut keeps its head: its tail must be zero on the device as well.
    zero_tail::<T>(inode, size)?;
    let end = (size as u64).saturating_add(Blocks::of(inode).tail_of(size as u64));
    let kept_out = FaultsKeptOut::of(inode);
    // SAFETY: The inode is alive, and its lock lets this task alone change its size.
    unsafe { b::truncate_setsize(inode.as_ptr(), size) };
    Tables::<T>::give_up_behind(inode, end);
    drop(kept_out);
    store()
}
