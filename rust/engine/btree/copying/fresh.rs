// SPDX-License-Identifier: GPL-2.0
//! New blocks: an address, a place in the cache, a header; given back as long as nothing points at them.

use crate::btree::blocks::lock::{kind, nesting, Held, Writing};
use crate::btree::tree::Tree;
use crate::btree::{Allocate, BlockInfo, BlockRef, Holder, Identity, Store};
use crate::disk::edit::{self, count};
use crate::disk::{Bug, Flaw, Generation, Header, Key, Logical, ObjectId, Site, TreeId};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Latched, Side};

/// A new block was asked for after it was given away.
const TAKEN: Bug = Bug::new("a new block is used after it was kept");

/// A tree is to go that has items.
const NOT_EMPTY: Bug = Bug::new("a tree is dropped that has something in it");

/// An address for a new block that is not in the cache yet. Given back when dropped.
struct Address<'a> {
    txn: &'a dyn Allocate,
    tree: TreeId,
    info: BlockInfo,
}

/// Where a block goes that has none beside it.
const NOWHERE: Logical = Logical::new(0);

/// The place that was free is that of the block beside the new one, which is in use and locked: its old reference and the new
/// one would cancel out, and the block be written over where it is. What was noted of the address cannot be taken back.
#[cold]
fn in_use(txn: &dyn Allocate, addr: Logical) -> Error {
    let flaw = Flaw::missing("free space has a tree block that is in use");
    let error = flaw.at(Site::Extent(addr)).report();
    txn.poison(error);
    error
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
        if addr == near && near != NOWHERE {
            return Err(in_use(txn, addr));
        }
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
pub(in crate::btree) struct Fresh<'a> {
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
    fn block(&self) -> Result<&BlockRef> {
        Ok(self.guard.as_ref().ok_or(TAKEN)?.latched())
    }

    /// The block, to be linked into the tree in the same step. It is dirty from now on until it goes out, and may be
    /// changed as long: nobody needs to say again that it has changed.
    pub(in crate::btree) fn keep(mut self) -> Result<Writing> {
        let guard = self.guard.take().ok_or(TAKEN)?;
        self.store.mark_dirty(guard.latched());
        Ok(guard)
    }

    /// The block's bytes, to fill.
    pub(in crate::btree) fn bytes_mut(&mut self) -> Result<&mut [u8]> {
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
    if let Err(error) = txn.release_block(info.addr, info.level, tree, holder) {
        txn.poison(error);
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
        let fresh = Fresh::of(&*store, id, txn, 0, &Key::MIN, NOWHERE)?;
        let root = fresh.block()?.clone();
        let tree = Self::with_root(store.clone(), id, root, Generation::new(0))?;
        drop(fresh.keep()?);
        Ok(tree)
    }

    /// Frees the only block of the tree, in which there is nothing. Nobody uses it any more, or finds it.
    pub fn drop_empty(&self, txn: &dyn Allocate) -> Result {
        match self.lock_root(0) {
            Held::Write(root) if count(root.bytes()) == 0 => self.discard(txn, &root),
            Held::Write(_) | Held::Read(_) => Err(NOT_EMPTY.report()),
        }
    }

    /// Takes a new, empty block of this tree.
    pub(in crate::btree) fn fresh<'a>(
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
}
