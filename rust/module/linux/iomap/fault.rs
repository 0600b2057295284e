// SPDX-License-Identifier: GPL-2.0

//! Stores through a mapping: a page becomes writable when its folio has its space.
//!
//! C header: `include/linux/iomap.h`

use super::{
    bindings, describe_unplaced, inside_file, of, range_of, Blocks, FileData, Patience, Scope,
    Tables,
};
use crate::linux::enospc::{await_turn, with_space};
use crate::linux::loff::{bytes, position};
use crate::linux::{Folio, Inode};
use core::ptr;
use kernel::error::from_result;
use kernel::ffi;
use latch::prelude::*;

/// What a fault brings along: iomap's `private`.
struct Fault<'a, T: FileData> {
    folio: &'a Folio,
    allowance: T::Allowance,
    /// The allowance was too small when the folio was locked.
    is_short: bool,
}

impl<T: FileData> Tables<T> {
    /// Makes the page of a fault writable.
    ///
    /// # Safety
    ///
    /// `vmf` is that of a `page_mkwrite` call on a mapping of `inode`, a file of `T`, which is not frozen, and whose pages
    /// are not cut away meanwhile.
    pub(crate) unsafe fn page_mkwrite(
        inode: &Inode,
        vmf: *mut bindings::vm_fault,
    ) -> bindings::vm_fault_t {
        // SAFETY: The page is referenced by the fault, so its folio is neither freed nor split.
        let folio = unsafe { Folio::borrow(bindings::rbtrfs_page_folio((*vmf).page)) };
        let mut fault = Fault::<T> {
            folio,
            allowance: T::Allowance::default(),
            is_short: false,
        };
        loop {
            if let Err(error) = reserve(&mut fault, inode) {
                drop(fault);
                return refused(inode, error);
            }
            fault.is_short = false;
            let private = ptr::addr_of_mut!(fault).cast();
            // SAFETY: By the caller's promise; `fault` outlives the call.
            let answer = unsafe { bindings::iomap_page_mkwrite(vmf, Self::FAULT, private) };
            if fault.is_short {
                continue;
            }
            return answer;
        }
    }
}

/// What becomes of a fault that has no space, and nothing of it any more.
fn refused(inode: &Inode, error: Error) -> bindings::vm_fault_t {
    match error {
        ENOMEM => bindings::vm_fault_reason_VM_FAULT_OOM,
        // Others that write in place have what there is. On their way to the device they may need what this fault has
        // locked: it comes again, so that they have it in between.
        EBUSY if await_turn(inode).is_ok() => bindings::vm_fault_reason_VM_FAULT_NOPAGE,
        _ => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
    }
}

/// Makes the fault's allowance large enough for what the folio has of the file: it may go on far behind its end. This task
/// holds no folio's lock.
fn reserve<T: FileData>(fault: &mut Fault<'_, T>, inode: &Inode) -> Result {
    let file = of::<T>(inode)?;
    let range = inside_file(inode, range_of(fault.folio));
    let scope = Scope::Whole;
    with_space(inode, || {
        let allowance = &mut fault.allowance;
        file.reserve(allowance, &range, scope, Patience::Waits)
    })?;
    Ok(())
}

/// Makes the blocks of the locked folio delayed, up to the end of the file; iomap marks them dirty next.
pub(super) unsafe extern "C" fn begin<T: FileData>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    _flags: ffi::c_uint,
    iomap: *mut bindings::iomap,
    _srcmap: *mut bindings::iomap,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: iomap passes the mapping in its iterator, whose `private` is the `Fault` of `page_mkwrite`.
        let fault = unsafe {
            let iter = kernel::container_of!(iomap, bindings::iomap_iter, iomap);
            &mut *(*iter).private.cast::<Fault<'_, T>>()
        };
        // SAFETY: iomap keeps the inode for the call, and lends a mapping for us to fill.
        let (inode, iomap) = unsafe { (Inode::borrow(inode), &mut *iomap) };
        let file = of::<T>(inode)?;
        let range = Blocks::of(inode).touched(position(pos), bytes(length));
        // What is on its way to unwritten space is not there any more when it has arrived. iomap waits for that next anyway.
        fault.folio.wait_writeback();
        if !file.can_cover(&fault.allowance, &range) {
            fault.is_short = true;
            return Err(EAGAIN);
        }
        if let Err(short) = file.cover(&mut fault.allowance, &range) {
            fault.is_short = true;
            return Err(short);
        }
        let kind = bindings::IOMAP_DELALLOC;
        describe_unplaced(iomap, file.block_device(), &range, kind);
        Ok(0)
    })
}
