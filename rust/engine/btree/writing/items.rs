// SPDX-License-Identifier: GPL-2.0
//! Changes of items at a place that has been found, and what they mean for the blocks around.

use super::path::{Path, Step};
use super::plan::Demand;
use crate::btree::blocks::block::first_key;
use crate::btree::blocks::lock::Writing;
use crate::btree::bugs::{NOT_LOCKED, NO_ITEM};
use crate::disk::edit::{count, leaf};
use crate::disk::{Bug, Key, Leaf, ITEM_HEAD, MAX_LEVELS};
use core::ops::Range;
use latch::prelude::*;
use latch::Side;

impl Path<'_> {
    /// Whether an item of `len` bytes can go to the way's slot with nothing but the leaf locked.
    pub(in crate::btree) fn takes(&self, len: usize) -> Result<bool> {
        let step = self.leaf()?;
        let free = Leaf::new(step.guard.bytes()).free_space();
        let fits = len.checked_add(ITEM_HEAD).is_some_and(|need| need <= free);
        Ok(fits && (step.slot > 0 || self.tree.is_root(step.guard.latched())))
    }

    /// Whether the item at the way's slot may have this key, for the order.
    pub(super) fn may_rekey(&self, key: &Key) -> Result<bool> {
        let step = self.leaf()?;
        let leaf = Leaf::new(step.guard.bytes());
        let behind_last = match step.slot.checked_sub(1) {
            Some(before) => leaf.key(before).is_none_or(|before| before < *key),
            // The leaf to the left ends before this.
            None => self.lower().is_none_or(|lower| lower <= *key),
        };
        let next = leaf.key(step.slot.saturating_add(1)).or(self.upper());
        Ok(behind_last && next.is_none_or(|next| *key < next))
    }

    /// Inserts an item of `len` zero bytes at the way's slot.
    pub(super) fn insert_item(&mut self, key: &Key, len: usize) -> Result {
        self.make_room(Demand::Item { key: *key, len })?;
        self.apply(|path| {
            let step = path.leaf_mut()?;
            let slot = step.slot;
            leaf::insert(step.guard.bytes_mut(), slot, key, len)?;
            if slot == 0 {
                path.fix_first_key()?;
            }
            Ok(())
        })
    }

    /// Gives the item at the way's slot `len` bytes of data: the first ones it has, then zeros.
    pub(super) fn resize_item(&mut self, len: usize) -> Result {
        let step = self.leaf()?;
        let old = Leaf::new(step.guard.bytes())
            .data(step.slot)
            .ok_or(NO_ITEM)?
            .len();
        if let Some(by) = len.checked_sub(old) {
            self.make_room(Demand::Growth { by })?;
        }
        self.apply(|path| {
            let step = path.leaf_mut()?;
            leaf::resize(step.guard.bytes_mut(), step.slot, len)?;
            Ok(())
        })
    }

    /// Gives the item at the way's slot another key, between those of its neighbours.
    pub(super) fn rekey_item(&mut self, key: &Key) -> Result {
        self.apply(|path| {
            let step = path.leaf_mut()?;
            let slot = step.slot;
            leaf::set_key(step.guard.bytes_mut(), slot, key)?;
            if slot == 0 {
                path.fix_first_key()?;
            }
            Ok(())
        })
    }

    /// Removes the items in `slots`. If the leaf goes with them, the path is at its end: there is no leaf any more.
    pub(super) fn remove_items(&mut self, slots: Range<usize>) -> Result {
        if slots.is_empty() {
            return Ok(());
        }
        let step = self.leaf()?;
        let is_root = self.tree.is_root(step.guard.latched());
        if !is_root && slots.len() == count(step.guard.bytes()) {
            return self.delete_leaf();
        }
        self.apply(|path| {
            let step = path.leaf_mut()?;
            leaf::remove(step.guard.bytes_mut(), slots.clone())?;
            step.slot = slots.start;
            if slots.start == 0 {
                path.fix_first_key()?;
            }
            Ok(())
        })?;
        let bytes = self.leaf()?.guard.bytes();
        if !is_root && leaf::used(bytes) < leaf::sparse(bytes) && self.step(1).is_some() {
            // The items are gone whether a merge succeeds or not; one that fails half way poisons the transaction.
            let _ = self.merge_leaf();
        }
        Ok(())
    }

    /// Takes the leaf out of the tree, and the nodes above that have no other child.
    fn delete_leaf(&mut self) -> Result {
        let top = self.lowest_with_siblings()?;
        self.tree.discard(self.txn, &self.leaf()?.guard)?;
        self.apply(|path| {
            path.take(0);
            for level in 1..top {
                let step = path.take(level).ok_or(NOT_LOCKED)?;
                path.tree.discard(path.txn, &step.guard)?;
            }
            let slot = path.locked(top)?.slot;
            path.unlink(top.saturating_sub(1), slot)?;
            let first = first_key(path.locked(top)?.guard.bytes(), top);
            if slot == 0 {
                path.fix_key_above(top, &first.ok_or(NO_ITEM)?)?;
            }
            Ok(())
        })?;
        self.release_above(0);
        Ok(())
    }

    /// The lowest level whose block on the path has another child than the path's.
    fn lowest_with_siblings(&self) -> Result<u8> {
        for level in 1..MAX_LEVELS {
            let step = self.locked(level)?;
            if count(step.guard.bytes()) > 1 {
                return Ok(level);
            }
        }
        Err(Bug::new("a leaf that is not the root has no siblings on any level").report())
    }

    /// Merges the leaf with a neighbour if both fit into one.
    fn merge_leaf(&mut self) -> Result {
        let (siblings, place) = self.place_in_parent(0)?;
        let behind = place.saturating_add(1);
        if behind < siblings {
            let right = self.lock_child(0, behind, Side::Right)?;
            let fits =
                leaf::used(right.bytes()) <= Leaf::new(self.leaf()?.guard.bytes()).free_space();
            if fits {
                return self.merge_right_leaf(&right, behind);
            }
        }
        match place.checked_sub(1) {
            Some(before) => self.merge_left_leaf(before),
            None => Ok(()),
        }
    }

    /// Takes over the items of the right neighbour.
    fn merge_right_leaf(&mut self, right: &Writing, behind: usize) -> Result {
        let (tree, txn) = (self.tree, self.txn);
        tree.retire(txn, right)?;
        self.apply(|path| {
            let bytes = path.leaf_mut()?.guard.bytes_mut();
            let end = count(bytes);
            leaf::copy(right.bytes(), 0..count(right.bytes()), bytes, end)?;
            path.unlink(0, behind)
        })?;
        self.drop_lone_root_above_leaf()
    }

    /// Hands the items to the left neighbour, which becomes the leaf of the path.
    fn merge_left_leaf(&mut self, before: usize) -> Result {
        let place = before.saturating_add(1);
        let slot = self.take(0).ok_or(NOT_LOCKED)?.slot;
        // Nobody else can get to either while the parent is ours, but a write of the block may have begun.
        let left = self.lock_child(0, before, Side::Left);
        let guard = self.lock_child(0, place, Side::Path)?;
        let guard = self.make_writable(place, guard)?;
        let Ok(left) = left else {
            self.put(0, Step { guard, slot });
            return Ok(());
        };
        if leaf::used(guard.bytes()) > Leaf::new(left.bytes()).free_space() {
            self.put(0, Step { guard, slot });
            return Ok(());
        }
        let mut left = self.make_writable(before, left)?;
        let (tree, txn) = (self.tree, self.txn);
        tree.retire(txn, &guard)?;
        self.apply(|path| {
            let end = count(left.bytes());
            leaf::copy(
                guard.bytes(),
                0..count(guard.bytes()),
                left.bytes_mut(),
                end,
            )?;
            path.put(
                0,
                Step {
                    guard: left,
                    slot: end.saturating_add(slot),
                },
            );
            path.unlink(0, place)?;
            path.locked_mut(1)?.slot = before;
            Ok(())
        })?;
        self.drop_lone_root_above_leaf()
    }

    fn drop_lone_root_above_leaf(&mut self) -> Result {
        let Some(step) = self.take(0) else {
            return Ok(());
        };
        let result = self.drop_lone_root(&step.guard);
        self.put(0, step);
        result
    }
}
