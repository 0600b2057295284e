// SPDX-License-Identifier: GPL-2.0

//! The page cache of an inode that no path leads to: metadata by its logical address.
//!
//! Every folio is one tree block. The kernel's flusher, its reclaim and its throttling see an ordinary
//! file; the keeper is asked before a folio goes and when dirty ones should be written.
//!
//! | module         | what is in it                                              |
//! |----------------|------------------------------------------------------------|
//! | [`callbacks`]  | what the kernel asks of such a mapping                     |
//! | [`read_ahead`] | the locked folio of a block, and reads nobody waits for    |
//!
//! C headers: `include/linux/pagemap.h`, `include/linux/writeback.h`

use crate::linux::bindings as b;
use crate::linux::loff::first_and_last;
use crate::linux::{private, Folio, Inode, LockedFolio, SuperBlock};
use core::ops::Range;
use core::ptr::{addr_of_mut, NonNull};
use kernel::error::to_result;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::types::Opaque;
use latch::prelude::*;
use units::{Bytes, FileOffset, Logical};

mod callbacks;
mod read_ahead;

use callbacks::Table;
pub(crate) use read_ahead::BlockFolio;

const PAGE_SHIFT: u32 = kernel::page::PAGE_SHIFT as u32;

/// What a keeper answers to whoever wants a folio back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Nobody uses what is in it.
    Free,
    /// Somebody uses what is in it.
    InUse,
}

/// Who keeps metadata in the pages.
pub(crate) trait Keeper: Send + Sync + 'static {
    /// Dirty folios in `range` should go out, without being waited for; `limit` counts pages down.
    fn write_some(&self, pages: &Pages, range: &Range<Logical>, limit: &mut i64) -> Result;
    /// The folio at `addr` is wanted back. `is_clean` tells whether it is, which it was: who had its block may have made it
    /// dirty since. The folio is locked; no sleeping.
    fn release(&self, addr: Logical, is_clean: impl Fn() -> bool) -> Release;
    /// The folio at `addr` goes, whoever uses it.
    fn invalidate(&self, addr: Logical);
}

/// The inode that owns the pages. Dropping it drops them.
///
/// # Invariants
///
/// The inode's `i_private` is an `Arc<O>` in a box of [`private::put`]; its mapping has [`Table<O>`].
pub(crate) struct MetadataPages {
    inode: ARef<Inode>,
}

/// The pages (C: `struct address_space`).
///
/// # Invariants
///
/// `inner` is the mapping of a [`MetadataPages`], alive while a `&Pages` to it lives.
#[repr(transparent)]
pub(crate) struct Pages {
    inner: Opaque<b::address_space>,
}

// SAFETY: An address space may be used from any thread.
unsafe impl Sync for Pages {}

impl core::ops::Deref for MetadataPages {
    type Target = Pages;

    fn deref(&self) -> &Pages {
        // SAFETY: The mapping is part of the inode; the type is transparent.
        unsafe { &*addr_of_mut!((*self.inode.as_ptr()).i_data).cast() }
    }
}

/// What `MetadataPages::folio` does where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A folio is made.
    Create,
    /// Makes one if that needs no waiting, neither for memory nor for a lock.
    TryCreate,
}

impl MetadataPages {
    /// Makes the inode. `order` is the size of a folio, in powers of two of pages.
    pub(crate) fn new<O: Keeper>(sb: &SuperBlock, order: u32, keeper: Arc<O>) -> Result<Self> {
        // SAFETY: The super block is alive and has its operations.
        let inode = NonNull::new(unsafe { b::new_inode(sb.as_ptr()) }).ok_or(ENOMEM)?;
        // SAFETY: `new_inode` returns a reference.
        let owned = unsafe { ARef::from_raw(inode.cast()) };
        let this = Self { inode: owned };
        let keeper = private::put(keeper)?;
        let inode = inode.as_ptr();
        // SAFETY: The inode is new: nobody else has it.
        unsafe {
            (*inode).i_private = keeper.as_ptr();
            // A number that no search can ask for.
            (*inode).i_ino = 1;
            b::set_nlink(inode, 1);
            b::i_size_write(inode, b::loff_t::MAX);
        }
        let mapping = this.mapping();
        // SAFETY: Nobody else uses the mapping yet; the table is static.
        let smallest = unsafe {
            // INVARIANT: Table and keeper are of one type.
            (*mapping).a_ops = &Table::<O>::MAPPING;
            b::mapping_set_gfp_mask(mapping, b::GFP_NOFS);
            b::mapping_set_release_always(mapping);
            b::rbtrfs_mapping_set_kernel_file(mapping);
            b::mapping_set_folio_order_range(mapping, order, order);
            b::mapping_min_folio_order(mapping)
        };
        if smallest != order {
            pr_err!("this kernel has no large folios (CONFIG_TRANSPARENT_HUGEPAGE): the nodes are too large\n");
            return Err(EINVAL);
        }
        // To be on the list of dirty inodes it must be hashed.
        // SAFETY: The inode is not hashed yet.
        unsafe { b::__insert_inode_hash(inode, 0) };
        Ok(this)
    }
}

impl Pages {
    fn mapping(&self) -> *mut b::address_space {
        self.inner.get()
    }

    /// The locked folio for the block at `addr`, which must be a multiple of its size.
    pub(crate) fn folio(&self, addr: Logical, missing: Missing) -> Result<BlockFolio> {
        let (flags, gfp) = match missing {
            Missing::Create => (
                b::FGP_LOCK | b::FGP_CREAT | b::FGP_ACCESSED,
                b::GFP_NOFS_NOFAIL,
            ),
            Missing::TryCreate => (b::FGP_LOCK | b::FGP_CREAT | b::FGP_NOWAIT, b::GFP_NOWAIT),
        };
        let index = usize::try_from(addr.get() >> PAGE_SHIFT).map_err(|_| EFBIG)?;
        // SAFETY: The mapping is alive.
        let found = unsafe { b::__filemap_get_folio(self.mapping(), index, flags, gfp) };
        // SAFETY: The page cache gave a reference.
        let folio = unsafe { Folio::found(found) }?;
        // SAFETY: `FGP_LOCK` locked it for us.
        let folio = unsafe { LockedFolio::from_locked(folio) };
        // INVARIANT: It is of this mapping.
        Ok(BlockFolio(folio))
    }

    /// The folio for the block at `addr`, if it is cached.
    pub(crate) fn cached(&self, addr: Logical) -> Option<ARef<Folio>> {
        let index = usize::try_from(addr.get() >> PAGE_SHIFT).ok()?;
        // SAFETY: The mapping is alive.
        let found = unsafe { b::filemap_get_folio(self.mapping(), index) };
        // SAFETY: The page cache gave a reference.
        unsafe { Folio::found(found) }.ok()
    }

    /// Marks the block at `addr` as to go to the device, if it is cached.
    pub(crate) fn mark_dirty(&self, addr: Logical) {
        if let Some(folio) = self.cached(addr) {
            // SAFETY: The folio is referenced, and its mapping, this one, is alive. C asks under the mapping's lock whether
            // the folio is still there.
            unsafe { b::folio_mark_dirty(folio.as_ptr()) };
        }
    }

    /// The first dirty folios that begin in `range`, ascending, up to a batch.
    pub(crate) fn dirty(&self, range: &Range<Logical>) -> Result<KVec<ARef<Folio>>> {
        let index = |addr: Logical| usize::try_from(addr.get() >> PAGE_SHIFT).unwrap_or(usize::MAX);
        let mut found = KVec::with_capacity(31, GFP_NOFAIL)?;
        let mut batch = KBox::<b::folio_batch>::new(pin_init::zeroed(), GFP_NOFAIL)?;
        let last = range.end.saturating_sub(Bytes::new(1));
        let (mut from, last) = (index(range.start), index(last));
        let (mapping, tag) = (self.mapping(), b::PAGECACHE_TAG_DIRTY);
        // SAFETY: The mapping is alive; the batch is ours and gives its references up below.
        unsafe {
            b::folio_batch_init(&mut *batch);
            b::filemap_get_folios_tag(mapping, &mut from, last, tag, &mut *batch);
        }
        let taken = batch.folios.iter().take(usize::from(batch.nr));
        for folio in taken {
            if let Some(folio) = NonNull::new(folio.cast::<Folio>()) {
                // SAFETY: The batch has a reference to each folio, which passes to `found`.
                let folio = unsafe { ARef::from_raw(folio) };
                // Within its capacity a push does not fail.
                found.push(folio, GFP_NOFAIL)?;
            }
        }
        Ok(found)
    }

    /// Waits for the folios in `range` that are on their way; the error if one failed since the last call.
    pub(crate) fn wait(&self, range: &Range<Logical>) -> Result {
        let (first, last) = offsets(range);
        // SAFETY: The mapping is alive.
        to_result(unsafe { b::filemap_fdatawait_range(self.mapping(), first, last) })
    }

    /// Waits as [`Self::wait`] does, and leaves errors for that.
    pub(crate) fn wait_keeping_errors(&self, range: &Range<Logical>) {
        let (first, last) = offsets(range);
        // SAFETY: The mapping is alive.
        unsafe { b::filemap_fdatawait_range_keep_errors(self.mapping(), first, last) };
    }

    /// Drops the folios in `range`, dirty or not, after waiting for those on their way.
    pub(crate) fn truncate(&self, range: &Range<Logical>) {
        let (first, last) = offsets(range);
        // SAFETY: The mapping is alive.
        unsafe { b::truncate_inode_pages_range(self.mapping(), first, last as u64) };
    }

    /// Slows the caller down when there is too much dirty memory. No locks may be held.
    pub(crate) fn throttle(&self) {
        // SAFETY: The mapping is alive.
        unsafe { b::balance_dirty_pages_ratelimited(self.mapping()) };
    }

    /// The inode. To give it back may sleep: not for completions.
    pub(crate) fn inode(&self) -> ARef<Inode> {
        // SAFETY: A mapping's host outlives it.
        unsafe { Inode::borrow((*self.mapping()).host) }.into()
    }
}

/// The logical address of the block that a folio has.
pub(crate) fn address_of(folio: &Folio) -> Logical {
    Logical::after(folio.pos().before())
}

/// Where the first and the last byte of `range` stand in the mapping, as C has it.
fn offsets(range: &Range<Logical>) -> (b::loff_t, b::loff_t) {
    let at = |addr: Logical| FileOffset::after(addr.before());
    first_and_last(&(at(range.start)..at(range.end)))
}
