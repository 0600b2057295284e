// SPDX-License-Identifier: GPL-2.0

//! Regular files: the plainest tables that read.
//!
//! C header: `include/linux/fs.h`

use super::bindings as b;
use super::{Folio, Inode};
use kernel::ffi::c_int;
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;

/// The contents of regular files.
pub(crate) trait FileData: 'static {
    /// Fills a locked folio of the page cache; the caller unlocks it.
    fn read_folio(inode: &Inode, folio: &Folio) -> Result;
}

/// The operations of a regular file.
pub(super) struct Table<T>(PhantomData<T>);

impl<T: FileData> Table<T> {
    pub(super) const FILE: b::file_operations = b::file_operations {
        llseek: Some(b::generic_file_llseek),
        read_iter: Some(b::generic_file_read_iter),
        splice_read: Some(b::filemap_splice_read),
        mmap_prepare: Some(b::generic_file_readonly_mmap_prepare),
        fsync: Some(fsync_metadata),
        ..pin_init::zeroed()
    };
    pub(super) const MAPPING: b::address_space_operations = b::address_space_operations {
        read_folio: Some(read_folio::<T>),
        ..pin_init::zeroed()
    };
}

unsafe extern "C" fn read_folio<T: FileData>(_file: *mut b::file, folio: *mut b::folio) -> c_int {
    // SAFETY: The VFS lends a locked folio of one of our inodes.
    let (folio, inode) = unsafe {
        let mapping = (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping;
        (Folio::borrow(folio), Inode::borrow((*mapping).host))
    };
    let result = T::read_folio(inode, folio);
    folio.end_read(result);
    from_result(|| result.map(|()| 0))
}

/// fsync by a commit of the whole file system.
pub(super) unsafe extern "C" fn fsync_metadata(file: *mut b::file, start: i64, end: i64, _datasync: c_int) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends an open file.
        let inode = unsafe {
            to_result(b::file_write_and_wait_range(file, start, end))?;
            b::file_inode(file)
        };
        // SAFETY: As above; the super block has `sync_fs`.
        unsafe {
            to_result(b::sync_inode_metadata(inode, 1))?;
            let sync = (*(*(*inode).i_sb).s_op).sync_fs.ok_or(EINVAL)?;
            to_result(sync((*inode).i_sb, 1))?;
        }
        Ok(0)
    })
}
