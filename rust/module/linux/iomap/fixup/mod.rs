// SPDX-License-Identifier: GPL-2.0

//! Folios that were dirtied behind the file system's back: their pages were pinned while they were clean or about to
//! be, by a direct read into a mapping, by `process_vm_writev`, by a device.
//!
//! | module     | what it has                                                            |
//! |------------|------------------------------------------------------------------------|
//! | `waiting`  | which folios wait for a worker, and how to wait for them                |
//! | `put_offs` | how to see that others could not send what one has waited for           |
//!
//! C header: `include/linux/mm.h` (`pin_user_pages`). Nobody asked for space then, and nobody could have: `dirty_folio`
//! may be called under a spinlock. The mark that is left is that a block is dirty and not delayed, which takes no memory
//! and cannot be forgotten. Writeback, which finds it, must not wait for space with the folio locked: it leaves the folio
//! dirty and queues an item. The item's worker reserves first, then locks the folio and looks again. A writer that
//! reserves for such a block, and truncation, cancel the item by that alone.
//!
//! An item keeps the inode, and its place ([`Fixups`]) the folio. [`settle`] is what fsync and its like wait by. An item waits
//! until the volume is not frozen, and so does who waits for it; who only reads does not wait ([`write_out`]). A thaw needs
//! `s_umount`: whoever holds that waits only where the volume is not frozen, which cannot change meanwhile.

mod put_offs;
mod waiting;

pub(crate) use waiting::{Fixups, Tally, WrittenOut};

use super::{
    bindings, clean_behind, inside_file, mark_all_dirty, next_up_to_date, of, range_of, Blocks,
    FileData, Patience, Scope,
};
use crate::linux::enospc::{in_turn, with_space_by, Persistence};
use crate::linux::loff::first_and_last;
use crate::linux::{Folio, Inode, LockedFolio};
use core::ops::Range;
use core::pin::Pin;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use kernel::error::to_result;
use kernel::sync::aref::ARef;
use kernel::workqueue::{impl_has_work, new_work, Work, WorkItem};
use latch::prelude::*;
use latch::{NofsScope, RwLockWriteGuard};
use units::FileOffset;
use waiting::Vacancy;

/// A place where folios are to be seen to.
#[pin_data]
struct Item<T: FileData> {
    #[pin]
    work: Work<Item<T>>,
    inode: ARef<Inode>,
    pos: FileOffset,
    _file: core::marker::PhantomData<T>,
}

impl_has_work! {
    impl{T: FileData} HasWork<Item<T>> for Item<T> { self.work }
}

/// Leaves a folio of `inode`, whose data `file` is, to a worker. The folio is under writeback: whoever waits for that finds
/// the worker. `ENOMEM`: it was put off, the next writeback tries again.
pub(super) fn queue<T: FileData>(file: &T, inode: &Inode, folio: &LockedFolio) -> Result {
    // A folio is locked, and others may be under writeback and not sent yet.
    let _nofs = NofsScope::enter();
    let pos = folio.pos();
    // The folio's lock keeps others from making a place here meanwhile.
    if let Some(folio) = file.fixups().put(pos, ARef::from(&**folio)) {
        if file.fixup_tally().is_closed() {
            pr_err!("unmounted while {pos} of an inode was dirty without space\n");
            return Ok(());
        }
        send_worker(file, inode, pos, folio).inspect_err(|_| put_off(file))?;
    }
    file.fixup_tally().leave_out();
    Ok(())
}

/// Bytes of `file` stay dirty, as there was no memory to send them. That is said when they are dirty again, and while they
/// are still under writeback.
pub(crate) fn put_off<T: FileData>(file: &T) {
    file.fixups().put_offs().note();
    file.fixup_tally().put_off();
}

fn send_worker<T: FileData>(
    file: &T,
    inode: &Inode,
    pos: FileOffset,
    folio: ARef<Folio>,
) -> Result {
    let vacancy = Vacancy::new()?;
    let room = KBox::<Item<T>>::new_uninit(GFP_KERNEL)?;
    // From here on nothing fails: the last reference to an inode must not be given back with a folio locked.
    // SAFETY: The inode is in memory for as long as it is borrowed, though perhaps without a reference.
    let Some(inode) = NonNull::new(unsafe { bindings::igrab(inode.as_ptr()) }) else {
        // An inode that is about to leave memory takes its folios along.
        return Ok(());
    };
    // SAFETY: `igrab` gave a reference.
    let inode = unsafe { ARef::<Inode>::from_raw(inode.cast()) };
    let item = room.write_pin_init(pin_init!(Item::<T> {
        work <- new_work!("rbtrfs_fixup"),
        inode,
        pos,
        _file: core::marker::PhantomData,
    }))?;
    file.fixups().open(pos, folio, vacancy, || {
        file.fixup_tally().queued.fetch_add(1, Ordering::AcqRel);
        file.fixup_queue().enqueue(item);
    });
    Ok(())
}

impl<T: FileData> WorkItem for Item<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        let Some(file) = T::of(&this.inode) else {
            return;
        };
        // Finding space may change the volume.
        let unfrozen = this.inode.super_block().wait_unfrozen();
        while let Some(folio) = file.fixups().take_up(this.pos) {
            let mended = in_turn(&this.inode, Persistence::Awaited, || {
                mend(file, &this.inode, this.pos, &folio)
            });
            this.note(file, mended);
            if mended.is_err() {
                file.fixups().give_up(this.pos);
                break;
            }
        }
        drop(unfrozen);
        // The inode may go with the item.
    }
}

impl<T: FileData> Item<T> {
    fn note(&self, file: &T, result: Result<Mended>) {
        let tally = file.fixup_tally();
        let count = match result {
            Ok(Mended::Yes) => &tally.mended,
            Ok(Mended::NothingToDo) => &tally.cancelled,
            Err(error) => {
                pr_err!(
                    "inode {}: no space for what was written at {} through a pinned page: {error:?}\n",
                    self.inode.number(),
                    self.pos
                );
                // SAFETY: The item's inode keeps its mapping.
                unsafe { bindings::mapping_set_error(self.inode.mapping(), error.to_errno()) };
                &tally.failed
            }
        };
        count.fetch_add(1, Ordering::AcqRel);
    }
}

#[derive(Clone, Copy)]
enum Mended {
    Yes,
    NothingToDo,
}

/// Gives a folio's dirty blocks the space that they lack. `EBUSY`: others have what there is for writing in place.
fn mend<T: FileData>(file: &T, inode: &Inode, pos: FileOffset, folio: &Folio) -> Result<Mended> {
    let mut allowance = T::Allowance::default();
    let _kept_out = file.fixups().keep_cuts_out();
    loop {
        // No space for what the folio has behind the end of the file.
        let range = inside_file(inode, pos..pos.saturating_add(folio.size().into()));
        with_space_by(inode, Persistence::Awaited, || {
            file.reserve(&mut allowance, &range, Scope::Whole, Patience::Waits)
        })?;
        let locked = LockedFolio::lock(folio.into());
        let tried = mend_locked(file, inode, &locked, &mut allowance);
        drop(locked);
        match tried {
            Tried::Done(mended) => return Ok(mended),
            // Without the lock: whoever writes it back may want that.
            Tried::UnderWriteback => folio.wait_writeback(),
            Tried::Short => {}
        }
    }
}

enum Tried {
    Done(Mended),
    /// The folio's ordered extents are open.
    UnderWriteback,
    /// More must be reserved.
    Short,
}

fn mend_locked<T: FileData>(
    file: &T,
    inode: &Inode,
    folio: &LockedFolio,
    allowance: &mut T::Allowance,
) -> Tried {
    let is_ours = folio.mapping() == inode.mapping();
    if !is_ours || !folio.is_dirty() {
        return Tried::Done(Mended::NothingToDo);
    }
    if folio.is_writeback() {
        return Tried::UnderWriteback;
    }
    let (blocks, range) = (Blocks::of(inode), inside_file(inode, range_of(folio)));
    let (mut from, end) = (range.start, range.end);
    let mut mended = Mended::NothingToDo;
    // SAFETY: The folio is of this file, as was just seen.
    while let Some(run) = unsafe { next_up_to_date(folio, blocks, from..end) } {
        from = run.end;
        if file.uncovered(&run).is_zero() {
            continue;
        }
        if !file.can_cover(allowance, &run) {
            return Tried::Short;
        }
        // Which of its blocks are dirty is not for us to know: all become so.
        // But not those behind the end: a writer who makes the file longer has cleaned there (`growth`) already.
        // SAFETY: The folio is locked, and of this file.
        unsafe {
            mark_all_dirty(folio);
            clean_behind(folio, end);
        }
        if file.cover(allowance, &run).is_err() {
            return Tried::Short;
        }
        mended = Mended::Yes;
    }
    Tried::Done(mended)
}

/// Keeps workers from relying on unwritten space that `inode` is about to lose, for as long as the guard lives: no folio is
/// locked then, and no worker is waited for meanwhile.
pub(in crate::linux) fn keep_workers_out<T: FileData>(
    inode: &Inode,
) -> Result<RwLockWriteGuard<'_, ()>> {
    Ok(of::<T>(inode)?.fixups().keep_workers_out())
}

/// Writes out what is dirty in `range` of an inode and waits until it is on the device: also what was dirtied behind the
/// file system's back. The caller holds no folio's lock. Not for who only reads: it waits for a thaw.
pub(in crate::linux) fn settle<T: FileData>(inode: &Inode, range: &Range<FileOffset>) -> Result {
    // For nothing no worker is waited for.
    if range.is_empty() {
        return Ok(());
    }
    let write = || write_and_wait(inode, range);
    of::<T>(inode)?.fixups().settle(write)
}

/// Writes out what is dirty in `range` of an inode and waits for it, for who only reads: what was dirtied behind the file
/// system's back may be left. The caller holds no folio's lock.
pub(in crate::linux) fn write_out<T: FileData>(
    inode: &Inode,
    range: &Range<FileOffset>,
) -> Result<WrittenOut> {
    let write = || write_and_wait(inode, range);
    of::<T>(inode)?.fixups().write_out(write)
}

fn write_and_wait(inode: &Inode, range: &Range<FileOffset>) -> Result {
    // C has no words for it: what ends before it begins is all of a file, or its first byte.
    if range.is_empty() {
        return Ok(());
    }
    let (first, last) = first_and_last(range);
    // SAFETY: An inode keeps its mapping.
    to_result(unsafe { bindings::filemap_write_and_wait_range(inode.mapping(), first, last) })
}
