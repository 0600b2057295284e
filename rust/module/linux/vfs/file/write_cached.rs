// SPDX-License-Identifier: GPL-2.0

//! Writing into the page cache.

use super::lock::{Exclusive, Locked, Mode};
use super::request::{Ends, Request};
use crate::linux::bindings as b;
use crate::linux::iomap::direct::DirectData;
use crate::linux::iomap::{pages_of, settle, Tables};
use kernel::error::to_result;
use latch::prelude::*;

/// A write into the page cache.
pub(super) fn write_into_cache<T: DirectData>(request: &Request<T>) -> Result<usize> {
    let locked = request.lock(Mode::Exclusive)?.into_exclusive();
    if check(&locked)? == 0 {
        return Ok(0);
    }
    note_change(&locked)?;
    write_rest_into_cache(&locked)
}

/// What of a request may be written, in bytes; it is cut to that.
pub(super) fn check<T>(request: &Locked<'_, T>) -> Result<usize> {
    if request.has(b::IOCB_APPEND) {
        request.wait_for_growth()?;
    }
    // SAFETY: The arguments of a `write_iter` call, by the invariant of `Request`, whose inode is locked.
    answer(unsafe { b::generic_write_checks(request.iocb, request.iter) })
}

/// Takes privileges off a file that is about to be written, and sets its times.
pub(super) fn note_change<T>(request: &Locked<'_, T>) -> Result {
    // SAFETY: The request of a `write_iter` call, by the invariant of `Request`, whose inode is locked.
    to_result(unsafe { b::kiocb_modified(request.iocb) })
}

fn answer(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::from_errno(result as i32))
}

/// Writes what is left of a request that passed [`check`] into the page cache.
fn write_rest_into_cache<T: DirectData>(request: &Exclusive<'_, T>) -> Result<usize> {
    let (inode, start) = (request.locked_inode(), request.position());
    if request.ends() == Ends::BehindEnd {
        request.wait_for_growth()?;
        Tables::<T>::prepare_growth(inode, start, request.patience)?;
        if start > inode.end() {
            Tables::<T>::clear_behind_end(inode, || ());
        }
    }
    // SAFETY: The arguments of a `write_iter` call on a file of `T`, locked exclusively.
    answer(unsafe { Tables::<T>::buffered_write(request.iocb, request.iter) })
}

/// Writes the rest of a request into the page cache and from there to the device.
pub(super) fn write_through_cache<T: DirectData>(locked: Locked<'_, T>) -> Result<usize> {
    let locked = locked.into_exclusive();
    // The lock may have been let go, and the file been given privileges.
    note_change(&locked)?;
    let request = locked.request();
    let start = request.position();
    let written = write_rest_into_cache(&locked)?;
    drop(locked);
    if written > 0 {
        let range = start..request.position();
        settle::<T>(request.inode(), &range).inspect_err(|_| request.go_back(start))?;
        let (mapping, (first, last)) = (request.inode().mapping(), pages_of(&range));
        // SAFETY: An inode keeps its mapping.
        unsafe { b::invalidate_mapping_pages(mapping, first, last) };
    }
    Ok(written)
}
