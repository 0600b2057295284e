// SPDX-License-Identifier: GPL-2.0
//! Copy-on-write: which blocks may be changed as they stand, and how the others become such.

use crate::btree::blocks::block::first_key;
use crate::btree::blocks::lock::Writing;
use crate::btree::bugs::NO_CHILD;
use crate::btree::tree::Tree;
use crate::btree::{Allocate, BlockRef};
use crate::disk::edit::{self, node};
use crate::disk::{Bug, Child, Header, Key, Node};
use latch::prelude::*;

/// A pointer to a locked block that starts with `key`.
pub(in crate::btree) fn pointer(guard: &Writing, key: Key) -> Child {
    let info = guard.latched().meta();
    Child {
        key,
        addr: info.addr,
        generation: info.generation,
    }
}

impl Tree {
    /// Whether a locked block may be changed as it stands: it is of the running transaction, has not gone out, and
    /// no snapshot shares it.
    pub(in crate::btree) fn is_writable(
        &self,
        txn: &dyn Allocate,
        block: &BlockRef,
        bytes: &[u8],
    ) -> bool {
        let Some(header) = Header::new(bytes) else {
            return false;
        };
        header.generation == txn.generation()
            && !header.is_written()
            && !header.is_relocated()
            && (header.generation > self.last_snapshot() || self.is_root(block))
    }

    /// Whether a block may be referenced by another tree as well (C: `btrfs_block_can_be_shared`).
    pub(in crate::btree) fn may_be_shared(&self, block: &BlockRef, header: &Header) -> bool {
        self.owner().is_subvolume()
            && (header.generation <= self.last_snapshot() || header.is_relocated())
            && !self.is_root(block)
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
    pub(in crate::btree) fn writable_child(
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
    pub(in crate::btree) fn writable_root(
        &self,
        txn: &dyn Allocate,
        root: Writing,
    ) -> Result<Writing> {
        if self.is_writable(txn, root.latched(), root.bytes()) {
            return Ok(root);
        }
        let copy = self.copy(txn, &root)?;
        self.set_root(copy.latched());
        Ok(copy)
    }
}
