// SPDX-License-Identifier: GPL-2.0

//! lseek, to bytes and to holes.
//!
//! C header: `include/linux/fs.h`. Nothing is written out for it, and the inode is locked from step to step alone: of what others
//! change meanwhile it says what was there before, or what is afterwards.

use super::extents::{may_go_on, Content, Extents};
use super::lock::Steady;
use crate::linux::bindings as b;
use crate::linux::loff::{loff, position};
use crate::linux::Inode;
use kernel::ffi::{c_int, c_uint};
use latch::prelude::*;
use latch::NofsScope;
use units::FileOffset;

pub(super) unsafe extern "C" fn llseek<T: Extents>(
    file: *mut b::file,
    offset: i64,
    whence: c_int,
) -> i64 {
    let wanted = match whence as c_uint {
        b::SEEK_HOLE => Content::Hole,
        b::SEEK_DATA => Content::Data,
        // SAFETY: The VFS lends the file, its position locked.
        _ => return unsafe { b::generic_file_llseek(file, offset, whence) },
    };
    // SAFETY: An open file keeps its inode.
    let inode = unsafe { Inode::borrow(b::file_inode(file)) };
    let found = match offset {
        ..0 => Err(ENXIO),
        0.. => seek::<T>(inode, position(offset), wanted),
    };
    match found {
        // SAFETY: The VFS lends the file, its position locked; an inode keeps its super block.
        Ok(found) => unsafe {
            b::vfs_setpos(
                file,
                loff(found),
                (*inode.super_block().as_ptr()).s_maxbytes,
            )
        },
        Err(error) => error.to_errno().into(),
    }
}

/// The first position from `from` on that has what is wanted; behind the last byte there is a hole.
fn seek<T: Extents>(inode: &Inode, from: FileOffset, wanted: Content) -> Result<FileOffset> {
    let (mut at, end) = (from, inode.end());
    if at >= end {
        return Err(ENXIO);
    }
    let _nofs = NofsScope::enter();
    while at < end {
        may_go_on()?;
        let (content, until) = {
            // What write(2) has copied is dirty for nobody yet, and may be read.
            let _steady = Steady::wait(inode);
            T::look(inode, at, end)?
        };
        if content == wanted {
            return Ok(at);
        }
        at = until;
    }
    match wanted {
        Content::Hole => Ok(end),
        Content::Data => Err(ENXIO),
    }
}
