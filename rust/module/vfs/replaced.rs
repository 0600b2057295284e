// SPDX-License-Identifier: GPL-2.0

//! Files that take the place of what was there: by a rename, or as they were cut to nothing and are written anew.
//!
//! Whoever does that without a sync counts on the old bytes or the new ones after a power cut. But a rename and a cut are durable
//! with the next commit, whoever asks for it, and bytes only when they were written out: so that begins at once (C: `filemap_flush`
//! in `btrfs_rename` and at the close), and a commit that is asked for, or is made unasked, waits for it: before it, with everybody
//! changing files, and once more when no name can join it any more, for what has come meanwhile
//! ([`engine::txn::Transactions::commit_behind`]).
//!
//! To wait for a file is one thing, to let go of it another: the last reference to one without a name removes it, which takes a
//! transaction, and waits for a thaw. Who waits for bytes can wait for neither.

use crate::linux::Inode;
use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::sync::aref::ARef;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// The most files that are remembered. Who comes with one more waits for its bytes himself.
const MOST: usize = 256;

/// The files of a mount whose bytes must reach the device before what they have replaced is gone.
pub(super) struct Replaced {
    /// Held by who waits for them, so that others do, too.
    turn: Mutex<()>,
    files: Mutex<Files>,
    /// How many were not waited for to the end.
    left: AtomicUsize,
}

struct Files {
    /// The oldest first; with room for [`MOST`].
    kept: KVec<ARef<Inode>>,
    /// The bytes of so many, the oldest, were waited for.
    written: usize,
}

impl Replaced {
    /// Makes the list without a file.
    pub(super) fn new() -> Result<Self> {
        let files = Files {
            kept: KVec::with_capacity(MOST, GFP_KERNEL)?,
            written: 0,
        };
        Ok(Self {
            turn: Mutex::new((), Rank::ReplacedTurn)?,
            files: Mutex::new(files, Rank::Replaced)?,
            left: AtomicUsize::new(0),
        })
    }

    /// Begins to write out what is dirty of `file`, and remembers it. An error is fsync's to tell.
    pub(super) fn add(&self, file: &Inode) {
        if !file.has_unwritten() {
            return;
        }
        file.begin_write_out();
        self.left.fetch_add(1, Ordering::AcqRel);
        if self.files.lock().keep(file).is_err() {
            file.write_out();
            self.forget_one();
        }
    }

    /// Waits until all that there are now are written out, the oldest first, and keeps them. The caller holds nothing that writeback
    /// takes, and no lock of an inode.
    pub(super) fn write_out(&self) {
        if self.left.load(Ordering::Acquire) == 0 {
            return;
        }
        let _turn = self.turn.lock();
        // Those that come meanwhile are for the next one who asks.
        let waiting = self.files.lock().waiting();
        for _ in 0..waiting {
            let Some(file) = self.files.lock().oldest_waiting() else {
                return;
            };
            file.write_out();
            // Not the last reference: it is let go of only when it counts as written.
            drop(file);
            self.files.lock().note_written();
            self.forget_one();
        }
    }

    /// Lets go of those that were written out. The caller holds nothing that the removal of a file takes, and waits for a thaw if
    /// one is needed for that.
    pub(super) fn let_go(&self) {
        loop {
            let Some(file) = self.files.lock().take_written() else {
                return;
            };
            drop(file);
        }
    }

    fn forget_one(&self) {
        self.left.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Files {
    /// An error where there is no room.
    fn keep(&mut self, file: &Inode) -> Result {
        let kept = self.kept.push_within_capacity(file.into());
        kept.map_err(|_| ENOSPC)
    }

    /// How many are to be waited for.
    fn waiting(&self) -> usize {
        self.kept.len().saturating_sub(self.written)
    }

    fn oldest_waiting(&self) -> Option<ARef<Inode>> {
        self.kept.get(self.written).cloned()
    }

    /// The oldest that was waited for is written. Others may have been let go of meanwhile, which came before it.
    fn note_written(&mut self) {
        self.written = self.written.saturating_add(1);
    }

    fn take_written(&mut self) -> Option<ARef<Inode>> {
        self.written = self.written.checked_sub(1)?;
        self.kept.remove(0).ok()
    }
}
