// SPDX-License-Identifier: GPL-2.0

//! Folios that were dirtied behind the file system's back: their pages were pinned while they were clean or about to
//! be, by a direct read into a mapping, by `process_vm_writev`, by a device.
//!
//! C header: `include/linux/mm.h` (`pin_user_pages`). Nobody asked for space then, and nobody could have: `dirty_folio`
//! may be called under a spinlock. The mark that is left is that a block is dirty and not delayed, which takes no memory
//! and cannot be forgotten. Writeback, which finds it, must not wait for space with the folio locked: it leaves the folio
//! dirty and queues an item. The item's worker reserves first, then locks the folio and looks again. A writer that
//! reserves for such a block, and truncation, cancel the item by that alone.
//!
//! An item keeps inode and folio. [`settle`] is what fsync and its like wait by.

use super::{
    bindings, clean_behind, mapping_of, next_up_to_date, of, range_of, Blocks, FileData, Patience,
};
use crate::linux::operations::with_room;
use crate::linux::{Folio, Inode};
use core::pin::Pin;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::error::to_result;
use kernel::rbtree::RBTree;
use kernel::sync::aref::ARef;
use kernel::workqueue::{impl_has_work, new_work, Work, WorkItem};
use latch::prelude::*;
use latch::{Condvar, Mutex};

/// A file's folios that wait for a worker, by position.
pub(crate) struct Fixups {
    waiting: Mutex<Waiting>,
    one_done: Condvar,
}

struct Waiting {
    folios: RBTree<u64, ()>,
    /// Items that have ended, in all.
    ended: u64,
}

/// What became of the items of a mount so far.
#[derive(Default)]
pub(crate) struct Tally {
    /// Queued.
    pub(crate) queued: AtomicU64,
    /// Space was found: the folio goes out with the next writeback.
    pub(crate) mended: AtomicU64,
    /// There was nothing left to do.
    pub(crate) cancelled: AtomicU64,
    /// No space was found; the folio is still dirty, and fsync was told.
    pub(crate) failed: AtomicU64,
    /// No more are taken: the file system goes away.
    is_closed: AtomicBool,
    /// Of those queued, how many [`Self::settle`] has followed.
    settled: AtomicU64,
}

impl Tally {
    /// Takes no more items. What is dirtied behind the file system's back from now on is lost, and said so.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Lets `write_out` follow what is queued, if anything was since the last time: what was seen to meanwhile is dirty
    /// and was passed over.
    pub(crate) fn settle(&self, write_out: impl FnOnce()) {
        let queued = self.queued.load(Ordering::Acquire);
        if self.settled.load(Ordering::Acquire) != queued {
            write_out();
            self.settled.store(queued, Ordering::Release);
        }
    }
}

impl Fixups {
    /// None.
    pub(crate) fn new() -> Result<Self> {
        let waiting = Waiting {
            folios: RBTree::new(),
            ended: 0,
        };
        Ok(Self {
            waiting: Mutex::new(waiting, latch::class!("rbtrfs_fixups"))?,
            one_done: Condvar::new(latch::class!("rbtrfs_fixup_done"))?,
        })
    }

    fn ended(&self) -> u64 {
        self.waiting.lock().ended
    }

    /// Waits until no folio waits any more; how many have not to, in all.
    fn wait(&self) -> u64 {
        let mut waiting = self.waiting.lock();
        while !waiting.folios.is_empty() {
            self.one_done.wait(&mut waiting);
        }
        waiting.ended
    }

    fn is_known(&self, pos: u64) -> bool {
        self.waiting.lock().folios.get(&pos).is_some()
    }

    fn add(&self, pos: u64) -> Result {
        let mut waiting = self.waiting.lock();
        waiting.folios.try_create_and_insert(pos, (), GFP_KERNEL)?;
        Ok(())
    }

    fn remove(&self, pos: u64) {
        let mut waiting = self.waiting.lock();
        waiting.folios.remove(&pos);
        waiting.ended = waiting.ended.wrapping_add(1);
        self.one_done.notify_all();
    }

    /// Lets `write` write out a range and wait for it, and once more if folios of the file were seen to meanwhile,
    /// which `write` may have passed over.
    pub(crate) fn settle(&self, write: impl Fn() -> Result) -> Result {
        let before = self.ended();
        let first = write();
        match self.wait() == before {
            true => first,
            false => first.and(write()),
        }
    }
}

/// A folio to see to.
#[pin_data]
struct Item<T: FileData> {
    #[pin]
    work: Work<Item<T>>,
    inode: ARef<Inode>,
    folio: ARef<Folio>,
    pos: u64,
    _file: core::marker::PhantomData<T>,
}

impl_has_work! {
    impl{T: FileData} HasWork<Item<T>> for Item<T> { self.work }
}

/// Queues an item for a folio, unless it has one. `ENOMEM`: the next writeback tries again.
///
/// # Safety
///
/// `folio` is locked and in a file of `T`.
pub(super) unsafe fn queue<T: FileData>(folio: *mut bindings::folio) -> Result {
    // SAFETY: By the caller's promise.
    let (inode, pos) = unsafe { ((*mapping_of(folio)).host, bindings::folio_pos(folio) as u64) };
    // SAFETY: A locked folio keeps its inode.
    let file = unsafe { of::<T>(inode) }?;
    if file.fixups().is_known(pos) {
        return Ok(());
    }
    if file.fixup_tally().is_closed.load(Ordering::Acquire) {
        pr_err!("unmounted while {pos} of an inode was dirty without space\n");
        return Ok(());
    }
    // An inode that is about to leave memory takes its folios along.
    // SAFETY: As above.
    let Some(inode) = NonNull::new(unsafe { bindings::igrab(inode) }) else {
        return Ok(());
    };
    // SAFETY: `igrab` gave a reference, and `folio_get` takes one.
    let (inode, folio) = unsafe {
        bindings::folio_get(folio);
        (
            ARef::<Inode>::from_raw(inode.cast()),
            ARef::<Folio>::from_raw(NonNull::new(folio.cast()).ok_or(EIO)?),
        )
    };
    let item = KBox::pin_init(
        pin_init!(Item::<T> {
            work <- new_work!("rbtrfs_fixup"),
            inode,
            folio,
            pos,
            _file: core::marker::PhantomData,
        }),
        GFP_KERNEL,
    )?;
    file.fixups().add(pos)?;
    file.fixup_tally().queued.fetch_add(1, Ordering::AcqRel);
    file.fixup_queue().enqueue(item);
    Ok(())
}

impl<T: FileData> WorkItem for Item<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        let Some(file) = T::of(&this.inode) else {
            return;
        };
        let sb = this.inode.super_block().as_ptr();
        // SAFETY: The inode keeps the super block. Finding space may change the volume, which must not be frozen.
        unsafe { bindings::sb_start_intwrite(sb) };
        let result = mend(file, &this);
        // SAFETY: As above; this task started it.
        unsafe { bindings::sb_end_intwrite(sb) };
        let tally = file.fixup_tally();
        let count = match result {
            Ok(Mended::Yes) => &tally.mended,
            Ok(Mended::NothingToDo) => &tally.cancelled,
            Err(error) => {
                pr_err!(
                    "inode {}: no space for what was written at {} through a pinned page: {error:?}\n",
                    this.inode.number(),
                    this.pos
                );
                // SAFETY: The inode is alive.
                unsafe {
                    let mapping = (*this.inode.as_ptr()).i_mapping;
                    bindings::mapping_set_error(mapping, error.to_errno());
                }
                &tally.failed
            }
        };
        count.fetch_add(1, Ordering::AcqRel);
        file.fixups().remove(this.pos);
        // The inode may go with the item.
    }
}

enum Mended {
    Yes,
    NothingToDo,
}

/// Gives a folio's dirty blocks the space that they lack.
fn mend<T: FileData>(file: &T, item: &Item<T>) -> Result<Mended> {
    let inode = item.inode.as_ptr();
    let mut allowance = T::Allowance::default();
    loop {
        let end = item.pos.saturating_add(item.folio.size() as u64);
        with_room(&item.inode, || {
            file.reserve(&mut allowance, item.pos, end, Patience::Waits)
        })?;
        item.folio.lock();
        // SAFETY: The folio is locked, the inode alive.
        let tried = unsafe { mend_locked(file, inode, &item.folio, &mut allowance) };
        item.folio.unlock();
        match tried {
            Tried::Done(mended) => return Ok(mended),
            // Without the lock: whoever writes it back may want that.
            Tried::UnderWriteback => item.folio.wait_writeback(),
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

/// # Safety
///
/// `inode` is a live inode of `T`, and `folio` is locked.
unsafe fn mend_locked<T: FileData>(
    file: &T,
    inode: *mut bindings::inode,
    folio: &Folio,
    allowance: &mut T::Allowance,
) -> Tried {
    let at = folio.as_ptr();
    // SAFETY: By the caller's promise.
    let (mapping, is_ours, size) = unsafe {
        let mapping = (*inode).i_mapping;
        let size = bindings::i_size_read(inode) as u64;
        (mapping, mapping_of(at) == mapping, size)
    };
    if !is_ours || !folio.is_dirty() {
        return Tried::Done(Mended::NothingToDo);
    }
    if folio.is_writeback() {
        return Tried::UnderWriteback;
    }
    // SAFETY: As above.
    let (blocks, range) = unsafe { (Blocks::of(inode), range_of(at)) };
    let end = blocks.round_up(size).min(range.end);
    let mut from = range.start;
    let mut mended = Mended::NothingToDo;
    // SAFETY: As above.
    while let Some(run) = unsafe { next_up_to_date(at, blocks, from..end) } {
        from = run.end;
        if file.uncovered(run.start, run.end) == 0 {
            continue;
        }
        // Which of its blocks are dirty is not for us to know: all become so.
        // SAFETY: As above.
        unsafe {
            bindings::iomap_dirty_folio(mapping, at);
            clean_behind(at, end);
        }
        if file.cover(allowance, run.start, run.end).is_err() {
            return Tried::Short;
        }
        mended = Mended::Yes;
    }
    Tried::Done(mended)
}

/// Writes out what is dirty in `[start, end]` of an inode and waits until it is on the device: also what was dirtied
/// behind the file system's back.
///
/// # Safety
///
/// `inode` is a live inode of `T`; the caller holds no folio's lock.
pub(crate) unsafe fn settle<T: FileData>(
    inode: *mut bindings::inode,
    start: bindings::loff_t,
    end: bindings::loff_t,
) -> Result {
    // SAFETY: By the caller's promise.
    let file = unsafe { of::<T>(inode) }?;
    file.fixups().settle(|| {
        // SAFETY: As above.
        to_result(unsafe { bindings::filemap_write_and_wait_range((*inode).i_mapping, start, end) })
    })
}
