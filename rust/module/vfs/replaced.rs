// SPDX-License-Identifier: GPL-2.0

//! Files that take the place of what was there: by a rename, or as they were cut to nothing and are written anew.
//!
//! Whoever does that without a sync counts on the old bytes or the new ones after a power cut. But a rename and a cut are durable
//! with the next commit, whoever asks for it, and bytes only when they were written out: so that begins at once (C: `filemap_flush`
//! in `btrfs_rename` and at the close), and a commit that is asked for, or is made unasked, waits for it: before it, with everybody
//! changing files, and once more when no name can join it any more, for what has come meanwhile
//! ([`engine::txn::Transactions::commit_behind`]).
//!
//! While somebody waits, not much more may come: a commit that begins to close has little left to wait for then, with all others
//! shut out. Who comes with more waits for it himself, before he changes a name.
//!
//! A file that loses its last name is forgotten at once, and with it goes its space. To wait for a file is one thing, to let go of
//! it another: where it lost its name meanwhile, the last reference removes it, which takes a transaction. Who waits for bytes cannot
//! wait for that.

use crate::linux::Inode;
use core::sync::atomic::{fence, AtomicUsize, Ordering};
use engine::disk::Bytes;
use kernel::sync::aref::ARef;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// The most files that are remembered. Who comes with one more waits for its bytes himself.
const MOST: usize = 256;

/// The most that may come while somebody waits, none larger than [`LATE_SIZE`].
const LATE: usize = 16;

/// The largest file that may come while somebody waits, see [`LATE`].
const LATE_SIZE: Bytes = Bytes::new(1 << 20);

/// The files of a mount whose bytes must reach the device before what they have replaced is gone.
pub(super) struct Replaced {
    /// Held by who waits for them, so that others do, too.
    turn: Mutex<()>,
    files: Mutex<Files>,
    /// How many files are remembered, or are about to be: who finds none takes no lock.
    count: AtomicUsize,
}

struct Files {
    /// The oldest first; with room for [`MOST`].
    kept: KVec<Kept>,
    /// While somebody waits: how many may still come.
    late: Option<usize>,
}

/// A file that is remembered. As long as it is in the list it has a name, or is [`Stage::Awaited`], or who takes its last name
/// is about to forget it.
struct Kept {
    file: ARef<Inode>,
    stage: Stage,
}

/// How far one has come with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its bytes are to be waited for.
    Waiting,
    /// Somebody waits for them, and has a reference of his own: who drops that must not have the last one.
    Awaited,
    /// They were waited for.
    Written,
}

impl Replaced {
    /// Makes the list without a file.
    pub(super) fn new() -> Result<Self> {
        let files = Files {
            kept: KVec::with_capacity(MOST, GFP_KERNEL)?,
            late: None,
        };
        Ok(Self {
            turn: Mutex::new((), Rank::ReplacedTurn)?,
            files: Mutex::new(files, Rank::Replaced)?,
            count: AtomicUsize::new(0),
        })
    }

    /// Begins to write out what is dirty of `file`, and remembers it. An error is fsync's to tell. The caller is in no
    /// transaction and holds nothing that writeback takes.
    pub(super) fn add(&self, file: &Inode) {
        if !file.has_unwritten() {
            return;
        }
        file.begin_write_out();
        if self.keep(file).is_err() {
            self.let_go();
            if self.keep(file).is_err() {
                file.write_out();
            }
        }
    }

    /// An error where there is no room.
    fn keep(&self, file: &Inode) -> Result {
        // Before its name is looked for, see `forget`.
        self.count.fetch_add(1, Ordering::SeqCst);
        let kept = self.files.lock().keep(file);
        if kept != Ok(Fate::Remembered) {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        kept.map(|_| ())
    }

    /// Forgets `file`, if it has no name any more: nobody waits for its bytes. The caller has a reference to it.
    pub(super) fn forget(&self, file: &Inode) {
        if file.nlink() != 0 {
            return;
        }
        // Either this task sees that there is a file, or who adds this one sees that it has no name.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let forgotten = self.files.lock().forget(file);
        self.drop_all(forgotten);
    }

    /// Waits until all that there are now are written out, the oldest first, and keeps them. The caller holds nothing that writeback
    /// takes, and no lock of an inode.
    pub(super) fn write_out(&self) {
        if self.count.load(Ordering::Acquire) == 0 || self.files.lock().are_written() {
            return;
        }
        let _turn = self.turn.lock();
        // Those that come meanwhile are for the next one who asks.
        let waiting = self.files.lock().begin();
        for _ in 0..waiting {
            let Some(file) = self.files.lock().await_oldest() else {
                break;
            };
            file.write_out();
            self.files.lock().note_written(file);
        }
        self.files.lock().late = None;
    }

    /// Lets go of those that were written out. The caller holds nothing that the removal of a file takes.
    pub(super) fn let_go(&self) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        loop {
            let written = self.files.lock().take_written();
            if written.is_none() {
                return;
            }
            self.drop_all(written);
        }
    }

    fn drop_all(&self, files: impl IntoIterator<Item = ARef<Inode>>) {
        for file in files {
            drop(file);
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// What became of a file that was to be remembered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is in the list.
    Remembered,
    /// It has no name, and replaces nothing.
    Nameless,
}

impl Files {
    /// An error where there is no room.
    fn keep(&mut self, file: &Inode) -> Result<Fate> {
        if file.nlink() == 0 {
            return Ok(Fate::Nameless);
        }
        if let Some(late) = self.late {
            let is_large = file.size() > LATE_SIZE;
            let left = late.checked_sub(1).filter(|_| !is_large);
            self.late = Some(left.ok_or(ENOSPC)?);
        }
        let kept = Kept {
            file: file.into(),
            stage: Stage::Waiting,
        };
        match self.kept.push_within_capacity(kept) {
            Ok(()) => Ok(Fate::Remembered),
            Err(_) => Err(ENOSPC),
        }
    }

    /// Takes `file` out, unless somebody waits for it.
    fn forget(&mut self, file: &Inode) -> Option<ARef<Inode>> {
        let is_it = |kept: &Kept| core::ptr::eq(&*kept.file, file) && kept.stage != Stage::Awaited;
        let at = self.kept.iter().position(is_it)?;
        self.take(at)
    }

    fn are_written(&self) -> bool {
        self.kept.iter().all(|kept| kept.stage == Stage::Written)
    }

    /// Begins a round of waiting, and tells for how many.
    fn begin(&mut self) -> usize {
        self.late = Some(LATE);
        let waiting = self.kept.iter().filter(|kept| kept.stage == Stage::Waiting);
        waiting.fold(0, |count: usize, _| count.saturating_add(1))
    }

    /// The oldest that is to be waited for, which somebody waits for from now on.
    fn await_oldest(&mut self) -> Option<ARef<Inode>> {
        let mut kept = self.kept.iter_mut();
        let oldest = kept.find(|kept| kept.stage == Stage::Waiting)?;
        oldest.stage = Stage::Awaited;
        Some(oldest.file.clone())
    }

    /// The file that somebody waits for is written. There is one at a time.
    fn note_written(&mut self, file: ARef<Inode>) {
        let mut kept = self.kept.iter_mut();
        if let Some(awaited) = kept.find(|kept| kept.stage == Stage::Awaited) {
            // While the list has it this is not the last reference.
            drop(file);
            awaited.stage = Stage::Written;
        }
    }

    fn take_written(&mut self) -> Option<ARef<Inode>> {
        let written = |kept: &Kept| kept.stage == Stage::Written;
        let at = self.kept.iter().position(written)?;
        self.take(at)
    }

    fn take(&mut self, at: usize) -> Option<ARef<Inode>> {
        Some(self.kept.remove(at).ok()?.file)
    }
}
