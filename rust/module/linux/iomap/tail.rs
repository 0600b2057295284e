// SPDX-License-Identifier: GPL-2.0

//! What is behind the end of a file in its last block.
//!
//! A cut zeroes it in the page cache, and the trees may have the new size long before the block is on the device. If the
//! file were longer in the trees before that, what was cut off would be in it after a power cut. So the block is zero on the
//! device before the file grows. To look is for once: writeback zeroes what is behind the end of every block that it sends,
//! and a direct write that makes a file longer does so by whole blocks, so the tail stays zero until the next cut.
//!
//! C header: `include/linux/pagemap.h`

use super::{bindings, bytes_before, of, page_of, settle, Blocks, FileData, Patience, Tables};
use crate::linux::enospc::{in_turn, Persistence};
use crate::linux::inode::LockedInode;
use crate::linux::{Folio, Inode, LockedFolio};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use latch::prelude::*;
use units::{Bytes, FileOffset};

/// Whether the device is known to have only zeroes behind the end of a file. Who changes it has the inode locked
/// exclusively, or is a direct request that such a one waits for.
pub(crate) struct Tail {
    is_zero: AtomicBool,
}

impl Tail {
    /// What is known of a file that was just found: it may have been cut before a power cut.
    pub(crate) fn unknown() -> Self {
        Self {
            is_zero: AtomicBool::new(false),
        }
    }

    /// The file is cut.
    pub(crate) fn forget(&self) {
        self.is_zero.store(false, Ordering::Release);
    }
}

impl<T: FileData> Tables<T> {
    /// To be called before a file may grow, in whatever way: nothing that is behind its end now will be in it, neither then
    /// nor after a power cut. `start` is where the new bytes begin; what is in between reads as zeroes. `EAGAIN` for who
    /// would have to wait and must not.
    ///
    /// No direct request that makes the file longer is under way.
    pub(crate) fn prepare_growth(
        inode: LockedInode<'_>,
        start: FileOffset,
        patience: Patience,
    ) -> Result {
        let end = inode.end();
        let tail = of::<T>(&inode)?.tail();
        let (is_gap, is_cut) = (start > end, !Blocks::of(&inode).tail_of(end).is_zero());
        let is_zero = !is_cut || tail.is_zero.load(Ordering::Acquire);
        if (is_gap || !is_zero) && patience == Patience::None {
            return Err(EAGAIN);
        }
        if !is_zero && !is_clean_and_zero(&inode, end) {
            in_turn(&inode, Persistence::Patient, || Self::zero_tail(inode, end))?;
            settle::<T>(&inode, &(end..end.saturating_add(Bytes::new(1))))?;
        } else if is_gap {
            // A mapping may have stored there since.
            in_turn(&inode, Persistence::Patient, || Self::zero_tail(inode, end))?;
        }
        tail.is_zero.store(true, Ordering::Release);
        Ok(())
    }

    /// To be called before a file is cut at `end`: the block that is cut keeps its head, and its tail is to be zero. Nobody
    /// stores through a mapping until the size is lower.
    pub(crate) fn cut_tail(inode: LockedInode<'_>, end: FileOffset) -> Result {
        of::<T>(&inode)?.tail().forget();
        Self::zero_tail(inode, end)
    }

    /// Zeroes what is behind `end` in its block, in the page cache.
    fn zero_tail(inode: LockedInode<'_>, end: FileOffset) -> Result {
        match Blocks::of(&inode).tail_of(end) {
            Bytes::ZERO => Ok(()),
            tail => Self::zero_range(inode, end, tail),
        }
    }
}

/// Whether the page cache has the block with the end of the file, `end`, as the device has it, and nothing but zeroes
/// behind the end. It is read if it is not there. An error is for who reads it next. A block whose write failed is clean as
/// well, and the device has what was there before: of a file that lost writes nothing is believed.
fn is_clean_and_zero(inode: &Inode, end: FileOffset) -> bool {
    if inode.has_lost_writes() {
        return false;
    }
    let (mapping, page) = (inode.mapping(), page_of(end));
    // SAFETY: An inode keeps its mapping, by whose own function the page is read.
    let found = unsafe { bindings::read_cache_folio(mapping, page, None, ptr::null_mut()) };
    // SAFETY: The page cache gave a reference.
    let Ok(folio) = (unsafe { Folio::found(found) }) else {
        return false;
    };
    let folio = LockedFolio::lock(folio);
    let is_there = folio.mapping() == mapping && folio.is_uptodate();
    if !is_there || folio.is_dirty() || folio.is_writeback() {
        return false;
    }
    let start = bytes_before(&folio, end);
    let tail =
        (Blocks::of(inode).tail_of(end).get() as usize).min(folio.size().saturating_sub(start));
    // SAFETY: The folio has these bytes. It is C that looks at them: user space may store to them meanwhile.
    unsafe { bindings::memchr_inv(folio.address().add(start).cast(), 0, tail) }.is_null()
}
