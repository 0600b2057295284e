// SPDX-License-Identifier: GPL-2.0

//! The thread that commits now and then, moves data out of zones of which much is dead, and removes what was left of inodes.
//!
//! A mount has it from the first time on that files may be changed. A freeze parks it: who thaws may not fail, and to make
//! a thread can. A remount to read-only leaves it, because what was begun ends later.

use super::replaced::Replaced;
use crate::io::metadata::MetadataCache;
use crate::linux::thread::{Body, Parked, Stop, Thread};
use crate::linux::time::monotonic_ns;
use core::sync::atomic::{AtomicU32, Ordering};
use engine::fs::{FileSystem, Relocated};
use engine::space::Reclaim;
use engine::volume::Writes;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, NofsScope, Rank};

/// How often the thread looks, in milliseconds.
const LOOK: u32 = 1000;

/// For how long, in nanoseconds, the thread does what may take long each time: as long can a commit be late, and others have the
/// device for the rest.
const TURN: u64 = 200_000_000;

/// How often, in nanoseconds, it is tried to remove what was left of inodes without names, for want of space.
const CLEANING: u64 = 30_000_000_000;

/// When to commit.
pub(super) struct Schedule {
    /// Seconds that a transaction may get old (`commit=`).
    pub(super) interval: AtomicU32,
}

/// What the thread works on.
pub(super) struct Work {
    pub(super) fs: Arc<FileSystem>,
    pub(super) cache: Arc<MetadataCache>,
    pub(super) schedule: Arc<Schedule>,
    pub(super) replaced: Arc<Replaced>,
}

/// The thread of a mount. Calls are serialised by `s_umount`, or nobody else has the mount.
pub(super) struct Committer(Mutex<State>);

enum State {
    Absent,
    Commits(Thread),
    Waits(Parked),
}

impl Committer {
    /// A committer without a thread yet.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Mutex::new(State::Absent, Rank::Committer)?))
    }

    /// Starts the thread, if there is none. `EINTR` for a task that is about to die.
    pub(super) fn start(&self, work: Work) -> Result {
        let mut state = self.0.lock();
        if matches!(*state, State::Absent) {
            *state = State::Commits(Thread::spawn(c"rbtrfs-commit", work)?);
        }
        Ok(())
    }

    /// No commit is made unasked until [`Self::go_on`]; one that is under way is finished.
    pub(super) fn pause(&self) {
        self.change(|state| match state {
            State::Commits(thread) => State::Waits(thread.park()),
            other => other,
        });
    }

    /// The end of a pause. It cannot fail.
    pub(super) fn go_on(&self) {
        self.change(|state| match state {
            State::Waits(parked) => State::Commits(parked.unpark()),
            other => other,
        });
    }

    /// Ends the thread; a commit that is under way is finished.
    pub(super) fn stop(&self) {
        self.change(|_| State::Absent);
    }

    /// The thread is waited for with the lock: it does not take it.
    fn change(&self, to: impl FnOnce(State) -> State) {
        let mut state = self.0.lock();
        let now = core::mem::replace(&mut *state, State::Absent);
        *state = to(now);
    }
}

impl Body for Work {
    fn run(self, stop: &Stop) {
        let _nofs = NofsScope::enter();
        let mut cleaned = monotonic_ns();
        while !stop.is_requested() {
            stop.sleep(LOOK);
            if !stop.is_requested() {
                self.look(stop);
                self.clean(&mut cleaned, stop);
            }
        }
    }
}

impl Work {
    /// An error aborts the transaction, which says so itself.
    fn look(&self, stop: &Stop) {
        let transactions = self.fs.transactions();
        let seconds = self.schedule.interval.load(Ordering::Relaxed);
        let age = u64::from(seconds).saturating_mul(1_000_000_000);
        match transactions.volume().writes() {
            Writes::Now => {
                self.replaced.write_out();
                // Before the rest: maintenance takes as long as devices take.
                let _ = transactions.commit_if_older(age, &|| self.replaced.write_out());
                // A freeze waits for this thread, which must not wait for a thaw.
                self.cache.while_unfrozen(|| self.replaced.let_go());
                let _ = transactions.maintain();
                self.move_data(stop);
            }
            // Read-only by now, by force perhaps: files that were being written end in a transaction all the same. Whoever
            // looks at the device does not expect that: it is not put off.
            Writes::Paused => self.cache.while_unfrozen(|| {
                let _ = transactions.commit_if_older(0, &|| ());
            }),
            Writes::Aborted => self.cache.show_failure(),
            Writes::Never | Writes::Later => {}
        }
    }

    /// Removes what was left of inodes, if the last time is long ago. What it cannot stays noted.
    fn clean(&self, last: &mut u64, stop: &Stop) {
        let now = monotonic_ns();
        let is_time = now.saturating_sub(*last) >= CLEANING;
        if is_time && self.fs.transactions().volume().writes().changes_files() {
            let cleaned = self.fs.inodes().clean_left(&in_time(stop));
            // What wants nothing but time goes on at once.
            if cleaned != Err(EAGAIN) {
                *last = now;
            }
        }
    }

    fn commit(&self) -> Result {
        let data = || self.replaced.write_out();
        self.fs.transactions().commit_behind(&data)
    }

    /// Writes what is left of zones elsewhere where space runs short.
    fn move_data(&self, stop: &Stop) {
        let in_time = in_time(stop);
        let relocation = self.fs.relocation();
        // The commit gives back what the next group needs.
        while relocation.go_on(Reclaim::Soon, &in_time) == Ok(Relocated::Emptied)
            && self.commit().is_ok()
        {}
    }
}

/// Whether the turn that begins now goes on.
fn in_time(stop: &Stop) -> impl Fn() -> bool + '_ {
    let until = monotonic_ns().saturating_add(TURN);
    move || monotonic_ns() < until && !stop.is_requested()
}
