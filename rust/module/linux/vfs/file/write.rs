// SPDX-License-Identifier: GPL-2.0

//! Writing to an open file: into the page cache, or past it.
//!
//! Whether a request must be durable before it counts stands in its `kiocb` from beginning to end. Who completes it syncs,
//! once, with no lock held: the caller here, or iomap's worker for a request that went on without its caller.

use super::b;
use super::lock::{Locked, Mode};
use super::resize::{tail_of, zero_tail};
use crate::linux::iomap::direct::{direct_write, is_aligned, DirectData, DirectWrite};
use crate::linux::iomap::{is_folio_across_end, settle, Tables};
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};
use kernel::error::to_result;
use latch::prelude::*;

pub(super) unsafe extern "C" fn write_iter<T: DirectData>(
    iocb: *mut b::kiocb,
    from: *mut b::iov_iter,
) -> isize {
    // SAFETY: The VFS lends both; the file keeps its inode.
    let written = unsafe {
        let inode = b::file_inode((*iocb).ki_filp);
        match (*iocb).ki_flags & b::IOCB_DIRECT != 0 {
            true => write_past_cache::<T>(iocb, from, inode),
            false => write_into_cache::<T>(iocb, from, inode),
        }
    };
    match written {
        Ok(0) => 0,
        // SAFETY: As above; no lock that fsync takes is held, and the request is still ours.
        Ok(written) => unsafe { b::generic_write_sync(iocb, written as isize) },
        Err(error) => error.to_errno() as isize,
    }
}

/// A write into the page cache.
///
/// # Safety
///
/// The arguments are those of a `write_iter` call.
unsafe fn write_into_cache<T: DirectData>(
    iocb: *mut b::kiocb,
    from: *mut b::iov_iter,
    inode: *mut b::inode,
) -> Result<usize> {
    // SAFETY: By the function's contract.
    unsafe {
        let _locked = Locked::take(inode, Mode::Exclusive, (*iocb).ki_flags)?;
        if (*iocb).ki_flags & b::IOCB_APPEND != 0 {
            wait_for_growth(iocb, inode)?;
        }
        let count = b::generic_write_checks(iocb, from);
        if count <= 0 {
            return answer(count);
        }
        to_result(b::kiocb_modified(iocb))?;
        answer(write_rest_into_cache::<T>(iocb, from, inode)?)
    }
}

fn answer(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::from_errno(result as i32))
}

/// Writes what is left of a request that passed the checks into the page cache.
///
/// # Safety
///
/// The arguments are those of a `write_iter` call; the inode is locked exclusively.
unsafe fn write_rest_into_cache<T: DirectData>(
    iocb: *mut b::kiocb,
    from: *mut b::iov_iter,
    inode: *mut b::inode,
) -> Result<isize> {
    // SAFETY: By the function's contract.
    unsafe {
        if growth(iocb, from, inode) == Growth::Grows {
            wait_for_growth(iocb, inode)?;
        }
        let size = b::i_size_read(inode);
        if (*iocb).ki_pos > size {
            // May read, and write out.
            if (*iocb).ki_flags & b::IOCB_NOWAIT != 0 {
                return Err(EAGAIN);
            }
            zero_tail::<T>(inode, size)?;
            Tables::<T>::clear_behind_end(inode, || ());
        }
        Ok(Tables::<T>::buffered_write(iocb, from))
    }
}

/// Whether a request makes the file longer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Growth {
    Grows,
    Stays,
}

/// # Safety
///
/// The arguments are those of a `write_iter` call.
unsafe fn growth(iocb: *mut b::kiocb, from: *mut b::iov_iter, inode: *mut b::inode) -> Growth {
    // SAFETY: By the function's contract.
    let (end, size) = unsafe {
        let count = i64::try_from(b::iov_iter_count(from)).unwrap_or(i64::MAX);
        ((*iocb).ki_pos.saturating_add(count), b::i_size_read(inode))
    };
    match end > size {
        true => Growth::Grows,
        false => Growth::Stays,
    }
}

/// Waits until the size is what all direct requests so far make it: one that goes on without its caller raises it when it
/// ends. `EAGAIN` for a call that must not wait.
///
/// # Safety
///
/// `iocb` is that of a `write_iter` call; `inode` is locked exclusively, so that no request begins meanwhile.
unsafe fn wait_for_growth(iocb: *mut b::kiocb, inode: *mut b::inode) -> Result {
    // SAFETY: By the function's contract; everybody reaches the counter atomically.
    unsafe {
        let under_way = AtomicI32::from_ptr(ptr::addr_of_mut!((*inode).i_dio_count.counter));
        if under_way.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        if (*iocb).ki_flags & b::IOCB_NOWAIT != 0 {
            return Err(EAGAIN);
        }
        b::inode_dio_wait(inode);
    }
    Ok(())
}

/// A write past the page cache; what cannot go that way goes into the cache, and is on the device on return as well.
///
/// # Safety
///
/// The arguments are those of a `write_iter` call.
unsafe fn write_past_cache<T: DirectData>(
    iocb: *mut b::kiocb,
    from: *mut b::iov_iter,
    inode: *mut b::inode,
) -> Result<usize> {
    // SAFETY: By the function's contract.
    unsafe {
        let Some(locked) = lock_checked(iocb, from, inode)? else {
            return Ok(0);
        };
        let mut written = 0;
        if is_aligned(inode, from, (*iocb).ki_pos) {
            prepare_growth::<T>(iocb, from, inode)?;
            settle_cached::<T>(iocb, from, inode)?;
            let end = submit::<T>(iocb, from, &mut written);
            match end {
                // Whoever completes the request counts what is written already.
                Err(error) if error == EIOCBQUEUED => return Err(error),
                Err(error) if error != ENOTBLK && written == 0 => return Err(error),
                Err(error) if error != ENOTBLK => return Ok(written),
                _ if b::iov_iter_count(from) == 0 => return Ok(written),
                _ => {}
            }
        }
        if (*iocb).ki_flags & b::IOCB_NOWAIT != 0 {
            return match written {
                0 => Err(EAGAIN),
                written => Ok(written),
            };
        }
        match write_through_cache::<T>(iocb, from, inode, locked) {
            Err(error) if written == 0 => Err(error),
            result => Ok(result.unwrap_or(0).saturating_add(written)),
        }
    }
}

/// Before a direct request makes the file longer. Requests in whole blocks behind one another, the usual case, go on side
/// by side; who is waited for by its caller is alone, so that its failure can be undone.
///
/// # Safety
///
/// The arguments are those of a `write_iter` call; the inode is locked, exclusively if the file grows.
unsafe fn prepare_growth<T: DirectData>(
    iocb: *mut b::kiocb,
    from: *mut b::iov_iter,
    inode: *mut b::inode,
) -> Result {
    // SAFETY: By the function's contract.
    unsafe {
        if growth(iocb, from, inode) == Growth::Stays {
            return Ok(());
        }
        let cut = || {
            let size = b::i_size_read(inode);
            let is_cut = || tail_of(inode, size) != 0 || is_folio_across_end(inode);
            ((*iocb).ki_pos > size && is_cut()).then_some(size)
        };
        if cut().is_none() && (*iocb).ki_complete.is_some() {
            return Ok(());
        }
        // The device is waited for.
        if (*iocb).ki_flags & b::IOCB_NOWAIT != 0 {
            return Err(EAGAIN);
        }
        wait_for_growth(iocb, inode)?;
        if let Some(size) = cut() {
            zero_tail::<T>(inode, size)?;
            // What was behind the old end must not appear if the power fails after the file has grown.
            settle::<T>(inode, size, size)?;
            Tables::<T>::clear_behind_end(inode, || ());
        }
        Ok(())
    }
}

/// Locks the inode as the request needs it and checks the request. `None`: there is nothing to write.
///
/// # Safety
///
/// The arguments are those of a `write_iter` call.
unsafe fn lock_checked(
    iocb: *mut b::kiocb,
    from: *mut b::iov_iter,
    inode: *mut b::inode,
) -> Result<Option<Locked>> {
    // SAFETY: By the function's contract.
    unsafe {
        let flags = (*iocb).ki_flags;
        let has_no_privileges = || (*inode).i_flags & b::S_NOSEC != 0;
        let mut mode = match growth(iocb, from, inode) {
            Growth::Stays
                if flags & b::IOCB_APPEND == 0
                    && has_no_privileges()
                    && is_aligned(inode, from, (*iocb).ki_pos) =>
            {
                Mode::Shared
            }
            _ => Mode::Exclusive,
        };
        loop {
            let locked = Locked::take(inode, mode, flags)?;
            if flags & b::IOCB_APPEND != 0 {
                wait_for_growth(iocb, inode)?;
            }
            let count = b::generic_write_checks(iocb, from);
            if count <= 0 {
                return answer(count).map(|_| None);
            }
            let growth = growth(iocb, from, inode);
            // Both were looked at before the lock was there.
            if mode == Mode::Shared && (growth == Growth::Grows || !has_no_privileges()) {
                mode = Mode::Exclusive;
                continue;
            }
            to_result(b::kiocb_modified(iocb))?;
            return Ok(Some(locked));
        }
    }
}

/// Sees to it that what the page cache has of a request's range is on the device, before the device is asked; also what
/// was dirtied behind the file system's back, which iomap would not wait for. A call that must not wait leaves it to
/// iomap to find dirty folios.
///
/// # Safety
///
/// The arguments are those of a `read_iter` or `write_iter` call.
pub(super) unsafe fn settle_cached<T: DirectData>(
    iocb: *mut b::kiocb,
    iter: *const b::iov_iter,
    inode: *mut b::inode,
) -> Result {
    // SAFETY: By the function's contract; the caller holds no folio's lock.
    unsafe {
        if (*(*inode).i_mapping).nrpages == 0 || (*iocb).ki_flags & b::IOCB_NOWAIT != 0 {
            return Ok(());
        }
        let start = (*iocb).ki_pos;
        let count = i64::try_from(b::iov_iter_count(iter)).unwrap_or(i64::MAX);
        settle::<T>(inode, start, start.saturating_add(count).saturating_sub(1))
    }
}

/// Sends the request, memory that is not there being fetched in between; `written` is how much is done. `ENOTBLK`: the
/// rest is for the page cache. `EIOCBQUEUED`: the request goes on without us.
///
/// # Safety
///
/// The arguments are those of a `write_iter` call; the inode is locked, exclusively if the file grows.
unsafe fn submit<T: DirectData>(
    iocb: *mut b::kiocb,
    from: *mut b::iov_iter,
    written: &mut usize,
) -> Result {
    // SAFETY: By the function's contract. After `EIOCBQUEUED` the request is touched no more.
    unsafe {
        let nowait = (*iocb).ki_flags & b::IOCB_NOWAIT != 0;
        let mut write = DirectWrite::new((*iocb).ki_pos);
        let mut left = 0;
        loop {
            let result = match direct_write::<T>(iocb, from, &mut write, *written) {
                Ok(dio) if dio.is_null() => 0,
                Ok(dio) => complete(iocb, dio),
                Err(error) => error.to_errno() as isize,
            };
            *written = usize::try_from(result).unwrap_or(0).max(*written);
            if result < 0 && result != EFAULT.to_errno() as isize {
                return Err(Error::from_errno(result as i32));
            }
            let before = core::mem::replace(&mut left, b::iov_iter_count(from));
            if left == 0 {
                return Ok(());
            }
            // A mapping of the range that is written goes away again and again.
            if left == before || nowait {
                return Err(ENOTBLK);
            }
            b::fault_in_iov_iter_readable(from, left);
        }
    }
}

/// Completes a part of a request for its caller, who syncs in the end.
///
/// # Safety
///
/// `dio` is what `__iomap_dio_rw` returned for `iocb`.
unsafe fn complete(iocb: *mut b::kiocb, dio: *mut b::iomap_dio) -> isize {
    // SAFETY: By the function's contract: nobody else has the request now.
    unsafe {
        let sync = (*iocb).ki_flags & (b::IOCB_DSYNC | b::IOCB_SYNC);
        (*iocb).ki_flags &= !sync;
        let result = b::iomap_dio_complete(dio);
        (*iocb).ki_flags |= sync;
        result
    }
}

/// Writes the rest of a request into the page cache and from there to the device.
///
/// # Safety
///
/// The arguments are those of a `write_iter` call; `locked` is the lock of the inode.
unsafe fn write_through_cache<T: DirectData>(
    iocb: *mut b::kiocb,
    from: *mut b::iov_iter,
    inode: *mut b::inode,
    locked: Locked,
) -> Result<usize> {
    // SAFETY: By the function's contract.
    unsafe {
        let locked = match locked.mode() {
            Mode::Exclusive => locked,
            Mode::Shared => {
                drop(locked);
                Locked::new(inode, Mode::Exclusive)
            }
        };
        let start = (*iocb).ki_pos;
        let written = answer(write_rest_into_cache::<T>(iocb, from, inode)?)?;
        drop(locked);
        if written > 0 {
            let last = (*iocb).ki_pos.saturating_sub(1);
            let mapping = (*inode).i_mapping;
            settle::<T>(inode, start, last)?;
            let page = |pos: i64| pos as usize >> b::PAGE_SHIFT;
            b::invalidate_mapping_pages(mapping, page(start), page(last));
        }
        Ok(written)
    }
}
