// SPDX-License-Identifier: GPL-2.0

//! A file's folios compared with its delayed ranges, where the module was loaded with `audit=1`.
//!
//! C header: `include/linux/pagemap.h`

use super::{each_folio, inside_file, of, range_of, FileData};
use crate::linux::loff::WHOLE_FILE;
use crate::linux::Inode;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use latch::prelude::*;

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Compares from now on.
pub(crate) fn enable() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// Looks at every folio of the file: one that is clean has no space, or that space would be kept for ever. (That a
/// dirty one has none is no fault: it was dirtied behind the file system's back, or the end of the file is before it.)
/// The caller holds no folio's lock.
pub(crate) fn audit<T: FileData>(inode: &Inode) {
    if !IS_ON.load(Ordering::Relaxed) {
        return;
    }
    let Ok(file) = of::<T>(inode) else { return };
    let mut wrong = 0u64;
    let _ = each_folio(inode, &WHOLE_FILE, |folio| {
        // Behind the end a truncation is at work: it gives up what writeback has passed over.
        let range = inside_file(inode, range_of(folio));
        let len = range.end.saturating_since(range.start);
        if !folio.is_dirty() && file.uncovered(&range) != len {
            wrong = wrong.saturating_add(1);
        }
        ControlFlow::<()>::Continue(())
    });
    if wrong > 0 {
        pr_err!(
            "audit: inode {}: {wrong} clean folios have space\n",
            inode.number()
        );
    }
}
