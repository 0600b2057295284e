// SPDX-License-Identifier: GPL-2.0
//! The right to change trees.

use super::context::{Context, Joined};
use super::core::Core;
use super::run_refs::Limit;
use crate::disk::Bytes;
use crate::space::{Class, Reservation, Space, Urgency};
use crate::txn::join::Joiner;
use crate::txn::transaction::deferred::{AtCommit, Deferred};
use crate::txn::transaction::Transaction;
use crate::txn::Units;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{NofsScope, Place, Rank};

/// From this many queued references on, handles that end run some.
const LONG_QUEUE: usize = 1024;
/// How many such a handle runs.
const SOME_HEADS: usize = 64;
/// Blocks of the extent tree and its like that are set aside for each queued reference.
const BLOCKS_PER_REFERENCE: u64 = 8;

/// What a task needs from before it joins a transaction until its handle ends: its allocations do not enter the file
/// system, and it has its place in the order of locks: outside of everything that is taken with a handle.
struct InTransaction {
    _place: Place,
    _nofs: NofsScope,
}

impl InTransaction {
    fn begin() -> Self {
        Self {
            _place: Place::take(Rank::Transaction),
            _nofs: NofsScope::enter(),
        }
    }
}

/// The right to change trees in the running transaction, which cannot commit while the handle lives.
///
/// Dropping it ends it and gives back what is left of the reservation; no tree block lock may be held then. A task
/// holds at most one: a second `start` inside the first waits for a commit that waits for the first, and the host's
/// tests fail. Allocations of the task do not enter the file system while it holds a handle.
pub struct Handle {
    shared: Arc<Core>,
    transaction: Arc<Transaction>,
    reservation: Reservation,
    joiner: Joiner,
    _inside: InTransaction,
}

impl Handle {
    /// Joins the running transaction as `joiner`, or begins one.
    pub(in crate::txn) fn join(
        shared: &Arc<Core>,
        joiner: Joiner,
        reservation: Reservation,
    ) -> Result<Self> {
        let inside = InTransaction::begin();
        let transaction = shared.join(joiner)?;
        Ok(Self {
            shared: shared.clone(),
            transaction,
            reservation,
            joiner,
            _inside: inside,
        })
    }

    /// Joins the running transaction if there is one that takes joiners; reserves nothing.
    pub(in crate::txn) fn attach(shared: &Arc<Core>) -> Result<Option<Self>> {
        let inside = InTransaction::begin();
        let Some(transaction) = shared.attach()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            shared: shared.clone(),
            transaction,
            reservation: shared.space.reserve_nothing(Class::Metadata),
            joiner: Joiner::Starter,
            _inside: inside,
        }))
    }

    /// The superblock in memory was changed, which the commit writes even if no tree does.
    pub fn note_superblock(&self) {
        self.transaction.note_superblock();
    }

    /// Ends the handle and commits its transaction; durable on return.
    pub fn commit(self) -> Result {
        let shared = self.shared.clone();
        drop(self);
        shared.commits().commit()
    }

    /// Ends the handle and commits its transaction, and with it what `work` changes once nobody is in it any more. That is
    /// paid from what the handle has reserved. Durable on return.
    pub fn commit_with(self, work: KBox<dyn AtCommit>) -> Result {
        let deferred = Deferred {
            work,
            reservation: self.reserved(),
        };
        self.transaction.defer(deferred)?;
        self.commit()
    }

    /// Takes out what is reserved and was not used, but for what the queued references may need.
    pub fn take_rest(&self) -> Reservation {
        self.leave_to_committer();
        self.reserved()
    }

    /// Takes out all that is reserved.
    fn reserved(&self) -> Reservation {
        let all = self.reservation.split(self.reservation.bytes());
        all.unwrap_or_else(|| self.shared.space.reserve_nothing(Class::Metadata))
    }

    /// Gives up the transaction: the volume becomes read-only and nothing of it reaches a superblock.
    /// Callers need it that changed one of several items that belong together and failed at the next.
    pub fn abort(&self, error: Error) {
        self.shared.abort(error);
    }

    /// Between two of the steps of a handle that has many: does what others do when theirs ends, and has a chunk made before blocks run
    /// short. No tree block lock may be held.
    pub(in crate::txn) fn go_on(&self) -> Result {
        self.context().make_wanted_chunk()?;
        self.leave_to_committer();
        self.shorten_queue()
    }

    /// Runs delayed references, paid by the transaction, and gives back what those had set aside.
    pub(in crate::txn) fn run_refs(&self, limit: Limit) -> Result {
        let run = Context::new(
            &self.shared,
            &self.transaction,
            &self.transaction.reservation,
        )
        .run_refs(limit);
        let surplus = self
            .transaction
            .reservation
            .bytes()
            .saturating_sub(self.wanted());
        self.transaction.reservation.give_back(surplus);
        run
    }

    /// Bytes to be set aside for the references that are queued now.
    fn wanted(&self) -> Bytes {
        let references = self.transaction.queue.lock().len() as u64;
        let blocks = references.saturating_mul(BLOCKS_PER_REFERENCE);
        Bytes::from(self.shared.store.node_size()).saturating_mul(blocks)
    }

    /// Leaves to the committer what the queued references may need and gives back the rest.
    fn leave_to_committer(&self) {
        let missing = self
            .wanted()
            .saturating_sub(self.transaction.reservation.bytes());
        if let Some(part) = self
            .reservation
            .split(missing.min(self.reservation.bytes()))
        {
            self.transaction.reservation.merge(part);
        }
    }

    fn shorten_queue(&self) -> Result {
        if self.transaction.queue.lock().len() < LONG_QUEUE {
            return Ok(());
        }
        self.run_refs(Limit::Few(SOME_HEADS))
    }
}

/// Runs the delayed references of the running transaction, if there is one; waits for those that another task runs.
pub(in crate::txn) fn run_refs(shared: &Arc<Core>) -> Result {
    match Handle::attach(shared)? {
        Some(handle) => handle.run_refs(Limit::All),
        None => Ok(()),
    }
}

/// A handle for which nothing but what is known to be free is asked: `ENOSPC` at once. Where tree blocks can lie is read
/// before: what may be drawn on the global reserve is not refused, and has to be found.
pub(in crate::txn) fn enter_now(
    shared: &Arc<Core>,
    units: Units,
    urgency: Urgency,
) -> Result<Handle> {
    let bytes = units.bytes(shared.store.node_size());
    shared.read_free(Space::read_wanted)?;
    let reservation = shared
        .space
        .reserve(Class::Metadata, bytes, urgency)
        .map_err(|_| ENOSPC)?;
    Handle::join(shared, Joiner::Starter, reservation)
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.leave_to_committer();
        // An error has aborted the transaction, which the next call of anybody reports.
        let _ = self.shorten_queue();
        self.shared.leave(self.joiner);
    }
}

impl Joined for Handle {
    fn context(&self) -> Context<'_> {
        Context::new(&self.shared, &self.transaction, &self.reservation)
    }
}
