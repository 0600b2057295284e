// SPDX-License-Identifier: GPL-2.0
//! A transaction as the trees see it.

use super::core::Core;
use crate::btree::{Allocate, BlockRefs, DataRef, Holder};
use crate::disk::{Bytes, Generation, Key, Logical, ObjectId, Reference, TreeId};
use crate::space::{BlockClass, Reservation};
use crate::txn::refs::{Change, Extent, Queued};
use crate::txn::transaction::Transaction;
use latch::prelude::*;

/// Who may change trees in a transaction: the owner of a handle, or the committer. All of them are [`Allocate`] to the
/// trees.
pub trait Joined {
    /// The transaction and what its blocks are paid from.
    fn context(&self) -> Context<'_>;
}

/// A transaction, with the reservation that its blocks are paid from.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    shared: &'a Core,
    transaction: &'a Transaction,
    from: &'a Reservation,
}

impl<'a> Context<'a> {
    /// Makes one for the owner of a handle, who pays, or for a committer, who pays from what the transaction kept.
    pub(in crate::txn) fn new(
        shared: &'a Core,
        transaction: &'a Transaction,
        from: &'a Reservation,
    ) -> Self {
        Self {
            shared,
            transaction,
            from,
        }
    }

    /// What all handles share.
    pub(in crate::txn) fn shared(&self) -> &Core {
        self.shared
    }

    /// The transaction that the changes belong to.
    pub(in crate::txn) fn transaction(&self) -> &Transaction {
        self.transaction
    }

    /// How many references wait.
    pub(in crate::txn) fn queued(&self) -> usize {
        self.transaction.queue.lock().len()
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
                self.pin_block(addr)
            }
        }
    }

    /// Pins a tree block that never had an item.
    fn pin_block(&self, addr: Logical) -> Result {
        let len = self.shared.store.node_size().into();
        self.shared
            .space
            .pin(addr, len, self.transaction.generation)
    }

    /// Gives the transaction up where something of it was lost.
    pub(in crate::txn) fn or_abort<T>(&self, result: Result<T>) -> Result<T> {
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
        let node_size = Bytes::from(context.shared.store.node_size());
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

    fn release_block(&self, addr: Logical, level: u8, tree: TreeId, holder: Holder) -> Result {
        let context = self.context();
        let node_size = Bytes::from(context.shared.store.node_size());
        if tree.objectid == ObjectId::TREE_LOG {
            return context.pin_block(addr);
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
        queue.add_to(known, addr)
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

    fn add_data(&self, data: &DataRef) -> Result {
        let context = self.context();
        context.shared.check_alive()?;
        let extent = Extent::Data { len: data.len };
        let first = Change::New(Key::MIN);
        context.change(data.addr, extent, data.reference(), first)
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

    fn note_inode(&self, tree: TreeId) -> Result {
        let context = self.context();
        let now = context.shared.real_time();
        context.or_abort(context.transaction.note_inode(tree, now))
    }

    fn poison(&self, error: Error) {
        self.context().shared.abort(error);
    }
}
