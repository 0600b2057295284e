// SPDX-License-Identifier: GPL-2.0

//! From dirty folios to requests, each with the space that was promised to it.

use super::{bindings, of, FileData, Tables};
use crate::linux::file_bio::Ioend;
use core::ptr;
use engine::fs::Divisible;
use kernel::error::to_result;
use kernel::ffi;
use latch::prelude::*;

/// One run of writeback: iomap's context first, so that its address is ours.
#[repr(C)]
struct Writeback<T: FileData> {
    context: bindings::iomap_writepage_ctx,
    /// Space of the ranges taken and not sent yet.
    pending: Option<T::Reservation>,
}

pub(super) unsafe extern "C" fn writepages<T: FileData>(
    mapping: *mut bindings::address_space,
    control: *mut bindings::writeback_control,
) -> ffi::c_int {
    let mut writeback = Writeback::<T> {
        context: bindings::iomap_writepage_ctx {
            // SAFETY: The VFS passes a mapping of ours.
            inode: unsafe { (*mapping).host },
            wbc: control,
            ops: Tables::<T>::WRITEBACK,
            ..pin_init::zeroed()
        },
        pending: None,
    };
    // SAFETY: The context outlives the call; iomap submits or ends all that it builds.
    unsafe { bindings::iomap_writepages(&mut writeback.context) }
}

pub(super) unsafe extern "C" fn writeback_range<T: FileData>(
    context: *mut bindings::iomap_writepage_ctx,
    folio: *mut bindings::folio,
    pos: u64,
    len: ffi::c_uint,
    end_pos: u64,
) -> isize {
    // SAFETY: All contexts with this callback are the first field of a `Writeback<T>`.
    let writeback = unsafe { &mut *context.cast::<Writeback<T>>() };
    // SAFETY: The inode of the mapping under writeback.
    let file = match unsafe { of::<T>((*context).inode) } {
        Ok(file) => file,
        Err(error) => return error.to_errno() as isize,
    };
    let end = pos.saturating_add(u64::from(len));
    let taken = match file.take(pos, end) {
        Ok(taken) => taken,
        Err(error) => return error.to_errno() as isize,
    };
    let iomap = &mut writeback.context.iomap;
    iomap.offset = pos as bindings::loff_t;
    iomap.bdev = file.block_device().as_ptr();
    iomap.addr = bindings::IOMAP_NULL_ADDR as u64;
    match taken {
        Some((until, reservation)) => {
            iomap.length = until.saturating_sub(pos);
            iomap.type_ = bindings::IOMAP_MAPPED as u16;
            iomap.flags = bindings::IOMAP_F_ANON_WRITE as u16;
            match writeback.pending.as_mut() {
                Some(pending) => pending.merge(reservation),
                None => writeback.pending = Some(reservation),
            }
        }
        // Dirty without a reservation: nothing may be lost silently.
        None => return EIO.to_errno() as isize,
    }
    // SAFETY: iomap passes its own context and the folio it is writing back.
    unsafe {
        bindings::iomap_add_to_ioend(
            context,
            folio,
            pos as bindings::loff_t,
            end_pos as bindings::loff_t,
            len,
        )
    }
}

pub(super) unsafe extern "C" fn writeback_submit<T: FileData>(
    context: *mut bindings::iomap_writepage_ctx,
    error: ffi::c_int,
) -> ffi::c_int {
    // SAFETY: All contexts with this callback are the first field of a `Writeback<T>`.
    let writeback = unsafe { &mut *context.cast::<Writeback<T>>() };
    // SAFETY: `wb_ctx` is the ioend that iomap built and hands over here.
    let ioend = unsafe { Ioend::<T>::new(writeback.context.wb_ctx.cast()) };
    // Up to 7.2 iomap goes on with it, and submits it again, where this call fails.
    writeback.context.wb_ctx = ptr::null_mut();
    // SAFETY: The inode of the mapping under writeback.
    let file = unsafe { of::<T>((*context).inode) };
    let sent = to_result(error).and(file).and_then(|file| {
        let pending = writeback.pending.as_mut().ok_or(EIO)?;
        Ok((file, pending.split(ioend.len())?))
    });
    let sent = match sent {
        Ok((file, reservation)) => file.send(ioend, reservation),
        Err(error) => {
            ioend.end(Err(error));
            Err(error)
        }
    };
    sent.err().map_or(0, |error| error.to_errno())
}
