// SPDX-License-Identifier: GPL-2.0

//! Mappings of a file.
//!
//! C header: `include/linux/mm.h`

use crate::linux::bindings as b;
use crate::linux::iomap::{FileData, Tables};
use crate::linux::Inode;
use core::marker::PhantomData;
use kernel::ffi::c_int;

/// The calls on mappings of `T`'s files.
struct Table<T>(PhantomData<T>);

impl<T: FileData> Table<T> {
    const MAPPED: &'static b::vm_operations_struct = &b::vm_operations_struct {
        fault: Some(b::filemap_fault),
        map_pages: Some(b::filemap_map_pages),
        page_mkwrite: Some(page_mkwrite::<T>),
        ..pin_init::zeroed()
    };
}

pub(super) unsafe extern "C" fn prepare<T: FileData>(desc: *mut b::vm_area_desc) -> c_int {
    // SAFETY: The VFS lends a description to fill, and the file that is mapped; the table lives forever.
    unsafe {
        b::file_accessed((*desc).file);
        (*desc).vm_ops = Table::<T>::MAPPED;
    }
    0
}

unsafe extern "C" fn page_mkwrite<T: FileData>(fault: *mut b::vm_fault) -> b::vm_fault_t {
    // SAFETY: The fault is of a mapping by `prepare`; a mapping keeps its file, and the file its inode, while the fault is
    // handled.
    let (file, inode) = unsafe {
        let file = (*(*fault).__bindgen_anon_1.vma).vm_file;
        (file, Inode::borrow(b::file_inode(file)))
    };
    let (sb, mapping) = (inode.super_block().as_ptr(), inode.mapping());
    // SAFETY: An inode keeps both; each lock is let go below. The file system cannot be frozen meanwhile.
    unsafe {
        b::sb_start_pagefault(sb);
        b::file_update_time(file);
        b::filemap_invalidate_lock_shared(mapping);
    }
    // SAFETY: The VFS lends the fault, of a file of `T`; with the mapping's lock, its pages cannot be cut away.
    let result = unsafe { Tables::<T>::page_mkwrite(inode, fault) };
    // SAFETY: Both were taken above by this task.
    unsafe {
        b::filemap_invalidate_unlock_shared(mapping);
        b::sb_end_pagefault(sb);
    }
    result
}
