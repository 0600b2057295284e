// SPDX-License-Identifier: GPL-2.0

//! From dirty folios to requests, each with the space that was reserved for it.
//!
//! A block that is dirty and not delayed was dirtied behind the file system's back. It is left out of what is sent, its
//! folio stays dirty, and a worker sees to it ([`fixup`]). A folio stays dirty, too, where memory is short.

use super::{
    bindings, describe_unplaced, fixup, mark_all_dirty, next_up_to_date, of, Blocks, FileData,
    Ioend, Tables, Taken,
};
use crate::linux::loff::loff;
use crate::linux::{Inode, LockedFolio};
use core::cell::{Cell, UnsafeCell};
use core::ops::Range;
use core::ptr;
use kernel::error::{from_result, to_result};
use kernel::ffi;
use latch::prelude::*;
use units::FileOffset;

/// Why a folio stays dirty that writeback has in hand.
enum Left {
    /// Some blocks of the folio have no space.
    WithoutSpace,
    /// Somebody has its pages pinned and may store to them yet. Who unpins them marks only a clean folio, and knows of no
    /// blocks: what is dirty elsewhere would hide what he stored.
    Pinned,
    /// There was no memory to take its space.
    PutOff,
}

/// Who sees to what the folio in hand has without space.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Care {
    #[default]
    Nobody,
    Worker,
}

/// A run of writeback. iomap's callbacks reach it through its context.
struct Writeback<'a, T: FileData> {
    context: UnsafeCell<bindings::iomap_writepage_ctx>,
    inode: &'a Inode,
    file: &'a T,
    /// Space of the ranges taken and not sent yet.
    taken: Cell<T::Taken>,
    /// Who sees to the folio in hand.
    care: Cell<Care>,
    /// The first error that cost or kept anything.
    result: Cell<Result>,
}

impl<'a, T: FileData> Writeback<'a, T> {
    /// What the context of a callback is part of.
    ///
    /// # Safety
    ///
    /// `context` is [`Self::context`] of a value with this `T`, which is borrowed for `'b`.
    unsafe fn of<'b>(context: *mut bindings::iomap_writepage_ctx) -> &'b Self {
        let cell = context.cast::<UnsafeCell<bindings::iomap_writepage_ctx>>();
        // SAFETY: By the function's contract: the pointer was made from one to all of the value.
        unsafe { &*kernel::container_of!(cell, Self, context) }
    }

    /// The context, by a pointer that leads to all of the value.
    fn context(&self) -> *mut bindings::iomap_writepage_ctx {
        let this = ptr::from_ref(self);
        // SAFETY: `this` is a reference's.
        UnsafeCell::raw_get(unsafe { ptr::addr_of!((*this).context) })
    }

    /// The folio in hand stays dirty. It is so from now on: when its writeback ends, an fsync must find the one or the other.
    /// An fsync that has passed it over by then finds what [`fixup::settle`] looks at. Its blocks get their marks in the end.
    fn leave(&self, folio: &LockedFolio, left: Left) {
        // SAFETY: A folio under writeback is in its mapping, and stays there while it is locked.
        unsafe { bindings::filemap_dirty_folio(folio.mapping(), folio.as_ptr()) };
        match left {
            Left::WithoutSpace if self.care.replace(Care::Worker) == Care::Nobody => {
                self.note(fixup::queue(self.file, self.inode, folio));
            }
            Left::PutOff => fixup::put_off(self.file),
            // What a pinned page has now is sent.
            Left::WithoutSpace | Left::Pinned => {}
        }
    }

    fn note(&self, result: Result) {
        self.result.set(self.result.get().and(result));
    }

    /// Writes `folio` back, which is dirty and in the file; what stays dirty of it is marked again. An error, as iomap
    /// has it.
    fn write_back(&self, folio: &LockedFolio) -> ffi::c_int {
        self.care.set(Care::Nobody);
        // SAFETY: The folio is locked and of the mapping under writeback; the context leads to this value, which outlives
        // the call.
        let error = unsafe { bindings::iomap_writeback_folio(self.context(), folio.as_ptr()) };
        // Now nobody can pin it without a fault, which waits for the folio's lock. Whoever unpins it marks it first: in this
        // order nothing is missed. It is dirty where it was left, and where it became so in the meantime, without its lock:
        // by `set_page_dirty`, or as bytes of it could not be sent.
        if folio.may_be_pinned() || folio.is_dirty() {
            self.keep_dirty(folio);
        }
        error
    }

    /// Makes the folio dirty again after writeback went over it. All of it becomes so, as iomap, which has taken the marks
    /// off its blocks, has it. What of that has no space gets it when it is written again.
    fn keep_dirty(&self, folio: &LockedFolio) {
        // SAFETY: The folio is locked, and of the file under writeback; the control is lent as long as the context is.
        unsafe {
            mark_all_dirty(folio);
            bindings::folio_redirty_for_writepage((*self.context()).wbc, folio.as_ptr());
        }
    }

    /// Takes what is delayed at the start of `range`, to be sent with what was taken before.
    fn take(&self, range: &Range<FileOffset>) -> Result<Taken> {
        let mut taken = self.taken.take();
        let result = self.file.take(&mut taken, range);
        self.taken.set(taken);
        result
    }

    /// Blocks from `pos` up to `until` are not delayed: if there is anything in them, somebody has dirtied them behind the
    /// file system's back.
    fn leave_out(&self, folio: &LockedFolio, pos: FileOffset, until: FileOffset) {
        let blocks = Blocks::of(self.inode);
        // SAFETY: The folio is of the file under writeback.
        if unsafe { next_up_to_date(folio, blocks, pos..until) }.is_some() {
            self.leave(folio, Left::WithoutSpace);
        }
    }

    /// Sends what iomap has in hand, if anything.
    fn submit(&self, so_far: Result) {
        // SAFETY: The context is this value's; between its calls iomap leaves `wb_ctx` to us.
        let in_hand = unsafe { ptr::replace(&mut (*self.context()).wb_ctx, ptr::null_mut()) };
        if in_hand.is_null() {
            return;
        }
        // SAFETY: It is the ioend that iomap built and hands over.
        let ioend = unsafe { Ioend::<T>::new(in_hand.cast()) };
        let mut taken = self.taken.take();
        let sent = match so_far {
            Ok(()) => self.file.send(ioend, &mut taken),
            Err(error) => {
                self.file.lost(&ioend.range(), error);
                ioend.fail(error);
                Err(error)
            }
        };
        self.taken.set(taken);
        self.note(sent);
    }
}

pub(super) unsafe extern "C" fn writepages<T: FileData>(
    mapping: *mut bindings::address_space,
    control: *mut bindings::writeback_control,
) -> ffi::c_int {
    from_result(|| {
        // SAFETY: The VFS lends a mapping of ours, which keeps its inode.
        let inode = unsafe { Inode::borrow((*mapping).host) };
        let writeback = Writeback::<T> {
            context: UnsafeCell::new(bindings::iomap_writepage_ctx {
                inode: inode.as_ptr(),
                wbc: control,
                ops: Tables::<T>::WRITEBACK,
                ..pin_init::zeroed()
            }),
            inode,
            file: of::<T>(inode)?,
            taken: Cell::default(),
            care: Cell::default(),
            result: Cell::new(Ok(())),
        };
        let (mut folio, mut error) = (ptr::null_mut(), 0);
        loop {
            // SAFETY: The VFS lends both for the call; `folio` is what the iterator gave last.
            folio = unsafe { bindings::writeback_iter(mapping, control, folio, &mut error) };
            if folio.is_null() {
                break;
            }
            // SAFETY: The iterator lends the folio until it is called again, and leaves its lock to us until then.
            let locked = unsafe { LockedFolio::lent(folio) };
            error = writeback.write_back(&locked);
            // SAFETY: The iterator lends the folio until it is called again; the lock was left to us, and is given up once.
            unsafe { bindings::folio_unlock(folio) };
        }
        writeback.submit(Ok(()));
        to_result(error).and(writeback.result.get()).map(|()| 0)
    })
}

pub(super) unsafe extern "C" fn writeback_range<T: FileData>(
    context: *mut bindings::iomap_writepage_ctx,
    folio: *mut bindings::folio,
    pos: u64,
    len: ffi::c_uint,
    end_pos: u64,
) -> isize {
    // SAFETY: iomap passes the context of `writepages`, and the locked folio that it is writing back.
    let (this, locked) = unsafe { (Writeback::<T>::of(context), LockedFolio::lent(folio)) };
    if locked.may_be_pinned() {
        this.leave(&locked, Left::Pinned);
    }
    // SAFETY: Between its calls iomap leaves the mapping to us.
    let iomap = unsafe { &mut (*context).iomap };
    let pos = FileOffset::new(pos);
    let end = pos.saturating_add(len.into());
    let until = match this.take(&(pos..end)) {
        Ok(Taken::Until(until, goal)) => {
            // iomap joins only bytes of one kind.
            let kind = goal.iomap_type(bindings::IOMAP_MAPPED);
            describe_unplaced(iomap, this.file.block_device(), &(pos..until), kind);
            iomap.flags = bindings::IOMAP_F_ANON_WRITE as u16;
            let (pos, end) = (loff(pos), loff(FileOffset::new(end_pos)));
            // SAFETY: iomap passes its own context and the folio it is writing back.
            return unsafe { bindings::iomap_add_to_ioend(context, folio, pos, end, len) };
        }
        Ok(Taken::NothingUntil(until)) => {
            this.leave_out(&locked, pos, until);
            until
        }
        Err(error) => {
            this.note(Err(error));
            this.leave(&locked, Left::PutOff);
            end
        }
    };
    // Not written now.
    iomap.type_ = bindings::IOMAP_HOLE as u16;
    until.saturating_since(pos).get() as isize
}

/// This never fails: iomap would drop what it has in hand. The error is told when all is done.
pub(super) unsafe extern "C" fn writeback_submit<T: FileData>(
    context: *mut bindings::iomap_writepage_ctx,
    error: ffi::c_int,
) -> ffi::c_int {
    // SAFETY: iomap passes the context of `writepages`.
    unsafe { Writeback::<T>::of(context) }.submit(to_result(error));
    0
}
