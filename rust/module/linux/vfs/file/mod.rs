// SPDX-License-Identifier: GPL-2.0

//! The calls on open regular files.
//!
//! C header: `include/linux/fs.h`. Data moves by [`iomap`](crate::linux::iomap); here is what a `struct file` adds: positions,
//! the inode's lock, limits, and when a call must wait for the device. [`read`] and [`write`] have the calls that move
//! data, [`lock`] the inode's lock.

use super::attributes::Attributes;
use super::{Inode, SuperBlock};
use crate::linux::bindings as b;
use crate::linux::iomap::direct::DirectData;
use crate::linux::iomap::{settle, FileData, Tables};
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_int, c_uint};
use latch::prelude::*;
use latch::NofsScope;

mod lock;
mod read;
mod write;

/// The table of `T`'s open files.
pub(super) struct Table<T>(core::marker::PhantomData<T>);

impl<T: DirectData> Table<T> {
    pub(super) const FILE: b::file_operations = b::file_operations {
        llseek: Some(llseek::<T>),
        open: Some(open),
        read_iter: Some(read::read_iter::<T>),
        write_iter: Some(write::write_iter::<T>),
        splice_read: Some(b::filemap_splice_read),
        splice_write: Some(b::iter_file_splice_write),
        mmap_prepare: Some(mmap_prepare::<T>),
        fop_flags: b::FOP_BUFFER_RASYNC | b::FOP_BUFFER_WASYNC | b::FOP_DIO_PARALLEL_WRITE,
        ..pin_init::zeroed()
    };
    const MAPPED: &'static b::vm_operations_struct = &b::vm_operations_struct {
        fault: Some(b::filemap_fault),
        map_pages: Some(b::filemap_map_pages),
        page_mkwrite: Some(page_mkwrite::<T>),
        ..pin_init::zeroed()
    };
}

unsafe extern "C" fn open(inode: *mut b::inode, file: *mut b::file) -> c_int {
    // SAFETY: The VFS lends both.
    unsafe {
        (*file).f_mode |= (b::FMODE_CAN_ODIRECT | b::FMODE_NOWAIT) as b::fmode_t;
        SuperBlock::borrow((*inode).i_sb).remind_of_failure();
        b::generic_file_open(inode, file)
    }
}

unsafe extern "C" fn llseek<T: FileData>(file: *mut b::file, offset: i64, whence: c_int) -> i64 {
    // SAFETY: The VFS lends an open file.
    unsafe {
        let inode = b::file_inode(file);
        let found = match whence as c_uint {
            b::SEEK_HOLE | b::SEEK_DATA => {
                // The trees know only what was written back.
                if let Err(error) = settle::<T>(inode, 0, i64::MAX) {
                    return error.to_errno().into();
                }
                if whence as c_uint == b::SEEK_HOLE {
                    b::iomap_seek_hole(inode, offset, Tables::<T>::READ)
                } else {
                    b::iomap_seek_data(inode, offset, Tables::<T>::READ)
                }
            }
            _ => return b::generic_file_llseek(file, offset, whence),
        };
        if found < 0 {
            return found;
        }
        b::vfs_setpos(file, found, (*(*inode).i_sb).s_maxbytes)
    }
}

/// Zeroes what stands behind the end of the file in its last block, before the file grows over it: a mapping may have
/// written there.
///
/// # Safety
///
/// `inode` is a live file of `T`, locked.
unsafe fn zero_tail<T: FileData>(inode: *mut b::inode, size: i64) -> Result {
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
unsafe fn tail_of(inode: *mut b::inode, size: i64) -> u64 {
    // SAFETY: By the function's contract; the size of blocks never changes.
    let bits = unsafe { (*inode).i_blkbits };
    let mask = 1u64.checked_shl(bits.into()).unwrap_or(1).wrapping_sub(1);
    (size as u64).wrapping_neg() & mask
}

unsafe extern "C" fn mmap_prepare<T: DirectData>(desc: *mut b::vm_area_desc) -> c_int {
    // SAFETY: The VFS lends a description to fill; the table lives forever.
    unsafe {
        b::file_accessed((*desc).file);
        (*desc).vm_ops = Table::<T>::MAPPED;
    }
    0
}

unsafe extern "C" fn page_mkwrite<T: FileData>(fault: *mut b::vm_fault) -> b::vm_fault_t {
    // SAFETY: The VFS lends the fault of a mapping of ours. The file system cannot be frozen meanwhile, and the pages
    // cannot be cut away.
    unsafe {
        let file = (*(*fault).__bindgen_anon_1.vma).vm_file;
        let inode = b::file_inode(file);
        b::sb_start_pagefault((*inode).i_sb);
        b::file_update_time(file);
        b::filemap_invalidate_lock_shared((*inode).i_mapping);
        let result = Tables::<T>::page_mkwrite(fault);
        b::filemap_invalidate_unlock_shared((*inode).i_mapping);
        b::sb_end_pagefault((*inode).i_sb);
        result
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
    let at = inode.as_ptr();
    let old = inode.size();
    // SAFETY: The inode is alive and locked; the mapping's lock keeps faults away from what is cut.
    unsafe {
        if size > old {
            zero_tail::<T>(at, old)?;
            // Before the size: what was behind the old end must not appear if the power fails in between.
            if tail_of(at, old) != 0 {
                settle::<T>(at, old, old)?;
            }
            store()?;
            Tables::<T>::clear_behind_end(at, || b::i_size_write(at, size));
            b::truncate_setsize(at, size);
            return Ok(());
        }
        // The block that is cut keeps its head: its tail must be zero on the device as well.
        zero_tail::<T>(at, size)?;
        b::filemap_invalidate_lock((*at).i_mapping);
        b::truncate_setsize(at, size);
        Tables::<T>::give_up_behind(at, (size as u64).saturating_add(tail_of(at, size)));
        b::filemap_invalidate_unlock((*at).i_mapping);
        store()
    }
}

/// fsync of a file or directory: its data, then all else that the file system has of it.
pub(super) unsafe extern "C" fn fsync<T: Attributes>(
    file: *mut b::file,
    start: i64,
    end: i64,
    _datasync: c_int,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends an open file, which keeps its inode.
        let inode = unsafe { Inode::borrow(b::file_inode(file)) };
        T::settle(inode, &|| {
            // SAFETY: As above.
            to_result(unsafe { b::file_write_and_wait_range(file, start, end) })
        })?;
        // SAFETY: As above.
        to_result(unsafe { b::sync_inode_metadata(inode.as_ptr(), 1) })?;
        let _nofs = NofsScope::enter();
        T::sync(inode).map(|()| 0)
    })
}
