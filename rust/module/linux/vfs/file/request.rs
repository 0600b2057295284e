// SPDX-License-Identifier: GPL-2.0

//! A call that reads or writes.
//!
//! C headers: `include/linux/fs.h` (`struct kiocb`), `include/linux/uio.h`

use crate::linux::bindings as b;
use crate::linux::iomap::direct::{is_aligned, DirectData};
use crate::linux::iomap::{settle, write_out, Patience, WrittenOut};
use crate::linux::loff::{loff, position};
use crate::linux::Inode;
use core::marker::PhantomData;
use core::ops::Range;
use latch::prelude::*;
use units::FileOffset;

/// What a `read_iter` or `write_iter` call is about.
///
/// # Invariants
///
/// `iocb` and `iter` are those of such a call on an open file of `T`, whose inode is `inode`. The caller keeps file and inode
/// until the call returns. The others are this task's until then, or until the request goes on without it (`EIOCBQUEUED`).
pub(super) struct Request<T> {
    pub(super) iocb: *mut b::kiocb,
    pub(super) iter: *mut b::iov_iter,
    inode: *mut b::inode,
    /// Whether the call may wait (`IOCB_NOWAIT`).
    pub(super) patience: Patience,
    _file: PhantomData<T>,
}

/// Where a request ends: whether it makes the file longer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// The file stays as long as it is.
    WithinFile,
    /// The file becomes longer.
    BehindEnd,
}

impl<T> Request<T> {
    /// # Safety
    ///
    /// The arguments are those of a `read_iter` or `write_iter` call on a file of `T`, and the value is used as its invariant
    /// says.
    pub(super) unsafe fn new(iocb: *mut b::kiocb, iter: *mut b::iov_iter) -> Self {
        // SAFETY: By the function's contract; an open file keeps its inode.
        let (inode, flags) = unsafe { (b::file_inode((*iocb).ki_filp), (*iocb).ki_flags) };
        // INVARIANT: By the function's contract.
        Self {
            iocb,
            iter,
            inode,
            patience: Patience::of_request(flags),
            _file: PhantomData,
        }
    }

    /// Whether one of these flags is set (`IOCB_*`).
    pub(super) fn has(&self, flags: i32) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.iocb).ki_flags & flags != 0 }
    }

    /// The inode of the file.
    pub(super) fn inode(&self) -> &Inode {
        // SAFETY: By the type invariant.
        unsafe { Inode::borrow(self.inode) }
    }

    /// Whether no privileges are to be taken off the file before it is written.
    pub(super) fn has_no_privileges(&self) -> bool {
        // SAFETY: By the type invariant the inode is alive; its flags are read without its lock everywhere.
        unsafe { (*self.inode).i_flags & b::S_NOSEC != 0 }
    }

    /// `EAGAIN` for a call that must not wait.
    pub(super) fn may_wait(&self) -> Result {
        match self.patience {
            Patience::Waits => Ok(()),
            Patience::None => Err(EAGAIN),
        }
    }

    /// Where in the file it goes on.
    pub(super) fn position(&self) -> FileOffset {
        // SAFETY: By the type invariant.
        position(unsafe { (*self.iocb).ki_pos })
    }

    /// Sets the position back to `start`: what went behind that does not count.
    pub(super) fn go_back(&self, start: FileOffset) {
        // SAFETY: By the type invariant.
        unsafe { (*self.iocb).ki_pos = loff(start) };
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { b::iov_iter_count(self.iter) }
    }

    /// Whether what is left, and its memory, are whole blocks of the file.
    pub(super) fn is_aligned(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { is_aligned(self.inode(), self.iter, self.position()) }
    }

    /// The bytes of the file that are left.
    fn range(&self) -> Range<FileOffset> {
        let start = self.position();
        start..start.saturating_add(self.left().into())
    }

    /// Where what is left ends.
    pub(super) fn ends(&self) -> Ends {
        match self.range().end > self.inode().end() {
            true => Ends::BehindEnd,
            false => Ends::WithinFile,
        }
    }
}

impl<T: DirectData> Request<T> {
    /// Sees to it that what the page cache has of the request's range is on the device, before the device is asked; also
    /// what was dirtied behind the file system's back, which iomap would not wait for. A call that must not wait leaves it
    /// to iomap to find dirty folios.
    pub(super) fn settle_cached(&self) -> Result {
        match self.cached_range() {
            Some(range) => settle::<T>(self.inode(), &range),
            None => Ok(()),
        }
    }

    /// Writes out what the page cache has of the range of a request that only reads: that does not wait for a thaw, and the
    /// page cache may be left with newer bytes.
    pub(super) fn write_cached_out(&self) -> Result<WrittenOut> {
        match self.cached_range() {
            Some(range) => write_out::<T>(self.inode(), &range),
            None => Ok(WrittenOut::All),
        }
    }

    /// The bytes of the request, if the page cache is to be asked.
    fn cached_range(&self) -> Option<Range<FileOffset>> {
        let is_asked = self.inode().has_pages() && self.patience == Patience::Waits;
        is_asked.then(|| self.range())
    }
}
