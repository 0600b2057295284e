// SPDX-License-Identifier: GPL-2.0

//! What the kernel asks of the page cache of tree blocks.
//!
//! C headers: `include/linux/fs.h`, `include/linux/writeback.h`

use super::{address_of, Keeper, Pages, Release};
use crate::linux::bindings as b;
use crate::linux::loff::bytes;
use crate::linux::mm::FolioBytes;
use crate::linux::{private, Folio};
use core::marker::PhantomData;
use kernel::error::from_result;
use kernel::ffi::c_int;
use kernel::sync::Arc;
use latch::prelude::*;
use units::{Bytes, Logical};

pub(super) struct Table<O>(PhantomData<O>);

impl<O: Keeper> Table<O> {
    pub(super) const MAPPING: b::address_space_operations = b::address_space_operations {
        writepages: Some(writepages::<O>),
        dirty_folio: Some(b::filemap_dirty_folio),
        invalidate_folio: Some(invalidate_folio::<O>),
        release_folio: Some(release_folio::<O>),
        migrate_folio: Some(migrate_folio),
        ..pin_init::zeroed()
    };
}

/// The keeper behind a folio or mapping.
///
/// # Safety
///
/// `mapping` is one of [`MetadataPages`](super::MetadataPages) with an `O`, alive for `'a`.
unsafe fn keeper<'a, O: Keeper>(mapping: *mut b::address_space) -> Option<&'a Arc<O>> {
    // SAFETY: By the function's contract and the invariant of `MetadataPages`.
    unsafe { private::get::<Arc<O>>((*(*mapping).host).i_private) }
}

unsafe extern "C" fn writepages<O: Keeper>(
    mapping: *mut b::address_space,
    control: *mut b::writeback_control,
) -> c_int {
    // SAFETY: The mapping has this table: it is of `MetadataPages`, and its inode is alive while it is written.
    let Some(keeper) = (unsafe { keeper::<O>(mapping) }) else {
        return 0;
    };
    // SAFETY: The VFS lends the mapping for the call; the type is transparent.
    let pages = unsafe { &*mapping.cast::<Pages>() };
    // SAFETY: The control is this call's alone until it returns.
    let control = unsafe { &mut *control };
    // The periodic flush is the commit's matter, and so is sync.
    if control.for_kupdate() != 0 || control.sync_mode != b::writeback_sync_modes_WB_SYNC_NONE {
        return 0;
    }
    let (first, last) = match control.range_cyclic() {
        0 => (control.range_start, control.range_end),
        _ => (0, b::loff_t::MAX),
    };
    let at = |pos| Logical::after(bytes(pos));
    let range = at(first)..at(last).saturating_add(Bytes::new(1));
    let mut limit = control.nr_to_write as i64;
    let result = keeper.write_some(pages, &range, &mut limit);
    control.nr_to_write = limit as isize;
    from_result(|| result.map(|()| 0))
}

/// The keeper of a folio of [`MetadataPages`](super::MetadataPages), the folio, and where it stands.
///
/// # Safety
///
/// `folio` is in a mapping with the table of `O`, and locked by the caller for `'a`: it stays there.
unsafe fn lent<'a, O: Keeper>(folio: *mut b::folio) -> (Option<&'a Arc<O>>, &'a Folio, Logical) {
    // SAFETY: By the function's contract: its mapping has a reference.
    let folio = unsafe { Folio::borrow(folio) };
    // SAFETY: By the function's contract.
    let keeper = unsafe { keeper::<O>(folio.mapping()) };
    (keeper, folio, address_of(folio))
}

unsafe extern "C" fn release_folio<O: Keeper>(folio: *mut b::folio, _gfp: b::gfp_t) -> bool {
    // SAFETY: The kernel lends a folio of a mapping with this table, locked.
    let (keeper, folio, addr) = unsafe { lent::<O>(folio) };
    let is_clean = || !folio.is_dirty() && !folio.is_writeback();
    if !is_clean() {
        return false;
    }
    match keeper.map_or(Release::Free, |keeper| keeper.release(addr, is_clean)) {
        // SAFETY: No path leads to folios of such a mapping, and their private words are for this.
        Release::Free => unsafe { !FolioBytes::are_lent(folio) },
        Release::InUse => false,
    }
}

unsafe extern "C" fn invalidate_folio<O: Keeper>(folio: *mut b::folio, _from: usize, _len: usize) {
    // SAFETY: The kernel lends a folio of a mapping with this table, locked.
    let (keeper, _, addr) = unsafe { lent::<O>(folio) };
    if let Some(keeper) = keeper {
        keeper.invalidate(addr);
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
