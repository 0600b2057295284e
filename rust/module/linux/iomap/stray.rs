// SPDX-License-Identifier: GPL-2.0

//! Bytes of the page cache of which neither the trees nor the delayed ranges know: they were dirtied behind the file
//! system's back, and no worker has seen to them yet.

use super::{bindings, each_folio, inside_file, next_up_to_date, of, range_of, Blocks, FileData};
use crate::linux::Inode;
use core::ops::{ControlFlow, Range};
use latch::prelude::*;
use units::FileOffset;

/// Whether a file may have such bytes.
pub(crate) fn may_have_strays<T: FileData>(inode: &Inode) -> Result<bool> {
    Ok(of::<T>(inode)?.fixups().is_suspect())
}

/// The first blocks with bytes of `range` that a folio has that is dirty or on its way to the device. Which of its
/// blocks are dirty is not for us to know: all may be. Who finds none, and looks into the trees afterwards, finds there all
/// that was dirty before. The caller holds no folio's lock.
pub(crate) fn first_stray(inode: &Inode, range: &Range<FileOffset>) -> Option<Range<FileOffset>> {
    let blocks = Blocks::of(inode);
    let found = each_folio(inode, range, |folio| {
        let inside = inside_file(inode, range_of(folio));
        let from = blocks.round_down(range.start);
        let part = inside.start.max(from)..inside.end.min(range.end);
        if part.is_empty() || !folio.is_dirty() && !folio.is_writeback() {
            return ControlFlow::Continue(());
        }
        // SAFETY: The folio is in a file of this driver.
        match unsafe { next_up_to_date(folio, blocks, part) } {
            Some(run) => ControlFlow::Break(run),
            None => ControlFlow::Continue(()),
        }
    });
    found.break_value()
}

/// A folio becomes dirty, and nobody may have asked for its space: a page was pinned, or a page table had it dirty. Perhaps
/// under a spinlock.
pub(super) unsafe extern "C" fn dirty_folio<T: FileData>(
    mapping: *mut bindings::address_space,
    folio: *mut bindings::folio,
) -> bool {
    // SAFETY: The VFS lends a mapping of ours, which keeps its inode.
    if let Some(file) = T::of(unsafe { Inode::borrow((*mapping).host) }) {
        file.fixups().suspect();
    }
    // SAFETY: The VFS lends both for the call.
    unsafe { bindings::iomap_dirty_folio(mapping, folio) }
}
