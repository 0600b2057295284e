// SPDX-License-Identifier: GPL-2.0
//! Whether the volume may be written: held here, and asked for by all layers.
//!
//! ```text
//!  open ---> Never                            the device, a feature or an option forbids it
//!       ---> Later ---begin---> Now           a read-only mount that may become writable
//!       ---> Now <--begin, pause--> Paused    remounts
//!  Later, Now ---forbid---> Never             a mount asks for less than the volume was opened for
//!  any ---abort---> Aborted                   a change that cannot be finished
//! ```
//!
//! | state     | files change, copies are repaired | transactions run and commit | the volume does at mount    |
//! |-----------|-----------------------------------|-----------------------------|-----------------------------|
//! | `Never`   | no                                | no                          | nothing                     |
//! | `Later`   | no                                | no                          | reads what a writer needs   |
//! | `Now`     | yes                               | yes                         | what a writer needs         |
//! | `Paused`  | no                                | yes: what began ends        |                             |
//! | `Aborted` | no                                | no                          |                             |
//!
//! `Never` and `Aborted` are for good. A freeze is no state of the volume: the VFS holds off who writes, and work of the
//! module's own asks it (`SuperBlock::hold_unfrozen`). A subvolume that is read-only is asked beside this.

use super::{Logical, Volume};
use core::sync::atomic::{AtomicU8, Ordering};
use latch::prelude::*;

/// Whether the volume may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Writes {
    /// No, for good.
    Never,
    /// From [`Volume::begin_writing`] on; until then it is read as by who writes later.
    Later,
    /// The volume is written to at once.
    Now,
    /// The volume was written to, and may be again; what was begun is finished.
    Paused,
    /// A transaction was aborted: no more, for good.
    Aborted,
}

impl Writes {
    /// Whether files change and copies are repaired: the first column above.
    pub const fn changes_files(self) -> bool {
        matches!(self, Self::Now)
    }

    /// Whether a transaction may run and be committed: the second column.
    pub const fn runs_transactions(self) -> bool {
        matches!(self, Self::Now | Self::Paused)
    }

    /// Whether it may be now, or become so.
    pub const fn is_possible(self) -> bool {
        !matches!(self, Self::Never | Self::Aborted)
    }

    /// The arrows in the picture above.
    const fn leads_to(self, next: Self) -> bool {
        use Writes::{Aborted, Later, Never, Now, Paused};
        matches!(
            (self, next),
            (Later | Now, Never) | (Later | Now | Paused, Now) | (Now, Paused) | (_, Aborted)
        )
    }

    const fn of(number: u8) -> Self {
        match number {
            1 => Self::Later,
            2 => Self::Now,
            3 => Self::Paused,
            4 => Self::Aborted,
            _ => Self::Never,
        }
    }
}

/// The state of one volume.
pub(super) struct State(AtomicU8);

impl State {
    pub(super) const fn new(writes: Writes) -> Self {
        Self(AtomicU8::new(writes as u8))
    }

    /// Goes where the picture has an arrow. `EROFS` where it has none.
    fn go(&self, next: Writes) -> Result {
        let leads = |from| Writes::of(from).leads_to(next).then_some(next as u8);
        let gone = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, leads);
        gone.map(|_| ()).map_err(|_| EROFS)
    }
}

impl Volume {
    /// Whether the volume may be written.
    pub fn writes(&self) -> Writes {
        Writes::of(self.writes.0.load(Ordering::Acquire))
    }

    /// `EROFS` where no file changes: a mount is read-only, or nothing can be written at all.
    pub fn check_changing(&self) -> Result {
        match self.writes().changes_files() {
            true => Ok(()),
            false => Err(EROFS),
        }
    }

    /// `EROFS` where nothing is sent to the devices: no tree block, no data, no superblock. Asked right before it is sent: what
    /// the trees say of free space may be the very thing that made a transaction abort.
    pub fn check_sending(&self) -> Result {
        match self.writes().runs_transactions() {
            true => Ok(()),
            false => Err(EROFS),
        }
    }

    /// Allows writes. What [`Writes::Later`] left for now is done first, then `prepare`: where that fails the volume is
    /// as before, and can be tried again. Calls are serialised by the caller. `EROFS`.
    pub fn begin_writing(&self, prepare: impl FnOnce() -> Result) -> Result {
        if self.writes() == Writes::Later {
            self.members.flush()?;
            self.catch_up()?;
            prepare()?;
        }
        self.writes.go(Writes::Now)
    }

    /// Does for all members and chunks what was left for later. Done once more it changes nothing.
    fn catch_up(&self) -> Result {
        for member in self.members.iter() {
            member.hal.check_active()?;
        }
        let mut next = self.chunk_from(Logical::new(0));
        while let Some(chunk) = next {
            for hal in self.members.hals(&chunk) {
                hal.begin_writing(&chunk, self.zones().unit(&chunk))?;
            }
            next = self.chunk_from(chunk.end());
        }
        Ok(())
    }

    /// A mount becomes read-only: files change no more, and what was begun is finished.
    pub fn pause_writing(&self) {
        // Where nothing may be written there is nothing to pause.
        let _ = self.writes.go(Writes::Paused);
    }

    /// A volume that was not written yet never will be. For a mount that opens it.
    pub fn forbid_writing(&self) {
        // Where it is forbidden already, nothing is to be done.
        let _ = self.writes.go(Writes::Never);
    }

    /// A change cannot be finished: nothing is written any more.
    pub fn abort_writing(&self) {
        let _ = self.writes.go(Writes::Aborted);
    }
}

#[cfg(test)]
mod tests {
    use super::Writes::{Aborted, Later, Never, Now, Paused};
    use super::*;

    #[test]
    fn what_is_for_good_is_never_left() {
        for (from, next, gone) in [
            (Later, Now, Ok(())),
            (Now, Paused, Ok(())),
            (Paused, Now, Ok(())),
            (Later, Paused, Err(EROFS)),
            (Later, Never, Ok(())),
            (Now, Never, Ok(())),
            (Paused, Never, Err(EROFS)),
            (Never, Now, Err(EROFS)),
            (Never, Later, Err(EROFS)),
            (Paused, Aborted, Ok(())),
            (Aborted, Now, Err(EROFS)),
            (Aborted, Paused, Err(EROFS)),
            (Aborted, Never, Err(EROFS)),
        ] {
            let state = State::new(from);
            assert_eq!(state.go(next), gone, "{from:?} to {next:?}");
            let left = if gone.is_ok() { next } else { from };
            assert_eq!(Writes::of(state.0.into_inner()), left);
        }
    }
}
