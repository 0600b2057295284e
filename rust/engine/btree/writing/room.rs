// SPDX-License-Identifier: GPL-2.0
//! Making room in a leaf: by giving items to a neighbour, else by splitting.

use super::path::{Path, Step};
use super::plan::{Demand, Plan};
use crate::btree::bugs::{NOT_LOCKED, NO_ITEM};
use crate::disk::edit::{self, leaf};
use crate::disk::{Key, Leaf};
use latch::prelude::*;
use latch::Side;

/// What came of offering items to a neighbour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Push {
    /// The neighbour took enough of them.
    MadeRoom,
    /// There is none, or it took none.
    Nothing,
}

impl Path<'_> {
    /// Makes the leaf on the way one with room for `demand`. The way's slot stays with the demand.
    pub(super) fn make_room(&mut self, demand: Demand) -> Result {
        if self.has_room(demand)? {
            return Ok(());
        }
        if self.tree.is_root(self.leaf()?.guard.latched()) {
            let step = self.take(0).ok_or(NOT_LOCKED)?;
            let grown = self.grow(&step.guard);
            self.put(0, step);
            grown?;
        }
        if self.push_right(demand)? == Push::MadeRoom {
            return Ok(());
        }
        match self.push_left(demand)? {
            Push::MadeRoom => Ok(()),
            Push::Nothing => self.split_leaf(demand),
        }
    }

    fn has_room(&self, demand: Demand) -> Result<bool> {
        Ok(Leaf::new(self.leaf()?.guard.bytes()).free_space() >= demand.weight())
    }

    /// Gives items behind the way's slot to the right neighbour.
    fn push_right(&mut self, demand: Demand) -> Result<Push> {
        let (siblings, place) = self.place_in_parent(0)?;
        let (behind, slot) = (place.saturating_add(1), self.leaf()?.slot);
        let count = edit::count(self.leaf()?.guard.bytes());
        if behind >= siblings || slot == count {
            return Ok(Push::Nothing);
        }
        // Only a chance: what is wrong with the neighbour is for its own users to find.
        let Ok(right) = self.lock_child(0, behind, Side::Right) else {
            return Ok(Push::Nothing);
        };
        let step = self.leaf()?;
        let plan = Plan::new(step.guard.bytes(), slot, demand);
        let free = Leaf::new(right.bytes()).free_space();
        let Some(at) = plan.boundary(slot.saturating_add(1)..plan.count, plan.capacity, free)?
        else {
            return Ok(Push::Nothing);
        };
        let moved = plan.present(at)..count;
        let mut right = self.make_writable(behind, right)?;
        self.apply(|path| {
            leaf::transfer(
                path.leaf_mut()?.guard.bytes_mut(),
                moved,
                right.bytes_mut(),
                0,
            )?;
            let key = Leaf::new(right.bytes()).key(0).ok_or(NO_ITEM)?;
            path.set_key_in_parent(0, behind, &key)
        })?;
        Ok(Push::MadeRoom)
    }

    /// Gives items before the way's slot to the left neighbour.
    fn push_left(&mut self, demand: Demand) -> Result<Push> {
        let (_, place) = self.place_in_parent(0)?;
        let slot = self.leaf()?.slot;
        let count = edit::count(self.leaf()?.guard.bytes());
        let Some(before) = place.checked_sub(1) else {
            return Ok(Push::Nothing);
        };
        // Behind the last item new ones will follow in order: a leaf of their own costs less.
        if slot == 0 || slot == count {
            return Ok(Push::Nothing);
        }
        // Nobody else can get to either while the parent is ours, but a write of the block may have begun.
        self.take(0);
        let left = self.lock_child(0, before, Side::Left);
        let guard = self.lock_child(0, place, Side::Path)?;
        let guard = self.make_writable(place, guard)?;
        self.put(0, Step { guard, slot });
        let Ok(left) = left else {
            return Ok(Push::Nothing);
        };
        let plan = Plan::new(self.leaf()?.guard.bytes(), slot, demand);
        let free = Leaf::new(left.bytes()).free_space();
        let Some(at) = plan.boundary(1..slot.saturating_add(1), free, plan.capacity)? else {
            return Ok(Push::Nothing);
        };
        let (moved, end) = (0..at, edit::count(left.bytes()));
        let mut left = self.make_writable(before, left)?;
        self.apply(|path| {
            let step = path.leaf_mut()?;
            leaf::transfer(step.guard.bytes_mut(), moved, left.bytes_mut(), end)?;
            step.slot = slot.saturating_sub(at);
            let key = path.starts_with(demand)?;
            path.set_key_in_parent(0, place, &key)
        })?;
        Ok(Push::MadeRoom)
    }

    /// The key that the leaf starts with when the demand is met.
    fn starts_with(&self, demand: Demand) -> Result<Key> {
        let step = self.leaf()?;
        match demand {
            Demand::Item { key, .. } if step.slot == 0 => Ok(key),
            _ => Ok(Leaf::new(step.guard.bytes()).key(0).ok_or(NO_ITEM)?),
        }
    }

    /// Splits the leaf in two, or in three where a long item fits with neither half.
    fn split_leaf(&mut self, demand: Demand) -> Result {
        let step = self.leaf()?;
        let (bytes, slot) = (step.guard.bytes(), step.slot);
        let plan = Plan::new(bytes, slot, demand);
        if slot == edit::count(bytes) {
            return self.split_at(slot, demand);
        }
        match plan.boundary(1..plan.count, plan.capacity, plan.capacity)? {
            Some(at) => self.split_at(at, demand),
            None => self.split_around(demand),
        }
    }

    /// Moves what stands behind the boundary `at` of the [`Plan`] into a new leaf.
    fn split_at(&mut self, at: usize, demand: Demand) -> Result {
        let step = self.leaf()?;
        let (slot, count) = (step.slot, edit::count(step.guard.bytes()));
        let from = Plan::new(step.guard.bytes(), slot, demand).present(at);
        let key = match demand {
            Demand::Item { key, .. } if at == slot => key,
            _ => Leaf::new(step.guard.bytes()).key(from).ok_or(NO_ITEM)?,
        };
        let (tree, txn) = (self.tree, self.txn);
        let mut fresh = tree.fresh(txn, 0, &key, step.guard.latched().meta().addr)?;
        self.apply(|path| {
            leaf::transfer(
                path.leaf_mut()?.guard.bytes_mut(),
                from..count,
                fresh.bytes_mut()?,
                0,
            )?;
            let right = fresh.keep()?;
            path.link(&right, 1, key)?;
            if at > slot {
                return Ok(());
            }
            path.put(
                0,
                Step {
                    guard: right,
                    slot: slot.saturating_sub(at),
                },
            );
            path.move_in_parent(0, 1)
        })
    }

    /// Gives the demand's item a leaf of its own, and what stands behind it another.
    fn split_around(&mut self, demand: Demand) -> Result {
        let step = self.leaf()?;
        let (slot, count) = (step.slot, edit::count(step.guard.bytes()));
        let items = Leaf::new(step.guard.bytes());
        let (key, behind) = match demand {
            Demand::Item { key, .. } => (key, slot),
            Demand::Growth { .. } => (items.key(slot).ok_or(NO_ITEM)?, slot.saturating_add(1)),
        };
        let next = items.key(behind).ok_or(NO_ITEM)?;
        let (tree, txn, near) = (self.tree, self.txn, step.guard.latched().meta().addr);
        let mut middle = tree.fresh(txn, 0, &key, near)?;
        let mut last = tree.fresh(txn, 0, &next, near)?;
        self.apply(|path| {
            let bytes = path.leaf_mut()?.guard.bytes_mut();
            leaf::transfer(bytes, behind..count, last.bytes_mut()?, 0)?;
            leaf::transfer(bytes, slot..behind, middle.bytes_mut()?, 0)?;
            let (middle, last) = (middle.keep()?, last.keep()?);
            path.link(&middle, 1, key)?;
            path.link(&last, 2, next)?;
            path.put(
                0,
                Step {
                    guard: middle,
                    slot: 0,
                },
            );
            path.move_in_parent(0, 1)
        })
    }
}
