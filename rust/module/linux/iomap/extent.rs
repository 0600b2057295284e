// SPDX-License-Identifier: GPL-2.0

//! What stands at a place of a file, and C's description of it.
//!
//! C header: `include/linux/iomap.h` (`struct iomap`)

use super::bindings;
use crate::linux::loff::loff;
use crate::linux::BlockDevice;
use core::ops::Range;
use core::{mem, ptr};
use latch::prelude::*;
use units::{Bytes, FileOffset, Logical};

/// What stands at a place of a file.
pub(crate) enum Source {
    /// Nothing stands there, and it reads as zeroes.
    Hole,
    /// The block has these bytes, then zeroes up to its end.
    Inline(KVec<u8>),
    /// Bytes at this logical address.
    Mapped(Logical),
}

/// Whether a mapping may be read in one bio with what stands before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    /// The extent may be joined with the one before.
    Previous,
    /// A chunk begins here: the devices' addresses are others.
    Nothing,
}

/// A piece of a file: `[pos, pos + len)`.
pub(crate) struct Extent {
    /// Where it begins: a block boundary at or before what was asked for.
    pub(crate) pos: FileOffset,
    /// How far it goes.
    pub(crate) len: Bytes,
    /// What is there.
    pub(crate) source: Source,
    /// Whether it can share a bio with its predecessor.
    pub(crate) joins: Joins,
}

/// Fills the C description of a mapping.
pub(super) fn describe(
    iomap: &mut bindings::iomap,
    device: &BlockDevice,
    extent: Extent,
) -> Result {
    iomap.offset = loff(extent.pos);
    iomap.length = extent.len.get();
    iomap.bdev = device.as_ptr();
    iomap.flags = match extent.joins {
        Joins::Nothing => bindings::IOMAP_F_PRIVATE as u16,
        Joins::Previous => 0,
    };
    iomap.addr = bindings::IOMAP_NULL_ADDR as u64;
    match extent.source {
        Source::Hole => iomap.type_ = bindings::IOMAP_HOLE as u16,
        Source::Mapped(logical) => {
            iomap.type_ = bindings::IOMAP_MAPPED as u16;
            iomap.addr = logical.get();
        }
        // Not iomap's inline type: that one demands that the file ends with the inline bytes.
        Source::Inline(bytes) => {
            iomap.type_ = bindings::IOMAP_MAPPED as u16;
            iomap.private = KBox::into_raw(KBox::new(bytes, GFP_KERNEL)?).cast();
        }
    }
    Ok(())
}

/// Fills the C description of a mapping whose bytes get their address when they are sent.
pub(super) fn describe_unplaced(
    iomap: &mut bindings::iomap,
    device: &BlockDevice,
    range: &Range<FileOffset>,
    kind: u32,
) {
    iomap.offset = loff(range.start);
    iomap.length = range.end.saturating_since(range.start).get();
    iomap.bdev = device.as_ptr();
    iomap.addr = bindings::IOMAP_NULL_ADDR as u64;
    iomap.type_ = kind as u16;
}

/// Frees what [`describe`] attached.
///
/// # Safety
///
/// `iomap` was filled by [`describe`], whose `private` nobody uses any more.
pub(super) unsafe fn forget(iomap: &mut bindings::iomap) {
    let bytes = mem::replace(&mut iomap.private, ptr::null_mut()).cast::<KVec<u8>>();
    if !bytes.is_null() {
        // SAFETY: By the function's contract: `describe` alone sets `private`, from `KBox::into_raw`.
        drop(unsafe { KBox::from_raw(bytes) });
    }
}

/// The inline bytes that [`describe`] attached.
///
/// # Safety
///
/// `iomap` was filled by [`describe`].
pub(super) unsafe fn inline_bytes(iomap: &bindings::iomap) -> Option<&[u8]> {
    // SAFETY: By the function's contract: `private` is null or of `describe`, and stays until `forget`.
    let bytes = unsafe { iomap.private.cast::<KVec<u8>>().as_ref() }?;
    Some(bytes)
}
