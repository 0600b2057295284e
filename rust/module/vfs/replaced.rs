// SPDX-License-Identifier: GPL-2.0

//! Files that take the place of what was there: by a rename, or as they were cut to nothing and are written anew.
//!
//! Whoever does that without a sync counts on the old bytes or the new ones after a power cut. But a rename and a cut are durable
//! with the next commit, whoever asks for it, and bytes only when they were written out: so that begins at once (C: `filemap_flush`
//! in `btrfs_rename` and at the close), and a commit that is asked for, or is made unasked, waits for it first.

use crate::linux::Inode;
use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::sync::aref::ARef;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// So many files are remembered. Who comes with one more waits for its bytes himself.
const MOST: usize = 256;

/// The files of a mount whose bytes must reach the device before what they have replaced is gone.
pub(super) struct Replaced {
    /// Held by who waits for them, so that others do, too.
    turn: Mutex<()>,
    /// With room for [`MOST`].
    files: Mutex<KVec<ARef<Inode>>>,
    /// Those in `files`, and the one that is waited for.
    left: AtomicUsize,
}

impl Replaced {
    /// Makes the list without a file.
    pub(super) fn new() -> Result<Self> {
        let files = KVec::with_capacity(MOST, GFP_KERNEL)?;
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
        let kept = self.files.lock().push_within_capacity(file.into());
        if kept.is_err() {
            file.write_out();
            self.forget_one();
        }
    }

    /// Waits until all are written out. The caller holds nothing that writeback takes, and no lock of an inode.
    pub(super) fn settle(&self) {
        if self.left.load(Ordering::Acquire) == 0 {
            return;
        }
        let _turn = self.turn.lock();
        // Those that come meanwhile are for the next one who asks.
        for _ in 0..MOST {
            let Some(file) = self.files.lock().pop() else {
                return;
            };
            file.write_out();
            drop(file);
            self.forget_one();
        }
    }

    fn forget_one(&self) {
        self.left.fetch_sub(1, Ordering::AcqRel);
    }
}
