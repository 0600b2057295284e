// SPDX-License-Identifier: GPL-2.0

//! The calls on open regular files.
//!
//! C header: `include/linux/fs.h`. Data moves by [`iomap`](crate::linux::iomap); here is what a `struct file` adds:
//! positions, the inode's lock, limits, and when a call must wait for the device.
//!
//! | module           | what is in it                                        |
//! |------------------|------------------------------------------------------|
//! | [`request`]      | a call that reads or writes                          |
//! | [`read`]         | `read_iter`: from the page cache, or past it         |
//! | `write`          | `write_iter`: into the page cache, or past it; syncs |
//! | `write_cached`   | a write into the page cache                          |
//! | [`write_direct`] | a write past the page cache                          |
//! | [`mmap`]         | mappings, and stores through them                    |
//! | `resize`         | a file becomes longer or shorter                     |
//! | [`fallocate`]    | holes, zeroes, space before it is written            |
//! | [`extents`]      | where a file has bytes                               |
//! | [`fiemap`]       | which extents a file has                             |
//! | [`seek`]         | lseek, to bytes and to holes                         |
//! | [`lock`]         | the locks of an inode and of its pages as values     |

use super::attributes::fileattr::{self, Flagged};
use super::attributes::Attributes;
use super::ioctl::{self, Ioctls};
use super::operations::Common;
use crate::linux::bindings as b;
use crate::linux::inode::NewInode;
use crate::linux::iomap::direct::DirectData;
use crate::linux::iomap::Tables;
use crate::linux::Inode;
use core::marker::PhantomData;
use kernel::error::{from_result, to_result};
use kernel::ffi::c_int;
use latch::NofsScope;

mod extents;
mod fallocate;
mod fiemap;
mod lock;
mod mmap;
mod read;
mod request;
mod resize;
mod seek;
mod write;
mod write_cached;
mod write_direct;

pub(crate) use extents::{flags as fiemap_flags, Content, Extents, Found, Piece};
pub(crate) use fallocate::{allocate, punch, Fallocate, Hole};
pub(crate) use resize::resize;

/// The calls on open files of `T` with data by `D`.
struct Table<T, D>(PhantomData<(T, D)>);

impl<T: Attributes + Flagged + Ioctls + Fallocate + Extents, D: DirectData> Table<T, D> {
    const INODE: b::inode_operations = b::inode_operations {
        fileattr_get: Some(fileattr::get::<T>),
        fileattr_set: Some(fileattr::set::<T>),
        fiemap: Some(fiemap::fiemap::<T, D>),
        ..Common::<T>::INODE
    };
    const FILE: b::file_operations = b::file_operations {
        llseek: Some(seek::llseek::<T>),
        open: Some(open),
        release: Some(release::<T>),
        read_iter: Some(read::read_iter::<D>),
        write_iter: Some(write::write_iter::<D>),
        splice_read: Some(b::filemap_splice_read),
        splice_write: Some(b::iter_file_splice_write),
        mmap_prepare: Some(mmap::prepare::<D>),
        fsync: Some(fsync::<T>),
        fallocate: Some(fallocate::fallocate::<T>),
        setlease: Some(b::generic_setlease),
        unlocked_ioctl: Some(ioctl::native::<T>),
        compat_ioctl: Some(ioctl::compat::<T>),
        fop_flags: b::FOP_BUFFER_RASYNC | b::FOP_BUFFER_WASYNC | b::FOP_DIO_PARALLEL_WRITE,
        ..pin_init::zeroed()
    };
}

impl NewInode {
    /// Makes it a regular file.
    pub(crate) fn set_regular<
        T: Attributes + Flagged + Ioctls + Fallocate + Extents,
        D: DirectData,
    >(
        &mut self,
    ) {
        self.set_operations(
            &Table::<T, D>::INODE,
            Some(&Table::<T, D>::FILE),
            Some(Tables::<D>::ADDRESS_SPACE),
        );
        let mapping = self.mapping();
        // `invalidate_folio`, which gives up the space of what is cut, is called for folios of one block too, to which iomap
        // attaches nothing. Pages hold still while they are written: they are checksummed.
        // SAFETY: Nobody else uses the mapping of a `NewInode` before that is published.
        unsafe {
            b::mapping_set_large_folios(mapping);
            b::mapping_set_release_always(mapping);
            b::mapping_set_stable_writes(mapping);
        }
    }
}

unsafe extern "C" fn open(inode: *mut b::inode, file: *mut b::file) -> c_int {
    // SAFETY: The VFS lends the inode for the call.
    unsafe { Inode::borrow(inode) }
        .super_block()
        .remind_of_failure();
    // SAFETY: The VFS lends both for the call; the file is being opened, and this task's alone.
    unsafe {
        (*file).f_mode |= (b::FMODE_CAN_ODIRECT | b::FMODE_NOWAIT) as b::fmode_t;
        b::generic_file_open(inode, file)
    }
}

unsafe extern "C" fn release<T: Attributes>(inode: *mut b::inode, file: *mut b::file) -> c_int {
    // SAFETY: The VFS lends the last user's file, and with it the inode.
    let (inode, mode) = unsafe { (Inode::borrow(inode), (*file).f_mode) };
    if mode & b::FMODE_WRITE as b::fmode_t != 0 {
        T::closed(inode);
    }
    0
}

/// fsync of a file or directory: its data, then all else that the file system has of it. It is the one way by which a
/// file is made durable: `O_SYNC` and direct writes end here, too. All of the data is meant, as in C, also where a range is
/// asked for: what is durable then is of one moment.
pub(super) unsafe extern "C" fn fsync<T: Attributes>(
    file: *mut b::file,
    _start: i64,
    _end: i64,
    _datasync: c_int,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS lends an open file, which keeps its inode.
        let inode = unsafe { Inode::borrow(b::file_inode(file)) };
        T::settle(inode, &|| {
            // SAFETY: The VFS lends the file until the call returns.
            to_result(unsafe { b::file_write_and_wait_range(file, 0, i64::MAX) })
        })?;
        let _nofs = NofsScope::enter();
        T::sync(inode).map(|()| 0)
    })
}
