// SPDX-License-Identifier: GPL-2.0
//! Keeping all but the commit from sending while the commit still changes blocks.
//!
//! A block that was sent is copied before its next change, and the copy changes the trees that say where blocks are. Whoever
//! sends blocks as fast as a commit copies them would keep it from ever having all trees up to date.

use crate::btree::WriteMode;
use core::sync::atomic::{AtomicUsize, Ordering};

/// How many have the write order held.
pub(super) struct Holders(AtomicUsize);

impl Holders {
    /// Makes the state in which nobody holds it.
    pub(super) fn none() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Counts one more holder.
    pub(super) fn add(&self) -> Hold<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Hold(self)
    }

    /// Whether a block that is to be sent in `mode` has to stay. Asked under the block's lock: of each who sends, one
    /// block at most was admitted before and goes out after the hold began.
    pub(super) fn keeps_back(&self, mode: WriteMode) -> bool {
        mode != WriteMode::Commit && self.0.load(Ordering::SeqCst) > 0
    }
}

/// While this lives, only a commit sends blocks: others leave them, or are told to commit.
#[must_use = "the hold ends when this is dropped"]
pub struct Hold<'o>(&'o Holders);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0 .0.fetch_sub(1, Ordering::SeqCst);
    }
}
