// SPDX-License-Identifier: GPL-2.0
//! The numbers of the tree of trees: ids of subvolumes, and inodes of free space caches.

use crate::btree::Tree;
use crate::disk::{Key, Kind, ObjectId};
use core::sync::atomic::{AtomicU64, Ordering};
use latch::prelude::*;

/// Gives out numbers, each once.
pub(in crate::space) struct Numbers {
    /// The next; zero before it was looked for.
    next: AtomicU64,
}

impl Numbers {
    /// Nobody asked yet.
    pub(in crate::space) fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
        }
    }

    /// Takes the next number: one above the highest in the tree. `ENOSPC` after the last.
    pub(in crate::space) fn take(&self, root: &Tree) -> Result<ObjectId> {
        if self.next.load(Ordering::Relaxed) == 0 {
            let first = first_unused(root)?;
            // Whoever was faster has looked for the same.
            let _ = self
                .next
                .compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
        }
        let next = |number: u64| {
            let is_free = number <= ObjectId::LAST_FREE.get();
            is_free.then(|| number.saturating_add(1))
        };
        let taken = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(ObjectId::new).map_err(|_| ENOSPC)
    }
}

fn first_unused(root: &Tree) -> Result<u64> {
    let last = Key::new(ObjectId::LAST_FREE.get(), Kind::new(u8::MAX), u64::MAX);
    let highest = root.floor(&last, |key, _| key.objectid.get())?;
    let lowest = ObjectId::FIRST_FREE.get();
    Ok(highest.map_or(lowest, |number| number.saturating_add(1).max(lowest)))
}
