// SPDX-License-Identifier: GPL-2.0

//! Writing past the page cache.

use super::lock::{Locked, Mode};
use super::request::{Ends, Request};
use super::write_cached::{check, note_change, write_through_cache};
use crate::linux::bindings as b;
use crate::linux::enospc::{in_turn, Persistence};
use crate::linux::iomap::direct::{direct_write, DirectData, DirectWrite};
use crate::linux::iomap::{is_folio_across_end, Blocks, Patience, Tables};
use latch::prelude::*;

/// A write past the page cache; what cannot go that way goes into the cache, and is on the device on return as well.
pub(super) fn write_past_cache<T: DirectData>(request: &Request<T>) -> Result<usize> {
    let Some(locked) = lock_checked(request)? else {
        return Ok(0);
    };
    let mut written = 0;
    if request.is_aligned() {
        prepare_growth(&locked)?;
        locked.settle_cached()?;
        match submit(&locked, &mut written) {
            // Whoever completes the request counts what is written already.
            Err(error) if error == EIOCBQUEUED => return Err(error),
            Err(error) if error != ENOTBLK && written == 0 => return Err(error),
            Err(error) if error != ENOTBLK => return Ok(written),
            _ if request.left() == 0 => return Ok(written),
            _ => {}
        }
    }
    if request.patience == Patience::None {
        return match written {
            0 => Err(EAGAIN),
            written => Ok(written),
        };
    }
    match write_through_cache(locked) {
        Err(error) if written == 0 => Err(error),
        result => Ok(result.unwrap_or(0).saturating_add(written)),
    }
}

/// Locks the inode as the request needs it and checks the request. `None`: there is nothing to write.
fn lock_checked<T>(request: &Request<T>) -> Result<Option<Locked<'_, T>>> {
    let mut mode = match request.ends() {
        Ends::WithinFile
            if !request.has(b::IOCB_APPEND)
                && request.has_no_privileges()
                && request.is_aligned() =>
        {
            Mode::Shared
        }
        _ => Mode::Exclusive,
    };
    loop {
        let locked = request.lock(mode)?;
        if check(&locked)? == 0 {
            return Ok(None);
        }
        // Both were looked at before the lock was there.
        if mode == Mode::Shared && (locked.ends() == Ends::BehindEnd || !locked.has_no_privileges())
        {
            mode = Mode::Exclusive;
            continue;
        }
        note_change(&locked)?;
        return Ok(Some(locked));
    }
}

/// Before a direct request makes the file longer. Requests in whole blocks behind one another, the usual case, go on side
/// by side; who is waited for by its caller is alone, so that its failure can be undone.
fn prepare_growth<T: DirectData>(request: &Locked<'_, T>) -> Result {
    let (Ends::BehindEnd, Some(inode)) = (request.ends(), request.alone()) else {
        // Whoever has the inode together with others makes it no longer.
        return Ok(());
    };
    // Whether what is behind the end must be seen to.
    let is_cut = || {
        let end = inode.end();
        let is_gap = request.position() > end;
        !Blocks::of(&inode).tail_of(end).is_zero() || (is_gap && is_folio_across_end(&inode))
    };
    // SAFETY: The request is still ours.
    let goes_on_alone = unsafe { (*request.iocb).ki_complete.is_some() };
    if !is_cut() && goes_on_alone {
        return Ok(());
    }
    // The device is waited for.
    request.may_wait()?;
    request.wait_for_growth()?;
    if is_cut() {
        Tables::<T>::prepare_growth(inode, request.position(), request.patience)?;
        Tables::<T>::clear_behind_end(inode, || ());
    }
    Ok(())
}

/// Sends the request, memory that is not there being fetched in between; `written` is how much is done. `ENOTBLK`: the
/// rest is for the page cache. `EIOCBQUEUED`: the request goes on without us, and is touched no more.
fn submit<T: DirectData>(request: &Locked<'_, T>, written: &mut usize) -> Result {
    let mut write = DirectWrite::<T>::new(request.position(), request.patience);
    let mut left = 0;
    loop {
        let whole = request.left();
        // Once a part was sent the word is the device's, and it has failed.
        let refused = |error| match error == EBUSY && request.left() != whole {
            true => EIO,
            false => error,
        };
        // The range is left in between, and the inode's lock is none that others need.
        match in_turn(request.inode(), Persistence::Patient, || {
            send(request, &mut write, *written).map_err(refused)
        }) {
            Err(error) if error == EFAULT => {}
            sent => *written = sent?.max(*written),
        }
        let before = core::mem::replace(&mut left, request.left());
        if left == 0 {
            return Ok(());
        }
        // A mapping of the range that is written goes away again and again.
        if left == before || request.patience == Patience::None {
            return Err(ENOTBLK);
        }
        // SAFETY: The request is still ours.
        unsafe { b::fault_in_iov_iter_readable(request.iter, left) };
    }
}

/// Sends what can be sent at once; how much is done. Errors as of [`direct_write`].
fn send<T: DirectData>(
    request: &Locked<'_, T>,
    write: &mut DirectWrite<T>,
    written: usize,
) -> Result<usize> {
    // SAFETY: The arguments of a `write_iter` call on a file of `T`, whose inode is locked, exclusively if the file grows.
    let dio = unsafe { direct_write(request.iocb, request.iter, write, written) }?;
    if dio.is_null() {
        return Ok(0);
    }
    // SAFETY: `dio` was returned for this request, which did not go on without us.
    let result = unsafe { complete(request.iocb, dio) };
    usize::try_from(result).map_err(|_| Error::from_errno(result as i32))
}

/// Completes a part of a request for its caller, who syncs in the end.
///
/// # Safety
///
/// `dio` is what `__iomap_dio_rw` returned for `iocb`, which the caller has.
unsafe fn complete(iocb: *mut b::kiocb, dio: *mut b::iomap_dio) -> isize {
    // SAFETY: By the function's contract nobody else has the request now.
    unsafe {
        let sync = (*iocb).ki_flags & (b::IOCB_DSYNC | b::IOCB_SYNC);
        (*iocb).ki_flags &= !sync;
        let result = b::iomap_dio_complete(dio);
        (*iocb).ki_flags |= sync;
        result
    }
}
