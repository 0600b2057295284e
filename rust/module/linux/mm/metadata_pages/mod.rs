// SPDX-License-Identifier: GPL-2.0

//! The page cache of an inode that no path leads to: metadata by its logical address.
//!
//! Every folio is one tree block. The kernel's flusher, its reclaim and its throttling see an ordinary
//! file; the owner is asked before a folio goes and when dirty ones should be written.
//!
//! C headers: `include/linux/pagemap.h`, `include/linux/writeback.h`

use crate::linux::bindings as b;
use crate::linux::{private, Folio, Inode, SuperBlock};
use core::marker::PhantomData;
use core::ptr::{addr_of_mut, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::error::{from_err_ptr, from_result, to_result};
use kernel::ffi::c_int;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::types::Opaque;
use latch::prelude::*;

const PAGE_SHIFT: u32 = kernel::page::PAGE_SHIFT as u32;

/// Who keeps metadata in the pages.
pub(crate) trait Owner: Send + Sync + 'static {
    /// Dirty folios in `[start, end]` should go out; `limit` counts pages down. Not waited for.
    fn write_some(&self, pages: &Pages, start: u64, end: u64, limit: &mut i64) -> Result;
    /// The clean folio at `pos` is wanted back. `false` keeps it. The folio is locked; no sleeping.
    fn release(&self, pos: u64) -> bool;
    /// The folio at `pos` goes, whoever uses it.
    fn invalidate(&self, pos: u64);
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
    /// Makes one.
    Create,
    /// Makes one if that needs no waiting, neither for memory nor for a lock.
    TryCreate,
}

/// A locked folio of the mapping.
pub(crate) struct LockedFolio {
    folio: ARef<Folio>,
}

impl core::ops::Deref for LockedFolio {
    type Target = ARef<Folio>;

    fn deref(&self) -> &ARef<Folio> {
        &self.folio
    }
}

impl LockedFolio {
    /// Leaves the lock to the completion of a read.
    pub(crate) fn into_reading(self) -> ARef<Folio> {
        let folio = self.folio.clone();
        core::mem::forget(self);
        // `forget` kept a reference: the completion's `clone` replaces it.
        // SAFETY: One of the two references is given back.
        unsafe { b::folio_put(folio.as_ptr()) };
        folio
    }

    /// The folio's bytes, for the only owner; `None` if they are lent already.
    pub(crate) fn bytes(&self) -> Option<FolioBytes> {
        FolioBytes::take(&self.folio)
    }
}

impl Drop for LockedFolio {
    fn drop(&mut self) {
        self.folio.unlock();
    }
}

const LENT: usize = 1;
const COPY: usize = 1 << 8;
const COPIES: usize = 0xff << 8;
const FAILED: usize = 1 << 16;
const FAILURES: usize = 0xff << 16;

/// The bytes of a folio of this mapping. There is one at a time for a folio.
///
/// # Invariants
///
/// `LENT` is set in the folio's private word for this value; `address` is the folio's `len` bytes.
pub(crate) struct FolioBytes {
    folio: ARef<Folio>,
    address: NonNull<u8>,
    len: usize,
}

// SAFETY: The bytes may be used from any thread.
unsafe impl Send for FolioBytes {}
// SAFETY: `&FolioBytes` gives `&[u8]` only.
unsafe impl Sync for FolioBytes {}

impl FolioBytes {
    fn take(folio: &ARef<Folio>) -> Option<Self> {
        let address = NonNull::new(folio.address())?;
        if folio.private_word().fetch_or(LENT, Ordering::Acquire) & LENT != 0 {
            return None;
        }
        // INVARIANT: The bit was just set by us.
        Some(Self {
            folio: folio.clone(),
            address,
            len: folio.size(),
        })
    }

    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: No user space mapping has the folio; this is the only owner by the type invariant. The
        // device reads it, and writes it only while the reader holds the folio's lock.
        unsafe { core::slice::from_raw_parts(self.address.as_ptr(), self.len) }
    }

    /// The bytes, to change.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: As in `as_slice`.
        unsafe { core::slice::from_raw_parts_mut(self.address.as_ptr(), self.len) }
    }
}

impl Drop for FolioBytes {
    fn drop(&mut self) {
        self.folio
            .private_word()
            .fetch_and(!LENT, Ordering::Release);
    }
}

impl Folio {
    /// Begins a write of a folio of this mapping to `copies` places, each of which ends by
    /// [`Self::copy_written`].
    pub(crate) fn expect_copies(&self, copies: usize) {
        self.private_word()
            .fetch_add(COPY.wrapping_mul(copies & 0xff), Ordering::Relaxed);
    }

    /// One of `copies` places was written or not. With the last one writeback ends; if no place has the contents
    /// then, the mapping remembers an error. Any context.
    pub(crate) fn copy_written(&self, result: Result, copies: usize) {
        let word: &AtomicUsize = self.private_word();
        if result.is_err() {
            word.fetch_add(FAILED, Ordering::Relaxed);
        }
        let before = word.fetch_sub(COPY, Ordering::AcqRel);
        if before & COPIES != COPY {
            return;
        }
        let failures = word.fetch_and(!FAILURES, Ordering::Relaxed) & FAILURES;
        if failures / FAILED >= copies {
            // SAFETY: A folio under writeback stays in its mapping, which lives as long; that ends below.
            unsafe {
                let mapping = (*self.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.mapping;
                b::mapping_set_error(mapping, EIO.to_errno());
            }
        }
        self.end_writeback();
    }
}

impl MetadataPages {
    /// Makes the inode. `order` is the size of a folio, in powers of two of pages.
    pub(crate) fn new<O: Owner>(sb: &SuperBlock, order: u32, owner: Arc<O>) -> Result<Self> {
        // SAFETY: The super block is alive and has its operations.
        let inode = NonNull::new(unsafe { b::new_inode(sb.as_ptr()) }).ok_or(ENOMEM)?;
        // SAFETY: The reference is ours.
        let owned = unsafe { ARef::from_raw(inode.cast()) };
        let this = Self { inode: owned };
        let owner = private::put(owner)?;
        let inode = inode.as_ptr();
        // SAFETY: Nobody else has the inode. It must be hashed to be put on the list of dirty inodes; its
        // number is none that a search can ask for. INVARIANT: Both are set here.
        unsafe {
            (*inode).i_private = owner.as_ptr();
            (*inode).i_ino = 1;
            b::set_nlink(inode, 1);
            b::i_size_write(inode, i64::MAX);
            let mapping = addr_of_mut!((*inode).i_data);
            (*mapping).a_ops = &Table::<O>::MAPPING;
            b::mapping_set_gfp_mask(mapping, b::GFP_NOFS);
            b::mapping_set_folio_order_range(mapping, order, order);
            if b::mapping_min_folio_order(mapping) != order {
                pr_err!("this kernel has no large folios (CONFIG_TRANSPARENT_HUGEPAGE): the nodes are too large\n");
                return Err(EINVAL);
            }
            b::mapping_set_release_always(mapping);
            b::rbtrfs_mapping_set_kernel_file(mapping);
            b::__insert_inode_hash(inode, 0);
        }
        Ok(this)
    }
}

impl Pages {
    fn mapping(&self) -> *mut b::address_space {
        self.inner.get()
    }

    /// The locked folio for the block at `pos`, which must be a multiple of its size.
    pub(crate) fn folio(&self, pos: u64, missing: Missing) -> Result<LockedFolio> {
        let (flags, gfp) = match missing {
            Missing::Create => (
                b::FGP_LOCK | b::FGP_CREAT | b::FGP_ACCESSED,
                b::GFP_NOFS_NOFAIL,
            ),
            Missing::TryCreate => (b::FGP_LOCK | b::FGP_CREAT | b::FGP_NOWAIT, b::GFP_NOWAIT),
        };
        let index = usize::try_from(pos >> PAGE_SHIFT).map_err(|_| EFBIG)?;
        // SAFETY: The mapping is alive.
        let folio = unsafe { b::__filemap_get_folio(self.mapping(), index, flags, gfp) };
        let folio = from_err_ptr(folio)?;
        // SAFETY: A reference is returned.
        let folio = unsafe { ARef::<Folio>::from_raw(NonNull::new(folio.cast()).ok_or(ENOMEM)?) };
        Ok(LockedFolio { folio })
    }

    /// The folio for the block at `pos`, if it is cached.
    pub(crate) fn cached(&self, pos: u64) -> Option<ARef<Folio>> {
        let index = usize::try_from(pos >> PAGE_SHIFT).ok()?;
        // SAFETY: The mapping is alive.
        let folio = from_err_ptr(unsafe { b::filemap_get_folio(self.mapping(), index) }).ok()?;
        // SAFETY: A reference is returned.
        Some(unsafe { ARef::from_raw(NonNull::new(folio.cast())?) })
    }

    /// The first dirty folios that begin in `[start, end]`, ascending, up to a batch.
    pub(crate) fn dirty(&self, start: u64, end: u64) -> Result<KVec<ARef<Folio>>> {
        let index = |pos: u64| usize::try_from(pos >> PAGE_SHIFT).unwrap_or(usize::MAX);
        let mut found = KVec::with_capacity(31, GFP_NOFAIL)?;
        let mut batch = KBox::<b::folio_batch>::new(pin_init::zeroed(), GFP_NOFAIL)?;
        let mut from = index(start);
        // SAFETY: The mapping is alive; the batch is ours and gives its references up below.
        unsafe {
            b::folio_batch_init(&mut *batch);
            b::filemap_get_folios_tag(
                self.mapping(),
                &mut from,
                index(end),
                b::PAGECACHE_TAG_DIRTY,
                &mut *batch,
            );
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

    /// Waits for the folios in `[start, end]` that are on their way; the error if one failed since the
    /// last call.
    pub(crate) fn wait(&self, start: u64, end: u64) -> Result {
        // SAFETY: The mapping is alive.
        to_result(unsafe { b::filemap_fdatawait_range(self.mapping(), offset(start), offset(end)) })
    }

    /// As [`Self::wait`], and leaves errors for it.
    pub(crate) fn settle(&self, start: u64, end: u64) {
        // SAFETY: The mapping is alive.
        unsafe {
            b::filemap_fdatawait_range_keep_errors(self.mapping(), offset(start), offset(end))
        };
    }

    /// Drops the folios in `[start, end]`, dirty or not, after waiting for those on their way.
    pub(crate) fn truncate(&self, start: u64, end: u64) {
        // SAFETY: The mapping is alive.
        unsafe { b::truncate_inode_pages_range(self.mapping(), offset(start), end) };
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

fn offset(pos: u64) -> i64 {
    i64::try_from(pos).unwrap_or(i64::MAX)
}

struct Table<O>(PhantomData<O>);

impl<O: Owner> Table<O> {
    const MAPPING: b::address_space_operations = b::address_space_operations {
        writepages: Some(writepages::<O>),
        dirty_folio: Some(b::filemap_dirty_folio),
        invalidate_folio: Some(invalidate_folio::<O>),
        release_folio: Some(release_folio::<O>),
        migrate_folio: Some(migrate_folio),
        ..pin_init::zeroed()
    };
}

/// The owner behind a folio or mapping.
///
/// # Safety
///
/// `mapping` is one of [`MetadataPages`] with an `O`, alive for `'a`.
unsafe fn owner<'a, O: Owner>(mapping: *mut b::address_space) -> Option<&'a Arc<O>> {
    // SAFETY: By the function's contract and the invariant of `MetadataPages`.
    unsafe { private::get::<Arc<O>>((*(*mapping).host).i_private) }
}

unsafe extern "C" fn writepages<O: Owner>(
    mapping: *mut b::address_space,
    control: *mut b::writeback_control,
) -> c_int {
    // SAFETY: The VFS lends both; the mapping is of `MetadataPages`.
    let (owner, control, pages) = unsafe {
        (
            owner::<O>(mapping),
            &mut *control,
            &*mapping.cast::<Pages>(),
        )
    };
    let Some(owner) = owner else { return 0 };
    // The periodic flush is the commit's matter, and so is sync.
    if control.for_kupdate() != 0 || control.sync_mode != b::writeback_sync_modes_WB_SYNC_NONE {
        return 0;
    }
    let (start, end) = match control.range_cyclic() {
        0 => (control.range_start, control.range_end),
        _ => (0, i64::MAX),
    };
    let at = |pos: i64| u64::try_from(pos).unwrap_or(0);
    let mut limit = control.nr_to_write as i64;
    let result = owner.write_some(pages, at(start), at(end), &mut limit);
    control.nr_to_write = limit as isize;
    from_result(|| result.map(|()| 0))
}

/// Where a folio stands in its file.
///
/// # Safety
///
/// `folio` is lent by the VFS, locked.
unsafe fn position(folio: *mut b::folio) -> u64 {
    // SAFETY: By the function's contract.
    u64::try_from(unsafe { Folio::borrow(folio) }.pos()).unwrap_or(0)
}

unsafe extern "C" fn release_folio<O: Owner>(folio: *mut b::folio, _gfp: b::gfp_t) -> bool {
    // SAFETY: The VFS lends a locked folio of the mapping.
    let (owner, pos, lent) = unsafe {
        let mapping = (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping;
        (owner::<O>(mapping), position(folio), Folio::borrow(folio))
    };
    if lent.is_dirty() || lent.is_writeback() {
        return false;
    }
    owner.is_none_or(|owner| owner.release(pos)) && lent.private_word().load(Ordering::Acquire) == 0
}

unsafe extern "C" fn invalidate_folio<O: Owner>(folio: *mut b::folio, _from: usize, _len: usize) {
    // SAFETY: The VFS lends a locked folio of the mapping.
    let (owner, pos) = unsafe {
        let mapping = (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping;
        (owner::<O>(mapping), position(folio))
    };
    if let Some(owner) = owner {
        owner.invalidate(pos);
    }
}

/// Tree blocks are referred to by address: they stay where they are.
unsafe extern "C" fn migrate_folio(
    _mapping: *mut b::address_space,
    _to: *mut b::folio,
    _from: *mut b::folio,
    _mode: b::migrate_mode,
) -> c_int {
    EAGAIN.to_errno()
}
