// SPDX-License-Identifier: GPL-2.0
//! What all handles of a mounted volume share.

use super::leaving::Leaving;
use crate::btree::Store;
use crate::disk::Timespec;
use crate::space::{Class, Space};
use crate::txn::counters::Costs;
use crate::txn::join::{Awaited, Joiner, Joining, Waited};
use crate::txn::refs::{Head, Runner};
use crate::txn::roots::OpenTrees;
use crate::txn::transaction::Transaction;
use crate::txn::{Clock, Keep, Roots, Witness};
use crate::volume::{Volume, Writes};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Condvar, Mutex};

/// What all handles of a mounted volume share: its state below them.
pub(in crate::txn) struct Core {
    pub(in crate::txn) volume: Arc<Volume>,
    pub(in crate::txn) store: Arc<dyn Store>,
    pub(in crate::txn) space: Arc<Space>,
    pub(in crate::txn) trees: OpenTrees,
    pub(in crate::txn) runner: Mutex<Runner>,
    /// Its lock serialises making and removing chunks. Lock order: `Transaction` > `Chunks` > `FileTree`.
    pub(in crate::txn) leaving: Mutex<Leaving>,
    pub(in crate::txn) chunks_made: AtomicU64,
    pub(in crate::txn) joining: Mutex<Joining>,
    /// Wakes those who wait for a change of `joining`.
    pub(in crate::txn) moved: Condvar,
    pub(in crate::txn) clock: Option<Arc<dyn Clock>>,
    pub(in crate::txn) costs: Mutex<Costs>,
    pub(in crate::txn) refs_run: AtomicU64,
    pub(in crate::txn) refs_cancelled: AtomicU64,
    pub(in crate::txn) groups_emptied: AtomicU64,
    /// What it was opened with.
    pub(in crate::txn) roots: Roots,
    pub(in crate::txn) keep: Keep,
    /// A free space tree that is valid by the superblock is to be made anew before the first write.
    pub(in crate::txn) doubts_tree: AtomicBool,
    pub(in crate::txn) witness: Option<Arc<dyn Witness>>,
}

impl Core {
    /// `EROFS` after an abort.
    pub(in crate::txn) fn check_alive(&self) -> Result {
        match self.volume.writes() {
            Writes::Aborted => Err(EROFS),
            _ => Ok(()),
        }
    }

    /// `EROFS` where no transaction runs: see [`Volume::check_sending`].
    pub(in crate::txn) fn check_sending(&self) -> Result {
        self.volume.check_sending()
    }

    /// Makes the volume read-only for good: no superblock is written from here on. The first error is kept.
    pub(in crate::txn) fn abort(&self, error: Error) {
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
    pub(in crate::txn) fn read_free<T>(&self, read: impl FnOnce(&Space) -> Result<T>) -> Result<T> {
        read(&self.space).inspect_err(|error| self.abort(*error))
    }

    /// Enters the running transaction, or begins one.
    pub(in crate::txn) fn join(&self, joiner: Joiner) -> Result<Arc<Transaction>> {
        let mut joining = self.joining.lock();
        loop {
            self.check_sending()?;
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
    pub(in crate::txn) fn attach(&self) -> Result<Option<Arc<Transaction>>> {
        let mut joining = self.joining.lock();
        loop {
            self.check_sending()?;
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
    pub(in crate::txn) fn leave(&self, joiner: Joiner) {
        let awaited = self.joining.lock().leave(joiner);
        if awaited == Awaited::Yes {
            self.moved.notify_all();
        }
    }

    /// Waits until a handle ends, if there is one. The caller has none.
    pub(in crate::txn) fn wait_for_leaver(&self) -> Waited {
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
    pub(in crate::txn) fn now_ns(&self) -> u64 {
        self.clock.as_ref().map_or(0, |clock| clock.now_ns())
    }

    /// The time of day, or zero without a clock.
    pub(in crate::txn) fn real_time(&self) -> Timespec {
        let clock = self.clock.as_ref();
        clock.map_or_else(Timespec::default, |clock| clock.real_time())
    }

    /// A head went from the queue to the trees.
    pub(in crate::txn) fn count_run(&self, head: &Head) {
        self.refs_run.fetch_add(1, Ordering::Relaxed);
        self.count_cancelled(head.met());
    }

    /// Counts the additions of a reference that met a drop of it.
    pub(in crate::txn) fn count_cancelled(&self, met: u32) {
        self.refs_cancelled.fetch_add(met.into(), Ordering::Relaxed);
    }
}
