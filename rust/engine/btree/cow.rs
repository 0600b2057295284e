// SPDX-License-Identifier: GPL-2.0
//! Copy-on-write: which blocks may be changed as they stand, and how the others become such.

use super::block::first_key;
use super::bugs::NO_CHILD;
use super::lock::{kind, nesting, Writing};
use super::tree::Tree;
use super::{Allocate, Block, BlockInfo, Holder, Identity, Store};
use crate::disk::edit::{self, node};
use crate::disk::{Bug, Child, Generation, Header, Key, Logical, Node, ObjectId, TreeId};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Latched, Side};

/// A new block was asked for after it was given away.
const TAKEN: Bug = Bug::new("a new block is used after it was kept");

/// An address for a new block that is not in the cache yet. Given back when dropped.
struct Address<'a> {
    txn: &'a dyn Allocate,
    tree: TreeId,
    info: BlockInfo,
}

impl<'a> Address<'a> {
    fn take(
        txn: &'a dyn Allocate,
        tree: TreeId,
        level: u8,
        first_key: &Key,
        near: Logical,
    ) -> Result<Self> {
        let holder = Holder::Tree(tree.objectid);
        let addr = txn.allocate_block(tree, holder, level, first_key, near)?;
        let info = BlockInfo {
            addr,
            level,
            generation: txn.generation(),
        };
        Ok(Self { txn, tree, info })
    }

    /// Makes the block.
    fn into_block(self, store: &'a dyn Store) -> Result<Fresh<'a>> {
        let (txn, tree, info) = (self.txn, self.tree, self.info);
        let block = store.create(info)?;
        // From here on it is the block that gives the address back.
        core::mem::forget(self);
        let guard = match Latched::try_write(&block) {
            Some(guard) => guard,
            None => Latched::write(&block, nesting(kind(tree.objectid), info.level, Side::New)),
        };
        let mut fresh = Fresh {
            store,
            txn,
            tree,
            guard: Some(guard),
        };
        edit::start(
            fresh.bytes_mut()?,
            &header_of(store.identity(), &info, tree.objectid),
        )?;
        Ok(fresh)
    }
}

impl Drop for Address<'_> {
    fn drop(&mut self) {
        self.txn.abandon_block(self.info.addr);
        give_back(self.txn, self.tree, &self.info);
    }
}

/// A new block, locked, that no pointer names yet. Given back when dropped.
pub(super) struct Fresh<'a> {
    store: &'a dyn Store,
    txn: &'a dyn Allocate,
    tree: TreeId,
    guard: Option<Writing>,
}

impl<'a> Fresh<'a> {
    /// Takes a new, empty block of `tree`.
    fn of(
        store: &'a dyn Store,
        tree: TreeId,
        txn: &'a dyn Allocate,
        level: u8,
        first_key: &Key,
        near: Logical,
    ) -> Result<Self> {
        Address::take(txn, tree, level, first_key, near)?.into_block(store)
    }

    /// The block, before it is locked by anybody else.
    fn block(&self) -> Result<&Arc<Block>> {
        Ok(self.guard.as_ref().ok_or(TAKEN)?.latched())
    }

    /// The block, to be linked into the tree in the same step. It is dirty from now on until it goes out, and may be
    /// changed as long: nobody needs to say again that it has changed.
    pub(super) fn keep(mut self) -> Result<Writing> {
        let guard = self.guard.take().ok_or(TAKEN)?;
        self.store.mark_dirty(guard.latched());
        Ok(guard)
    }

    /// The block's bytes, to fill.
    pub(super) fn bytes_mut(&mut self) -> Result<&mut [u8]> {
        Ok(self.guard.as_mut().ok_or(TAKEN)?.bytes_mut())
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        let Some(mut guard) = self.guard.take() else {
            return;
        };
        let info = *guard.latched().meta();
        give_back(self.txn, self.tree, &info);
        // On a sequential zone the address is written all the same: with what passes the gate and nobody reads, an
        // empty leaf of a tree that may be empty.
        if let Err(bug) = edit::abandon(guard.bytes_mut(), ObjectId::CSUM_TREE) {
            self.txn.poison(bug.report());
        }
        self.store.mark_dirty(guard.latched());
        self.store.forget(guard.latched());
    }
}

/// Gives a new block's address back.
fn give_back(txn: &dyn Allocate, tree: TreeId, info: &BlockInfo) {
    let holder = Holder::Tree(tree.objectid);
    if let Err(error) = txn.release_block(info.addr, info.level, tree, holder, info.generation) {
        txn.poison(error);
    }
}

/// A pointer to a locked block that starts with `key`.
pub(super) fn pointer(guard: &Writing, key: Key) -> Child {
    let info = guard.latched().meta();
    Child {
        key,
        addr: info.addr,
        generation: info.generation,
    }
}

/// The header of a new, empty block.
fn header_of(identity: Identity, info: &BlockInfo, owner: ObjectId) -> Header {
    Header {
        addr: info.addr,
        generation: info.generation,
        owner,
        nritems: 0,
        level: info.level,
        flags: 0,
        fsid: identity.fsid,
        chunk_tree_uuid: identity.chunk_tree_uuid,
    }
}

impl Tree {
    /// A new tree: one empty leaf, allocated from `txn`.
    pub fn create(
        store: Arc<dyn Store>,
        id: impl Into<TreeId>,
        txn: &dyn Allocate,
    ) -> Result<Arc<Self>> {
        let id = id.into();
        let fresh = Fresh::of(&*store, id, txn, 0, &Key::MIN, Logical::new(0))?;
        let root = fresh.block()?.clone();
        let tree = Self::with_root(store.clone(), id, root, Generation::new(0))?;
        drop(fresh.keep()?);
        Ok(tree)
    }

    /// Whether a locked block may be changed as it stands: it is of the running transaction, has not gone out, and
    /// no snapshot shares it.
    pub(super) fn is_writable(&self, txn: &dyn Allocate, block: &Arc<Block>, bytes: &[u8]) -> bool {
        let Some(header) = Header::new(bytes) else {
            return false;
        };
        header.generation == txn.generation()
            && !header.is_written()
            && !header.is_relocated()
            && (header.generation > self.last_snapshot() || self.is_root(block))
    }

    /// Whether a block may be referenced by another tree as well (C: `btrfs_block_can_be_shared`).
    pub(super) fn may_be_shared(&self, block: &Arc<Block>, header: &Header) -> bool {
        self.owner().is_subvolume()
            && (header.generation <= self.last_snapshot() || header.is_relocated())
            && !self.is_root(block)
    }

    /// Takes a new, empty block of this tree.
    pub(super) fn fresh<'a>(
        &'a self,
        txn: &'a dyn Allocate,
        level: u8,
        first_key: &Key,
        near: Logical,
    ) -> Result<Fresh<'a>> {
        self.fresh_of(self.id(), txn, level, first_key, near)
    }

    /// Takes a new, empty block of another tree.
    pub(super) fn fresh_of<'a>(
        &'a self,
        tree: TreeId,
        txn: &'a dyn Allocate,
        level: u8,
        first_key: &Key,
        near: Logical,
    ) -> Result<Fresh<'a>> {
        Fresh::of(&**self.store(), tree, txn, level, first_key, near)
    }

    /// Copies a locked block and drops the tree's reference to it. The caller makes the pointer name the copy, which
    /// cannot fail any more. After an error nothing has changed, or the transaction is poisoned.
    fn copy(&self, txn: &dyn Allocate, old: &Writing) -> Result<Writing> {
        let info = *old.latched().meta();
        let first = first_key(old.bytes(), info.level).unwrap_or(Key::MIN);
        let mut fresh = self.fresh(txn, info.level, &first, info.addr)?;
        edit::copy_contents(old.bytes(), fresh.bytes_mut()?)?;
        self.retire(txn, old)?;
        fresh.keep()
    }

    /// Makes the child in `slot` of `parent` one that may be changed. The parent is one already.
    pub(super) fn writable_child(
        &self,
        txn: &dyn Allocate,
        parent: &mut Writing,
        slot: usize,
        child: Writing,
    ) -> Result<Writing> {
        if self.is_writable(txn, child.latched(), child.bytes()) {
            return Ok(child);
        }
        let key = Node::new(parent.bytes()).key(slot).ok_or(NO_CHILD)?;
        let copy = self.copy(txn, &child)?;
        node::set(parent.bytes_mut(), slot, pointer(&copy, key))
            .map_err(Bug::report)
            .inspect_err(|&error| txn.poison(error))?;
        Ok(copy)
    }

    /// Makes the locked root one that may be changed.
    pub(super) fn writable_root(&self, txn: &dyn Allocate, root: Writing) -> Result<Writing> {
        if self.is_writable(txn, root.latched(), root.bytes()) {
            return Ok(root);
        }
        let copy = self.copy(txn, &root)?;
        self.set_root(copy.latched());
        Ok(copy)
    }
}
