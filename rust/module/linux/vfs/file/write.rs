// SPDX-License-Identifier: GPL-2.0

//! Writing to an open file: into the page cache, or past it.
//!
//! Whether a request must be durable before it counts stands in its `kiocb` from beginning to end. Who completes it syncs,
//! once, with no lock held: the caller here, or iomap's worker for a request that went on without its caller.

use super::request::Request;
use super::write_cached::write_into_cache;
use super::write_direct::write_past_cache;
use crate::linux::bindings as b;
use crate::linux::iomap::direct::DirectData;

pub(super) unsafe extern "C" fn write_iter<T: DirectData>(
    iocb: *mut b::kiocb,
    from: *mut b::iov_iter,
) -> isize {
    // SAFETY: The VFS lends both for the call, of a file with this table.
    let request = unsafe { Request::<T>::new(iocb, from) };
    let written = match request.has(b::IOCB_DIRECT) {
        true => write_past_cache(&request),
        false => write_into_cache(&request),
    };
    match written {
        Ok(0) => 0,
        // SAFETY: No lock that fsync takes is held, and the request is still ours: it did not go on without us.
        Ok(written) => unsafe { b::generic_write_sync(iocb, written as isize) },
        Err(error) => error.to_errno() as isize,
    }
}
