// SPDX-License-Identifier: GPL-2.0

//! A file becomes longer or shorter.

use super::lock::FaultsKeptOut;
use crate::linux::inode::LockedInode;
use crate::linux::iomap::{keep_workers_out, Blocks, FileData, Patience, Tables};
use latch::prelude::*;
use units::{Bytes, FileOffset};

/// Cuts or extends the page cache of a file to `size` bytes, around `store`, which does the same to the trees and was
/// asked before whether it will. After an error the size is what it was, or, where pages were cut already, what `store`
/// left.
pub(crate) fn resize<T: FileData>(
    inode: LockedInode<'_>,
    size: Bytes,
    store: impl FnOnce() -> Result,
) -> Result {
    match size > inode.size() {
        true => extend::<T>(inode, size, store),
        false => cut::<T>(inode, size, store),
    }
}

fn extend<T: FileData>(
    inode: LockedInode<'_>,
    size: Bytes,
    store: impl FnOnce() -> Result,
) -> Result {
    Tables::<T>::prepare_growth(inode, FileOffset::after(size), Patience::Waits)?;
    store()?;
    Tables::<T>::clear_behind_end(inode, || inode.set_size(size));
    inode.truncate(size);
    Ok(())
}

fn cut<T: FileData>(inode: LockedInode<'_>, size: Bytes, store: impl FnOnce() -> Result) -> Result {
    let new_end = FileOffset::after(size);
    let end = new_end.saturating_add(Blocks::of(&inode).tail_of(new_end));
    let kept_out = FaultsKeptOut::of(&inode);
    Tables::<T>::cut_tail(inode, new_end)?;
    let workers = keep_workers_out::<T>(&inode)?;
    inode.truncate(size);
    Tables::<T>::give_up_behind(inode, end);
    drop((workers, kept_out));
    store()
}
