// SPDX-License-Identifier: GPL-2.0
//! A transaction as the trees see it.

use super::queue::{Change, Extent, FullBackref, Head, Origin, Queued};
use super::Limit;
use crate::btree::{Allocate, BlockRefs, DataRef, Holder};
use crate::disk::{Flaw, Generation, Key, Logical, ObjectId, Place, Reference, TreeId};
use crate::space::{BlockClass, Reservation, Space};
use crate::txn::shared::Shared;
use crate::txn::transaction::Transaction;
use latch::prelude::*;

/// After how many heads it is asked whether metadata needs a chunk.
const HEADS_PER_CHUNK_CHECK: usize = 64;

/// Who may change trees in a transaction: the owner of a handle, or the committer. All of them are [`Allocate`] to the
/// trees.
pub trait Joined {
    /// The transaction and what its blocks are paid from.
    fn context(&self) -> Context<'_>;
}

/// A transaction, with the reservation that its blocks are paid from.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    shared: &'a Shared,
    transaction: &'a Transaction,
    from: &'a Reservation,
}

impl<'a> Context<'a> {
    /// Makes one for the owner of a handle, who pays, or for a committer, who pays from what the transaction kept.
    pub(in crate::txn) fn new(
        shared: &'a Shared,
        transaction: &'a Transaction,
        from: &'a Reservation,
    ) -> Self {
        Self {
            shared,
            transaction,
            from,
        }
    }

    /// Free space.
    pub(in crate::txn) fn space(&self) -> &Space {
        &self.shared.space
    }

    /// The transaction.
    pub(in crate::txn) fn transaction(&self) -> &Transaction {
        self.transaction
    }

    /// How many heads wait.
    pub(in crate::txn) fn queued(&self) -> usize {
        self.transaction.queue.lock().len()
    }

    /// Queues the first reference of new data.
    pub(in crate::txn) fn add_data(&self, data: &DataRef) -> Result {
        self.shared.check_alive()?;
        let extent = Extent::Data { len: data.len };
        let first = Change::New(Key::MIN);
        self.change(data.addr, extent, data.reference(), first)
    }

    /// Runs heads from the queue. No tree block lock is held by the caller.
    pub(in crate::txn) fn run_refs(&self, limit: Limit) -> Result {
        let mut left = match limit {
            Limit::Few(count) | Limit::Many(count) => count,
            Limit::All => usize::MAX,
        };
        while left > 0 {
            let locked = match limit {
                Limit::Few(_) => self.shared.runner.try_lock(),
                Limit::Many(_) | Limit::All => Some(self.shared.runner.lock()),
            };
            let Some(runner) = locked else {
                return Ok(());
            };
            self.shared.check_alive()?;
            let popped = self.transaction.queue.lock().pop();
            let Some((addr, head)) = popped else {
                return Ok(());
            };
            let applied = runner.run(self, addr, &head);
            drop(runner);
            self.or_abort(applied)?;
            self.shared.count_run();
            for (_, counts) in head.changes.iter() {
                self.shared.count_cancelled(counts.met());
            }
            left = left.saturating_sub(1);
            if left % HEADS_PER_CHUNK_CHECK == 0 {
                self.make_wanted_chunk()?;
            }
        }
        Ok(())
    }

    /// Makes the chunk that should be made before blocks run short, from inside the transaction. No tree block lock
    /// is held by the caller. Not to be able to is no error.
    pub(in crate::txn) fn make_wanted_chunk(&self) -> Result {
        let before = self.shared.chunks_made();
        let Some(class) = self.shared.space.chunk_wanted() else {
            return Ok(());
        };
        match self.shared.make_chunk(self, class, before) {
            Err(error) if error == ENOSPC => Ok(()),
            made => made,
        }
    }

    /// Pins an extent that never had an item.
    pub(super) fn pin_unknown(&self, addr: Logical, len: u64) -> Result {
        self.shared
            .space
            .pin(addr, len, self.transaction.generation)
    }

    /// Queues a change; what is lost of it would reach the disk as a wrong count.
    fn change(
        &self,
        addr: Logical,
        extent: Extent,
        reference: Reference,
        change: Change,
    ) -> Result {
        self.or_abort(self.enqueue(addr, extent, reference, change))
    }

    /// Queues a change. All references go through here, and what the queue forgets of them is known here last.
    fn enqueue(
        &self,
        addr: Logical,
        extent: Extent,
        reference: Reference,
        change: Change,
    ) -> Result {
        let mut queue = self.transaction.queue.lock();
        let queued = queue.change(addr, extent, reference, change)?;
        drop(queue);
        match queued {
            Queued::Waiting => Ok(()),
            Queued::Cancelled(counts) => {
                self.shared.count_cancelled(counts.met());
                Ok(())
            }
            Queued::Vanished(counts) => {
                self.shared.count_cancelled(counts.met());
                // It may have been written out, so that its address cannot be taken again before the commit.
                self.pin_unknown(addr, self.shared.store.node_size().into())
            }
        }
    }

    /// Gives the transaction up where something of it was lost.
    fn or_abort<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.shared.abort(*error);
        }
        result
    }
}

fn class(tree: TreeId) -> BlockClass {
    match tree.objectid {
        ObjectId::CHUNK_TREE => BlockClass::System,
        ObjectId::TREE_LOG => BlockClass::TreeLog,
        _ => BlockClass::Metadata,
    }
}

impl Joined for Context<'_> {
    fn context(&self) -> Context<'_> {
        *self
    }
}

impl<T: Joined> Allocate for T {
    fn generation(&self) -> Generation {
        self.context().transaction.generation
    }

    fn allocate_block(
        &self,
        tree: TreeId,
        holder: Holder,
        level: u8,
        first_key: &Key,
        near: Logical,
    ) -> Result<Logical> {
        let context = self.context();
        context.shared.check_alive()?;
        let node_size = u64::from(context.shared.store.node_size());
        let address = context
            .shared
            .space
            .allocate_block(class(tree), near, context.from)?;
        let addr = address.get();
        context.transaction.note_block(tree, addr, node_size)?;
        // Log trees are not in the extent tree: they are gone with the next commit.
        if tree.objectid != ObjectId::TREE_LOG {
            let (extent, reference) = (Extent::Block { level }, holder.to_block());
            let queued = context.enqueue(addr, extent, reference, Change::New(*first_key));
            queued.inspect_err(|_| context.transaction.forget_block(tree, node_size))?;
        }
        Ok(address.keep())
    }

    fn abandon_block(&self, addr: Logical) {
        self.context().shared.space.abandon_block(addr);
    }

    fn release_block(
        &self,
        addr: Logical,
        level: u8,
        tree: TreeId,
        holder: Holder,
        _written_in: Generation,
    ) -> Result {
        let context = self.context();
        let node_size = u64::from(context.shared.store.node_size());
        if tree.objectid == ObjectId::TREE_LOG {
            return context.pin_unknown(addr, node_size);
        }
        if let Holder::Tree(_) = holder {
            let noted = context.transaction.note_release(tree, node_size);
            context.or_abort(noted)?;
        }
        context.change(
            addr,
            Extent::Block { level },
            holder.to_block(),
            Change::Drop,
        )
    }

    fn share_block(&self, addr: Logical, level: u8, holder: Holder) -> Result {
        self.context().change(
            addr,
            Extent::Block { level },
            holder.to_block(),
            Change::Add,
        )
    }

    fn block_refs(&self, addr: Logical, level: u8) -> Result<BlockRefs> {
        let context = self.context();
        // With the runner locked no head is between the queue and the tree. The queue is locked after the tree was
        // read. Lock order: `FileTree` > `RefsRunner` > `MetadataTree` > `DelayedRefs`.
        let runner = context.shared.runner.lock();
        let known = runner.known_refs(addr, level)?;
        let queue = context.transaction.queue.lock();
        combine(addr, known, queue.get(addr))
    }

    fn set_full_backref(&self, addr: Logical, level: u8) -> Result {
        let context = self.context();
        let queued = context
            .transaction
            .queue
            .lock()
            .set_full_backref(addr, level);
        context.or_abort(queued)
    }

    fn share_data(&self, data: &DataRef) -> Result {
        self.context().change(
            data.addr,
            Extent::Data { len: data.len },
            data.reference(),
            Change::Add,
        )
    }

    fn release_data(&self, data: &DataRef) -> Result {
        self.context().change(
            data.addr,
            Extent::Data { len: data.len },
            data.reference(),
            Change::Drop,
        )
    }

    fn poison(&self, error: Error) {
        self.context().shared.abort(error);
    }
}

/// What the tree says of a block and what the queue adds. One of them knows it.
fn combine(addr: Logical, known: Option<BlockRefs>, queued: Option<&Head>) -> Result<BlockRefs> {
    let broken = |flaw: Flaw| flaw.at(Place::Extent(addr)).report();
    let is_new = queued.is_some_and(|head| matches!(head.origin, Origin::New(_)));
    let none = BlockRefs {
        count: 0,
        full_backref: false,
    };
    let Some(known) = known.or(is_new.then_some(none)) else {
        return Err(broken(Flaw::missing(
            "tree block is not in the extent tree",
        )));
    };
    let delta = queued.map_or(0, |head| head.changes.sum());
    let set = queued.is_some_and(|head| head.full_backref == FullBackref::Set);
    let count = known.count.checked_add_signed(delta).ok_or_else(|| {
        let what = "tree block has fewer references than are dropped";
        broken(Flaw::new(what, known.count, delta.unsigned_abs()))
    })?;
    Ok(BlockRefs {
        count,
        full_backref: known.full_backref || set,
    })
}
