// SPDX-License-Identifier: GPL-2.0
//! What a writer does to the nodes on its way: splits full ones before something is inserted below, merges small ones
//! before something is removed. Each step leaves a whole tree.

use super::descend::{Aim, Locked};
use super::path::{Path, Step};
use crate::btree::blocks::block::first_key;
use crate::btree::blocks::lock::Writing;
use crate::btree::bugs::{NO_CHILD, NO_ITEM, NO_LEVEL};
use crate::btree::copying::cow::pointer;
use crate::disk::edit::{count, node};
use crate::disk::{Key, Node, MAX_LEVELS};
use latch::prelude::*;
use latch::Side;

/// Pointers that splitting one leaf may add to its parent.
const SPARE: usize = 2;

impl Path<'_> {
    /// Prepares the node `guard` for what `aim` may do to it. What comes back may be a neighbour or a child of it.
    pub(in crate::btree) fn tidy(
        &mut self,
        guard: Writing,
        key: &Key,
        aim: &Aim,
    ) -> Result<Locked<Writing>> {
        let level = guard.latched().meta().level;
        if level == 0 {
            return Ok(Locked::Ready(guard));
        }
        let (children, capacity) = (count(guard.bytes()), node::capacity(guard.bytes()));
        let is_root = self.tree.is_root(guard.latched());
        let has_parent = self.step(level.saturating_add(1)).is_some();
        match aim {
            Aim::Change | Aim::Rekey => Ok(Locked::Ready(guard)),
            Aim::Insert { .. } | Aim::Resize { .. }
                if children.saturating_add(SPARE) <= capacity =>
            {
                Ok(Locked::Ready(guard))
            }
            Aim::Remove { .. } if children > capacity / 4 => Ok(Locked::Ready(guard)),
            Aim::Remove { .. } if is_root && children == 1 => self.descend_root(guard),
            Aim::Remove { .. } if is_root => Ok(Locked::Ready(guard)),
            _ if !is_root && !has_parent => Ok(Locked::Widen(level.saturating_add(1))),
            Aim::Remove { .. } => Ok(Locked::Ready(self.merge_node(guard)?)),
            Aim::Insert { .. } | Aim::Resize { .. } => {
                Ok(Locked::Ready(self.split_node(guard, key)?))
            }
        }
    }

    /// Puts a new root above the locked one.
    pub(super) fn grow(&mut self, root: &Writing) -> Result {
        let level = root.latched().meta().level;
        let above = level.saturating_add(1);
        if above >= MAX_LEVELS {
            return Err(EOVERFLOW);
        }
        let key = first_key(root.bytes(), level).ok_or(NO_ITEM)?;
        let mut fresh = self
            .tree
            .fresh(self.txn, above, &key, root.latched().meta().addr)?;
        node::insert(fresh.bytes_mut()?, 0, pointer(root, key))?;
        let guard = fresh.keep()?;
        self.tree.set_root(guard.latched());
        self.put(above, Step { guard, slot: 0 });
        Ok(())
    }

    /// Splits a node and gives the half that `key` belongs to.
    fn split_node(&mut self, mut left: Writing, key: &Key) -> Result<Writing> {
        if self.tree.is_root(left.latched()) {
            self.grow(&left)?;
        }
        let level = left.latched().meta().level;
        let children = count(left.bytes());
        // Keys that come in order leave full nodes behind.
        let at = if Node::new(left.bytes()).descend(key).saturating_add(1) == children {
            children.saturating_sub(children / 8).saturating_sub(1)
        } else {
            children / 2
        };
        let middle = Node::new(left.bytes()).key(at).ok_or(NO_CHILD)?;
        let mut fresh = self
            .tree
            .fresh(self.txn, level, &middle, left.latched().meta().addr)?;
        self.apply(|path| {
            node::transfer(left.bytes_mut(), at..children, fresh.bytes_mut()?, 0)?;
            let right = fresh.keep()?;
            path.link(&right, 1, middle)?;
            if *key < middle {
                return Ok(left);
            }
            path.move_in_parent(level, 1)?;
            Ok(right)
        })
    }

    /// Adds a pointer to `block`, `ahead` slots after the way's.
    pub(super) fn link(&mut self, block: &Writing, ahead: usize, key: Key) -> Result {
        let above = block.latched().meta().level.saturating_add(1);
        let step = self.locked_mut(above)?;
        let slot = step.slot.saturating_add(ahead);
        node::insert(step.guard.bytes_mut(), slot, pointer(block, key))?;
        Ok(())
    }

    /// Makes the way go through the pointer `ahead` slots further in the block above `level`.
    pub(super) fn move_in_parent(&mut self, level: u8, ahead: usize) -> Result {
        let step = self.locked_mut(level.saturating_add(1))?;
        step.slot = step.slot.saturating_add(ahead);
        Ok(())
    }

    /// Takes the pointer at `slot` out of the block above `level`.
    pub(super) fn unlink(&mut self, level: u8, slot: usize) -> Result {
        let above = level.saturating_add(1);
        let step = self.locked_mut(above)?;
        node::remove(step.guard.bytes_mut(), slot..slot.saturating_add(1))?;
        Ok(())
    }

    /// Makes a root's only child the root.
    fn descend_root(&mut self, mut root: Writing) -> Result<Locked<Writing>> {
        let below = root.latched().meta().level.checked_sub(1).ok_or(NO_LEVEL)?;
        let child = Node::new(root.bytes()).child(0).ok_or(NO_CHILD)?;
        let block = self.tree.child_block(&child, below)?;
        let nesting = crate::btree::blocks::lock::nesting(self.tree.kind(), below, Side::Path);
        let guard = latch::Latched::write(&block, nesting);
        self.tree.check_child(guard.bytes(), &child, below)?;
        let guard = self.tree.writable_child(self.txn, &mut root, 0, guard)?;
        self.tree.discard(self.txn, &root)?;
        self.tree.set_root(guard.latched());
        Ok(Locked::Ready(guard))
    }

    /// If the block above is a root with `guard` as its only child, makes that the root.
    pub(super) fn drop_lone_root(&mut self, guard: &Writing) -> Result {
        let above = guard.latched().meta().level.saturating_add(1);
        let Some(step) = self.step(above) else {
            return Ok(());
        };
        if count(step.guard.bytes()) == 1 && self.tree.is_root(step.guard.latched()) {
            self.tree.discard(self.txn, &step.guard)?;
            self.tree.set_root(guard.latched());
            self.take(above);
        }
        Ok(())
    }

    /// Merges a small node with a neighbour, or takes pointers from one that is too full for that. Optional: where a
    /// neighbour cannot be read, the node stays as it is.
    fn merge_node(&mut self, guard: Writing) -> Result<Writing> {
        let level = guard.latched().meta().level;
        let (siblings, slot) = self.place_in_parent(level)?;
        let behind = slot.saturating_add(1);
        if behind < siblings {
            return match self.lock_child(level, behind, Side::Right) {
                Ok(right) => self.merge_right(guard, right, behind),
                Err(_) => Ok(guard),
            };
        }
        match slot.checked_sub(1) {
            Some(before) => self.merge_left(guard, before),
            None => Ok(guard),
        }
    }

    fn merge_right(&mut self, mut left: Writing, right: Writing, slot: usize) -> Result<Writing> {
        let level = left.latched().meta().level;
        let (ours, theirs) = (count(left.bytes()), count(right.bytes()));
        if ours.saturating_add(theirs) <= node::capacity(left.bytes()) {
            self.tree.retire(self.txn, &right)?;
            self.apply(|path| {
                node::copy(right.bytes(), 0..theirs, left.bytes_mut(), ours)?;
                path.unlink(level, slot)
            })?;
            drop(right);
            self.drop_lone_root(&left)?;
            return Ok(left);
        }
        let moved = theirs.saturating_sub(ours) / 2;
        let key = Node::new(right.bytes()).key(moved).ok_or(NO_CHILD)?;
        let mut right = self.make_writable(slot, right)?;
        self.apply(|path| {
            node::transfer(right.bytes_mut(), 0..moved, left.bytes_mut(), ours)?;
            path.set_key_in_parent(level, slot, &key)
        })?;
        Ok(left)
    }

    fn merge_left(&mut self, guard: Writing, before: usize) -> Result<Writing> {
        let level = guard.latched().meta().level;
        let slot = before.saturating_add(1);
        // Nobody else can get to either while the parent is ours, but a write of the block may have begun.
        drop(guard);
        let left = self.lock_child(level, before, Side::Left);
        let right = self.lock_child(level, slot, Side::Path)?;
        let mut right = self.make_writable(slot, right)?;
        let Ok(left) = left else {
            return Ok(right);
        };
        let (theirs, ours) = (count(left.bytes()), count(right.bytes()));
        let fits = ours.saturating_add(theirs) <= node::capacity(left.bytes());
        let mut left = self.make_writable(before, left)?;
        if fits {
            self.tree.retire(self.txn, &right)?;
            self.apply(|path| {
                node::copy(right.bytes(), 0..ours, left.bytes_mut(), theirs)?;
                path.unlink(level, slot)?;
                path.locked_mut(level.saturating_add(1))?.slot = before;
                Ok(())
            })?;
            drop(right);
            self.drop_lone_root(&left)?;
            return Ok(left);
        }
        let kept = theirs.saturating_sub(theirs.saturating_sub(ours) / 2);
        let key = Node::new(left.bytes()).key(kept).ok_or(NO_CHILD)?;
        self.apply(|path| {
            node::transfer(left.bytes_mut(), kept..theirs, right.bytes_mut(), 0)?;
            path.set_key_in_parent(level, slot, &key)
        })?;
        Ok(right)
    }

    /// Sets the key at `slot` of the block above `level`.
    pub(super) fn set_key_in_parent(&mut self, level: u8, slot: usize, key: &Key) -> Result {
        let above = level.saturating_add(1);
        let step = self.locked_mut(above)?;
        node::set_key(step.guard.bytes_mut(), slot, key)?;
        Ok(())
    }
}
