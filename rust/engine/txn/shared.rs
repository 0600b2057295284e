// SPDX-License-Identifier: GPL-2.0
//! What all handles of a mounted volume share.

use super::counters::Costs;
use super::join::{Awaited, Joiner, Joining, Waited};
use super::leaving::Leaving;
use super::refs::{Head, Runner};
use super::roots::OpenTrees;
use super::transaction::Transaction;
use super::{Clock, Keep, Roots, Witness};
use crate::btree::Store;
use crate::disk::Timespec;
use crate::space::{Class, Space};
use crate::volume::{Volume, Writes};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Condvar, Mutex};

/// The state of a mounted volume below its handles.
pub(super) struct Shared {
    pub(super) volume: Arc<Volume>,
    pub(super) store: Arc<dyn Store>,
    pub(super) space: Arc<Space>,
    pub(super) trees: OpenTrees,
    pub(super) runner: Mutex<Runner>,
    /// Its lock serialises making and removing chunks. Locked inside a handle; tree block locks come after it.
    pub(super) leaving: Mutex<Leaving>,
    pub(super) chunks_made: AtomicU64,
    pub(super) joining: Mutex<Joining>,
    /// Wakes those who wait for a change of `joining`.
    pub(super) moved: Condvar,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) costs: Mutex<Costs>,
    pub(super) refs_run: AtomicU64,
    pub(super) refs_cancelled: AtomicU64,
    pub(super) groups_emptied: AtomicU64,
    /// What it was opened with.
    pub(super) roots: Roots,
    pub(super) keep: Keep,
    pub(super) witness: Option<Arc<dyn Witness>>,
}

impl Shared {
    /// `EROFS` after an abort.
    pub(super) fn check_alive(&self) -> Result {
        match self.volume.writes() {
            Writes::Aborted => Err(EROFS),
            _ => Ok(()),
        }
    }

    /// `EROFS` where nothing can be changed.
    pub(super) fn check_writable(&self) -> Result {
        self.volume.check_sending()
    }

    /// Makes the volume read-only for good: no superblock is written from here on. The first error is kept.
    pub(super) fn abort(&self, error: Error) {
        let mut joining = self.joining.lock();
        let is_first = joining.aborted.is_none();
        if is_first {
            joining.aborted = Some(error);
            self.volume.abort_writing();
            pr_crit!(
                "transaction {} aborted (error {}), read-only from now on\n",
                joining.newest,
                error.to_errno()
            );
        }
        drop(joining);
        self.moved.notify_all();
        if let Some(witness) = self.witness.as_ref().filter(|_| is_first) {
            witness.aborted(error);
        }
    }

    /// Has it read where groups are free. Where that fails the volume becomes read-only, and for that reason: what the trees
    /// say of free space could not be changed either.
    pub(super) fn read_free<T>(&self, read: impl FnOnce(&Space) -> Result<T>) -> Result<T> {
        read(&self.space).inspect_err(|error| self.abort(*error))
    }

    /// Enters the running transaction, or begins one.
    pub(super) fn join(&self, joiner: Joiner) -> Result<Arc<Transaction>> {
        let mut joining = self.joining.lock();
        loop {
            self.check_writable()?;
            if joining.admits(joiner) {
                break;
            }
            self.moved.wait(&mut joining);
        }
        let running = match &joining.running {
            Some(running) => running.clone(),
            None => self.begin(&mut joining)?,
        };
        joining.enter(joiner);
        Ok(running)
    }

    /// Enters the running transaction if there is one and it takes starters, or waits until it does.
    pub(super) fn attach(&self) -> Result<Option<Arc<Transaction>>> {
        let mut joining = self.joining.lock();
        loop {
            self.check_writable()?;
            let Some(running) = joining.running.clone() else {
                return Ok(None);
            };
            if joining.admits(Joiner::Starter) {
                joining.enter(Joiner::Starter);
                return Ok(Some(running));
            }
            self.moved.wait(&mut joining);
        }
    }

    fn begin(&self, joining: &mut Joining) -> Result<Arc<Transaction>> {
        let generation = joining.newest.next();
        let reservation = self.space.reserve_nothing(Class::Metadata);
        let running = Transaction::new(generation, self.now_ns(), reservation)?;
        joining.newest = generation;
        joining.running = Some(running.clone());
        Ok(running)
    }

    /// Leaves the transaction.
    pub(super) fn leave(&self, joiner: Joiner) {
        let awaited = self.joining.lock().leave(joiner);
        if awaited == Awaited::Yes {
            self.moved.notify_all();
        }
    }

    /// Waits until a handle ends, if there is one. The caller has none.
    pub(super) fn wait_for_leaver(&self) -> Waited {
        let mut joining = self.joining.lock();
        if joining.starters == 0 && joining.completions == 0 {
            return Waited::ForNobody;
        }
        joining.hungry = joining.hungry.saturating_add(1);
        self.moved.wait(&mut joining);
        joining.hungry = joining.hungry.saturating_sub(1);
        Waited::ForChange
    }

    /// The time, or zero without a clock.
    pub(super) fn now_ns(&self) -> u64 {
        self.clock.as_ref().map_or(0, |clock| clock.now_ns())
    }

    /// The time of day, or zero without a clock.
    pub(super) fn real_time(&self) -> Timespec {
        let clock = self.clock.as_ref();
        clock.map_or_else(Timespec::default, |clock| clock.real_time())
    }

    /// A head went from the queue to the trees.
    pub(super) fn count_run(&self, head: &Head) {
        self.refs_run.fetch_add(1, Ordering::Relaxed);
        self.count_cancelled(head.met());
    }

    /// So many additions of a reference met a drop of it.
    pub(super) fn count_cancelled(&self, met: u32) {
        self.refs_cancelled.fetch_add(met.into(), Ordering::Relaxed);
    }
}
