// SPDX-License-Identifier: GPL-2.0

//! From dirty folios to requests, each with the space that was reserved for it.
//!
//! A block that is dirty and not delayed was dirtied behind the file system's back. It is left out of what is sent, its
//! folio stays dirty, and a worker sees to it ([`fixup`]). A folio stays dirty, too, where memory is short.

use super::{
    bindings, describe_unplaced, fixup, mapping_of, next_up_to_date, of, Blocks, FileData, Ioend,
    Tables, Taken,
};
use core::ptr;
use kernel::error::to_result;
use kernel::ffi;
use latch::prelude::*;

/// Why a folio must stay dirty.
#[derive(Clone, Copy)]
enum Left {
    /// Some of its blocks have no space.
    WithoutSpace,
    /// Somebody has its pages pinned and may store to them yet. Who unpins them marks only a clean folio, and knows of no
    /// blocks: what is dirty elsewhere would hide what he stored.
    Pinned,
    /// It became dirty in the meantime, without its lock: by `set_page_dirty`, or as bytes of it could not be sent. iomap
    /// has taken the marks off its blocks since. Or something went wrong before anything of it was lost.
    DirtyAgain,
}

/// One run of writeback.
struct Writeback<T: FileData> {
    context: bindings::iomap_writepage_ctx,
    /// Space of the ranges taken and not sent yet.
    taken: T::Taken,
    /// Whether the folio in hand stays dirty.
    left: Option<Left>,
    /// The first error that cost or kept anything.
    result: Result,
}

impl<T: FileData> Writeback<T> {
    /// What the context of a callback is part of.
    ///
    /// # Safety
    ///
    /// `context` is that of [`writepages`] with this `T`, and nobody else uses it for `'a`.
    unsafe fn of<'a>(context: *mut bindings::iomap_writepage_ctx) -> &'a mut Self {
        // SAFETY: `writepages` passes a pointer into the value that was made from one to all of it.
        unsafe { &mut *kernel::container_of!(context, Self, context) }
    }

    /// The folio in hand stays dirty. It is so from now on: when its writeback ends, an fsync must find the one or the other.
    /// Its blocks get their marks in the end.
    ///
    /// # Safety
    ///
    /// `folio` is locked and in a file of `T`.
    unsafe fn leave(&mut self, folio: *mut bindings::folio, left: Left) {
        // SAFETY: By the caller's promise.
        unsafe { bindings::filemap_dirty_folio(mapping_of(folio), folio) };
        // Who lacks space is seen to by a worker, whatever else keeps the folio dirty.
        if !matches!(self.left, Some(Left::WithoutSpace)) {
            self.left = Some(left);
        }
    }

    fn note(&mut self, result: Result) {
        self.result = self.result.and(result);
    }
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
        taken: T::Taken::default(),
        left: None,
        result: Ok(()),
    };
    let this = ptr::addr_of_mut!(writeback);
    let mut folio = ptr::null_mut();
    let mut error = 0;
    // SAFETY: The VFS lends mapping and control; `this` is used through this pointer alone, by the callbacks too. A
    // folio is locked from when the iterator gives it.
    unsafe {
        let context = ptr::addr_of_mut!((*this).context);
        loop {
            folio = bindings::writeback_iter(mapping, control, folio, &mut error);
            if folio.is_null() {
                break;
            }
            (*this).left = None;
            error = bindings::iomap_writeback_folio(context, folio);
            // Now nobody can pin it without a fault, which waits for the folio's lock. Whoever unpins it marks it first:
            // in this order nothing is missed.
            if (*this).left.is_none() && bindings::folio_maybe_dma_pinned(folio) {
                (*this).left = Some(Left::Pinned);
            }
            if (*this).left.is_none() && bindings::folio_test_dirty(folio) {
                (*this).left = Some(Left::DirtyAgain);
            }
            if let Some(left) = (*this).left {
                let kept = keep_dirty::<T>(folio, control, left);
                (*this).note(kept);
            }
            bindings::folio_unlock(folio);
        }
        if !(*context).wb_ctx.is_null() {
            writeback_submit::<T>(context, 0);
        }
        to_result(error)
            .and((*this).result)
            .err()
            .map_or(0, |error| error.to_errno())
    }
}

/// Makes the folio dirty again after writeback went over it. All of it becomes so, as iomap has it.
///
/// # Safety
///
/// `folio` is locked and in a file of `T`; `control` is that of the writeback.
unsafe fn keep_dirty<T: FileData>(
    folio: *mut bindings::folio,
    control: *mut bindings::writeback_control,
    left: Left,
) -> Result {
    // SAFETY: By the caller's promise.
    unsafe {
        bindings::iomap_dirty_folio(mapping_of(folio), folio);
        bindings::folio_redirty_for_writepage(control, folio);
        match left {
            Left::WithoutSpace => fixup::queue::<T>(folio),
            // What has no space gets it when it is written again.
            Left::Pinned | Left::DirtyAgain => Ok(()),
        }
    }
}

pub(super) unsafe extern "C" fn writeback_range<T: FileData>(
    context: *mut bindings::iomap_writepage_ctx,
    folio: *mut bindings::folio,
    pos: u64,
    len: ffi::c_uint,
    end_pos: u64,
) -> isize {
    // SAFETY: iomap passes the context of `writepages`, and the locked folio that it is writing back.
    let (this, is_pinned) = unsafe {
        (
            Writeback::<T>::of(context),
            bindings::folio_maybe_dma_pinned(folio),
        )
    };
    if is_pinned {
        // SAFETY: As above.
        unsafe { this.leave(folio, Left::Pinned) };
    }
    // SAFETY: The inode of the mapping under writeback.
    let file = unsafe { of::<T>(this.context.inode) };
    let end = pos.saturating_add(u64::from(len));
    let taken = file.and_then(|file| Ok((file, file.take(&mut this.taken, pos, end)?)));
    let until = match taken {
        Ok((file, Taken::Until(until))) => {
            let iomap = &mut this.context.iomap;
            let kind = bindings::IOMAP_MAPPED;
            describe_unplaced(iomap, file.block_device(), pos, until, kind);
            iomap.flags = bindings::IOMAP_F_ANON_WRITE as u16;
            // SAFETY: iomap passes its own context and the folio it is writing back; `this` is not used after.
            return unsafe {
                bindings::iomap_add_to_ioend(
                    context,
                    folio,
                    pos as bindings::loff_t,
                    end_pos as bindings::loff_t,
                    len,
                )
            };
        }
        Ok((_, Taken::NothingUntil(until))) => {
            // SAFETY: iomap passes a locked folio of the inode, which has these whole blocks.
            let found = unsafe {
                let blocks = Blocks::of(this.context.inode);
                next_up_to_date(folio, blocks, pos..until)
            };
            if found.is_some() {
                // SAFETY: As above.
                unsafe { this.leave(folio, Left::WithoutSpace) };
            }
            until
        }
        Err(error) => {
            this.note(Err(error));
            // SAFETY: As above.
            unsafe { this.leave(folio, Left::DirtyAgain) };
            end
        }
    };
    // Not written now.
    this.context.iomap.type_ = bindings::IOMAP_HOLE as u16;
    until.saturating_sub(pos) as isize
}

/// Never fails: iomap would drop what it has in hand. The error is told when all is done.
pub(super) unsafe extern "C" fn writeback_submit<T: FileData>(
    context: *mut bindings::iomap_writepage_ctx,
    error: ffi::c_int,
) -> ffi::c_int {
    // SAFETY: iomap passes the context of `writepages`.
    let this = unsafe { Writeback::<T>::of(context) };
    // SAFETY: `wb_ctx` is the ioend that iomap built and hands over here.
    let ioend = unsafe { Ioend::<T>::new(this.context.wb_ctx.cast()) };
    this.context.wb_ctx = ptr::null_mut();
    // SAFETY: The inode of the mapping under writeback.
    let file = unsafe { of::<T>(this.context.inode) };
    let sent = match to_result(error).and(file) {
        Ok(file) => file.send(ioend, &mut this.taken),
        Err(error) => {
            ioend.fail(error);
            Err(error)
        }
    };
    this.note(sent);
    0
}
