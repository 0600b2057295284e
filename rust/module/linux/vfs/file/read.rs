// SPDX-License-Identifier: GPL-2.0

//! Reading from an open file: from the page cache, or past it.

use super::b;
use super::lock::{Locked, Mode};
use super::write::settle_cached;
use crate::linux::iomap::direct::{direct_read, is_aligned, DirectData};
use crate::linux::noio::NoioScope;
use latch::prelude::*;

pub(super) unsafe extern "C" fn read_iter<T: DirectData>(
    iocb: *mut b::kiocb,
    to: *mut b::iov_iter,
) -> isize {
    // SAFETY: The VFS lends both; the file keeps its inode.
    unsafe {
        if (*iocb).ki_flags & b::IOCB_DIRECT == 0 {
            return read_cached(iocb, to, 0);
        }
        let inode = b::file_inode((*iocb).ki_filp);
        let done = match read_past_cache::<T>(iocb, to, inode) {
            Ok(done) => done,
            Err(error) => return error.to_errno() as isize,
        };
        // What is no whole block or stands in the trees comes from the cache; so does what memory could not be found for.
        if b::iov_iter_count(to) == 0 || (*iocb).ki_pos >= b::i_size_read(inode) {
            return done as isize;
        }
        read_cached(iocb, to, done as isize)
    }
}

/// Reads through the page cache; `done` bytes have been read before. A call that must not wait, or that goes on when a
/// folio is unlocked, starts readahead: that has no other way to know than its task's flags.
///
/// # Safety
///
/// The arguments are those of a `read_iter` call.
unsafe fn read_cached(iocb: *mut b::kiocb, to: *mut b::iov_iter, done: isize) -> isize {
    // SAFETY: By the function's contract.
    unsafe {
        let hurries = (*iocb).ki_flags & (b::IOCB_NOWAIT | b::IOCB_WAITQ) != 0;
        let _scope = hurries.then(NoioScope::enter);
        b::filemap_read(iocb, to, done)
    }
}

/// Reads past the page cache as much as can be; how much. `EIOCBQUEUED` if it goes on without us.
///
/// # Safety
///
/// The arguments are those of a `read_iter` call.
unsafe fn read_past_cache<T: DirectData>(
    iocb: *mut b::kiocb,
    to: *mut b::iov_iter,
    inode: *mut b::inode,
) -> Result<usize> {
    // SAFETY: By the function's contract.
    unsafe {
        if !is_aligned(inode, to, (*iocb).ki_pos) {
            return Ok(0);
        }
        b::file_accessed((*iocb).ki_filp);
        let _locked = Locked::take(inode, Mode::Shared, (*iocb).ki_flags)?;
        settle_cached::<T>(iocb, to, inode)?;
        let (mut done, mut left) = (0, 0);
        loop {
            let result = without_faults(iocb, to, || direct_read::<T>(iocb, to, done));
            done = usize::try_from(result).unwrap_or(0).max(done);
            let fault = EFAULT.to_errno() as isize;
            if result < 0 && result != fault {
                return Err(Error::from_errno(result as i32));
            }
            let before = core::mem::replace(&mut left, b::iov_iter_count(to));
            // Memory that was not there may be there now. Where that brought us no further, the cache is to do it.
            if result == 0 || left == 0 || left == before {
                return Ok(done);
            }
            b::fault_in_iov_iter_writeable(to, left);
        }
    }
}

/// Runs a read that answers `EFAULT` where memory of `to` is not there, instead of fetching it: it may be a mapping of
/// what is being read. A call that must not wait has no second try, and fetches it.
///
/// # Safety
///
/// `iocb` and `to` are alive, also after `read`.
unsafe fn without_faults(
    iocb: *mut b::kiocb,
    to: *mut b::iov_iter,
    read: impl FnOnce() -> isize,
) -> isize {
    // SAFETY: By the function's contract; page faults are allowed again before it returns.
    unsafe {
        if (*iocb).ki_flags & b::IOCB_NOWAIT != 0 {
            return read();
        }
        b::pagefault_disable();
        (*to).nofault = true;
        let result = read();
        (*to).nofault = false;
        b::pagefault_enable();
        result
    }
}
