// SPDX-License-Identifier: GPL-2.0
//! The commit: from the running transaction to a superblock.
//!
//! What a commit puts into the superblock is in `superblock`.

mod superblock;

use crate::btree::WriteMode;
use crate::disk::{Bug, Bytes, Generation, Key, Logical, ObjectId, TreeId};
use crate::space::CacheTurn;
use crate::txn::counters::Times;
use crate::txn::handles::context::Context;
use crate::txn::handles::core::Core;
use crate::txn::handles::run_refs::Limit;
use crate::txn::join::{Joining, Next, Phase};
use crate::txn::transaction::deferred::Deferred;
use crate::txn::transaction::Transaction;
use crate::volume::SuperblockImage;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{MutexGuard, NofsScope};

/// Rounds of references, root items and block groups after which a commit is given up: each round copies blocks that
/// were not copied before, and needs the more rounds the deeper the trees are. Four are normal.
const MAX_ROUNDS: u32 = 64;

/// The free space caches that are written while others may still join, in each of two turns: all that have files. To make files
/// changes groups, and takes space of the reserve.
const CACHES_AHEAD: CacheTurn = CacheTurn {
    waits: usize::MAX,
    files: 64,
};

/// How many caches are written in each round with everybody waiting: what can be waited for at once.
const CACHES_A_ROUND: CacheTurn = CacheTurn { waits: 1, files: 8 };

/// How often the free space caches are written with everybody waiting. Two are normal: the first makes files and copies the
/// leaves of their items.
const CACHE_ROUNDS: u32 = 4;

/// The commits of a mounted volume: [`Core::commits`].
#[derive(Clone, Copy)]
pub(in crate::txn) struct Commits<'a>(&'a Core);

impl Core {
    /// The commits, to be made and asked for.
    pub(in crate::txn) fn commits(&self) -> Commits<'_> {
        Commits(self)
    }
}

impl Commits<'_> {
    /// Makes durable all that completed before the call. `EROFS` after an abort; who is there when it happens gets its
    /// error.
    pub(in crate::txn) fn commit(&self) -> Result {
        self.commit_behind(&|| ())
    }

    /// Does what [`crate::txn::Transactions::commit_behind`] says.
    pub(in crate::txn) fn commit_behind(&self, data: &dyn Fn()) -> Result {
        let mut joining = self.0.joining.lock();
        self.0.check_alive()?;
        let Some(target) = joining.last_changed() else {
            return Ok(());
        };
        loop {
            match joining.next_step(target)? {
                Next::Done => return Ok(()),
                Next::Wait => self.0.moved.wait(&mut joining),
                Next::Lead(transaction) => {
                    drop(joining);
                    return self.lead(&transaction, data);
                }
            }
        }
    }

    /// Sends the running transaction's blocks while everybody goes on changing it. At a hole this ends, and the full
    /// commit that follows does the rest; it also meets every error again.
    pub(in crate::txn) fn write_ahead(&self, transaction: &Transaction) {
        let _ = self.send(transaction, WriteMode::Integrity);
    }

    /// Commits the running transaction. The caller was made its leader.
    fn lead(&self, transaction: &Arc<Transaction>, data: &dyn Fn()) -> Result {
        let _nofs = NofsScope::enter();
        let mut times = Times {
            begun: self.0.now_ns(),
            closed: 0,
            unblocked: 0,
        };
        self.0.costs.lock().begin(times.begun);
        let committed = self.lead_through(transaction, data, &mut times);
        match committed {
            Ok(()) => self.0.costs.lock().end(&times, self.0.now_ns()),
            Err(error) => {
                self.0.costs.lock().give_up();
                self.0.abort(error);
            }
        }
        committed
    }

    fn lead_through(
        &self,
        transaction: &Arc<Transaction>,
        data: &dyn Fn(),
        times: &mut Times,
    ) -> Result {
        let context = Context::new(self.0, transaction, &transaction.reservation);
        self.prepare(&context)?;
        if self.0.joining.lock().unblocked.is_some() {
            // The device is still busy with the previous one, and `close` waits for it.
            self.write_ahead(transaction);
        }
        self.close(data, times)?;
        self.run_deferred(&context)?;
        let superblock = self.finish(&context)?;
        transaction.reservation.give_back(Bytes::MAX);
        self.0.joining.lock().unblock();
        times.unblocked = self.0.now_ns();
        self.0.moved.notify_all();
        self.write_out(transaction, superblock)?;
        self.complete(transaction)
    }

    /// Does in advance what would be done with everybody waiting.
    fn prepare(&self, context: &Context<'_>) -> Result {
        // Others go on adding: what is there now is enough, and what it copies.
        context.run_refs(Limit::Pass)?;
        context.make_wanted_chunk()?;
        context.run_refs(Limit::Pass)?;
        self.0.space.write_dirty_groups(context)?;
        // Those that have no file get one; its item is what their caches are written with.
        if self.0.space.write_caches(context, CACHES_AHEAD)? > 0 {
            context.run_refs(Limit::Pass)?;
            self.0.space.write_dirty_groups(context)?;
            self.0.space.write_caches(context, CACHES_AHEAD)?;
        }
        context.run_refs(Limit::Pass)
    }

    /// Waits for the previous transaction to be durable, then until nobody is in this one; `data` is called in between.
    fn close(&self, data: &dyn Fn(), times: &mut Times) -> Result {
        let mut joining = self.0.joining.lock();
        self.wait_until(&mut joining, |joining| joining.unblocked.is_none())?;
        drop(joining);
        // Most of it, while nobody is kept waiting.
        data();
        let mut joining = self.0.joining.lock();
        times.closed = self.0.now_ns();
        joining.phase = Phase::Closing;
        self.wait_until(&mut joining, |joining| joining.starters == 0)?;
        drop(joining);
        // What counts on data is in the transaction by now, all of it, and its data can be yet.
        data();
        let mut joining = self.0.joining.lock();
        joining.phase = Phase::Closed;
        self.wait_until(&mut joining, |joining| joining.completions == 0)
    }

    fn wait_until(
        &self,
        joining: &mut MutexGuard<'_, Joining>,
        holds: impl Fn(&Joining) -> bool,
    ) -> Result {
        while !holds(joining) {
            if let Some(error) = joining.aborted {
                return Err(error);
            }
            self.0.moved.wait(joining);
        }
        joining.aborted.map_or(Ok(()), Err)
    }

    /// Makes the changes that handles left to the commit. Nobody else is in.
    fn run_deferred(&self, context: &Context<'_>) -> Result {
        let transaction = context.transaction();
        while let Some(Deferred { work, reservation }) = transaction.take_deferred() {
            context.make_wanted_chunk()?;
            self.write_root_items(context)?;
            work.run(&Context::new(self.0, transaction, &reservation))?;
            transaction.reservation.merge(reservation);
        }
        Ok(())
    }

    /// Brings all trees that describe other trees up to date, and makes the superblock. Nobody else is in.
    fn finish(&self, context: &Context<'_>) -> Result<SuperblockImage> {
        let _hold = self.0.space.write_order().hold();
        let mut cache_rounds = CACHE_ROUNDS;
        for _ in 0..MAX_ROUNDS {
            context.make_wanted_chunk()?;
            context.run_refs(Limit::All)?;
            let roots = self.write_root_items(context)?;
            let groups = self.0.space.write_dirty_groups(context)?;
            let quiet = roots == 0 && groups == 0 && !self.0.space.has_dirty_groups();
            if !quiet || context.queued() > 0 {
                continue;
            }
            // Last, as they say what all that was before has left free. What changes in turn is void.
            if cache_rounds > 0 && self.0.space.write_caches(context, CACHES_A_ROUND)? > 0 {
                cache_rounds = cache_rounds.saturating_sub(1);
                continue;
            }
            let root = self.0.trees.root();
            if root.root_pointer().generation == context.transaction().generation {
                return superblock::fill(self.0, context.transaction());
            }
            // Whoever began it failed before anything changed. A superblock's root is of its generation all the same.
            root.rewrite(context, &Key::MIN)?;
        }
        let bug = Bug::new("a commit does not come to an end");
        Err(bug.of(context.transaction().generation.get()).into())
    }

    /// Writes the root items of the trees that changed since theirs was written; how many.
    fn write_root_items(&self, context: &Context<'_>) -> Result<usize> {
        let mut written = 0usize;
        let mut after = TreeId::MIN;
        while let Some((id, touched)) = context.transaction().take_stale(after) {
            after = id;
            // The superblock leads to these, and log trees are gone with the commit.
            if matches!(
                id.objectid,
                ObjectId::ROOT_TREE | ObjectId::CHUNK_TREE | ObjectId::TREE_LOG
            ) {
                continue;
            }
            self.0.trees.write_root_item(context, id, touched)?;
            written = written.saturating_add(1);
        }
        Ok(written)
    }

    /// Writes the transaction's blocks, lowest address first, and then the superblocks.
    fn write_out(&self, transaction: &Transaction, superblock: SuperblockImage) -> Result {
        self.send(transaction, WriteMode::Commit)?;
        each_range(transaction, |start, len| self.0.store.wait(start, len))?;
        self.0.check_alive()?;
        self.0.volume.superblocks().write(superblock)
    }

    /// Sends the transaction's blocks, lowest address first.
    fn send(&self, transaction: &Transaction, mode: WriteMode) -> Result {
        each_range(transaction, |start, len| {
            self.0.check_alive()?;
            self.0.store.write(start, len, mode)
        })
    }

    /// The superblock is durable: what the transaction freed may be used. It stays committed whatever fails now.
    fn complete(&self, transaction: &Transaction) -> Result {
        // The next one may have aborted as the trees took for free what is in use: by what they say nothing is freed then.
        let is_alive = self.0.check_alive().is_ok();
        let freed = match is_alive {
            true => self.free(transaction),
            false => Ok(()),
        };
        let mut joining = self.0.joining.lock();
        joining.committed = transaction.generation;
        joining.unblocked = None;
        drop(joining);
        self.0.moved.notify_all();
        match is_alive {
            true => freed.and_then(|()| self.0.size_global_reserve()),
            false => Ok(()),
        }
    }

    /// Frees what the transaction freed: its superblock is durable.
    fn free(&self, transaction: &Transaction) -> Result {
        self.0.space.unpin(transaction.generation)?;
        self.0.chunks().finish_removals(transaction)
    }

    /// Drops the blocks of transactions that will never be committed from the cache.
    pub(in crate::txn) fn discard_dead(&self) {
        let mut joining = self.0.joining.lock();
        let dead = [joining.running.take(), joining.unblocked.take()];
        drop(joining);
        for transaction in dead.iter().flatten() {
            let _ = each_range(transaction, |start, len| {
                self.0.store.discard(start, len);
                Ok(())
            });
        }
    }

    /// The last transaction whose superblock is durable.
    pub(in crate::txn) fn committed(&self) -> Generation {
        self.0.joining.lock().committed
    }
}

/// Gives the ranges of the transaction's blocks to `each`, ascending.
fn each_range(transaction: &Transaction, each: impl Fn(Logical, Bytes) -> Result) -> Result {
    let mut from = Logical::new(0);
    while let Some((start, len)) = transaction.block_range_from(from) {
        each(start, len)?;
        from = start.saturating_add(len.max(Bytes::new(1)));
    }
    Ok(())
}
