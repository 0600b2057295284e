// SPDX-License-Identifier: GPL-2.0

//! Reading from an open file: from the page cache, or past it.

use super::lock::{Locked, Mode};
use super::request::Request;
use crate::linux::bindings as b;
use crate::linux::iomap::direct::{direct_read, DirectData};
use crate::linux::iomap::{Patience, WrittenOut};
use crate::linux::noio::NoioScope;
use latch::prelude::*;

pub(super) unsafe extern "C" fn read_iter<T: DirectData>(
    iocb: *mut b::kiocb,
    to: *mut b::iov_iter,
) -> isize {
    // SAFETY: The VFS lends both for the call, of a file with this table.
    let request = unsafe { Request::<T>::new(iocb, to) };
    if !request.has(b::IOCB_DIRECT) {
        return read_cached(&request, 0);
    }
    let done = match read_past_cache(&request) {
        Ok(done) => done,
        Err(error) => return error.to_errno() as isize,
    };
    // What is no whole block or stands in the trees comes from the cache; so does what memory could not be found for, and
    // what the device does not have.
    if request.left() == 0 || request.position() >= request.inode().end() {
        return done as isize;
    }
    read_cached(&request, done as isize)
}

/// Reads through the page cache; `done` bytes have been read before. A call that must not wait, or that goes on when a
/// folio is unlocked, starts readahead: that has no other way to know than its task's flags.
fn read_cached<T: DirectData>(request: &Request<T>, done: isize) -> isize {
    let hurries = request.patience == Patience::None || request.has(b::IOCB_WAITQ);
    let _scope = hurries.then(NoioScope::enter);
    // SAFETY: The arguments of a `read_iter` call, by the invariant of `Request`.
    unsafe { b::filemap_read(request.iocb, request.iter, done) }
}

/// Reads past the page cache as much as can be; how much. `EIOCBQUEUED` if it goes on without us.
fn read_past_cache<T: DirectData>(request: &Request<T>) -> Result<usize> {
    if !request.is_aligned() {
        return Ok(0);
    }
    // SAFETY: The request's file is open by the invariant of `Request`.
    unsafe { b::file_accessed((*request.iocb).ki_filp) };
    let locked = request.lock(Mode::Shared)?;
    if locked.write_cached_out()? == WrittenOut::Partly {
        return Ok(0);
    }
    let (mut done, mut left) = (0, 0);
    loop {
        let result = read_without_faults(&locked, done);
        done = usize::try_from(result).unwrap_or(0).max(done);
        let fault = EFAULT.to_errno() as isize;
        if result < 0 && result != fault {
            return Err(Error::from_errno(result as i32));
        }
        let before = core::mem::replace(&mut left, request.left());
        // Memory that was not there may be there now. Where that brought us no further, the cache is to do it; and what is
        // behind the end of the file as it was, if a request that is under way has made it longer since.
        if result == 0 || left == 0 || left == before || !request.is_aligned() {
            return Ok(done);
        }
        // SAFETY: The request is still ours: it did not go on without us.
        unsafe { b::fault_in_iov_iter_writeable(request.iter, left) };
    }
}

/// Reads, and answers `EFAULT` where memory is not there, instead of fetching it: it may be a mapping of what is being
/// read. A call that must not wait has no second try, and fetches it.
fn read_without_faults<T: DirectData>(request: &Locked<'_, T>, done: usize) -> isize {
    // SAFETY: The arguments of a `read_iter` call on a file of `T`, by the invariant of `Request`.
    let read = || unsafe { direct_read::<T>(request.iocb, request.iter, done) };
    if request.patience == Patience::None {
        return read();
    }
    // SAFETY: Page faults are allowed again below. The iterator is the caller's memory: it is there also where the request
    // goes on without us.
    unsafe {
        b::pagefault_disable();
        (*request.iter).nofault = true;
    }
    let result = read();
    // SAFETY: This ends what the block before began, in the same task; the iterator is still the caller's.
    unsafe {
        (*request.iter).nofault = false;
        b::pagefault_enable();
    }
    result
}
