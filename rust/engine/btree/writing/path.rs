// SPDX-License-Identifier: GPL-2.0
//! The blocks that a writer has locked.

use crate::btree::blocks::lock::{nesting, Writing};
use crate::btree::bugs::{NOT_LOCKED, NO_CHILD};
use crate::btree::reading::search::Sought;
use crate::btree::tree::Tree;
use crate::btree::Allocate;
use crate::disk::edit::{self, node};
use crate::disk::{Flaw, Key, Leaf, Node, MAX_LEVELS};
use latch::prelude::*;
use latch::Side;

const LEVELS: usize = 8;
const _: () = assert!(MAX_LEVELS == 8);

/// A locked block on the way, and the slot that the way takes through it.
pub(super) struct Step {
    pub(in crate::btree) guard: Writing,
    pub(in crate::btree) slot: usize,
}

/// Locked blocks from a leaf upwards, as far as the change may reach: all may be changed as they stand.
pub(in crate::btree) struct Path<'a> {
    pub(in crate::btree) tree: &'a Tree,
    pub(in crate::btree) txn: &'a dyn Allocate,
    steps: [Option<Step>; LEVELS],
    /// What [`Self::lower`] and [`Self::upper`] are for the topmost locked block.
    outer: (Option<Key>, Option<Key>),
}

impl<'a> Path<'a> {
    /// A path that has nothing locked.
    pub(in crate::btree) fn new(tree: &'a Tree, txn: &'a dyn Allocate) -> Self {
        Self {
            tree,
            txn,
            steps: [const { None }; LEVELS],
            outer: (None, None),
        }
    }

    /// Lets go of everything.
    pub(in crate::btree) fn release(&mut self) {
        self.steps = [const { None }; LEVELS];
        self.outer = (None, None);
    }

    /// The locked block at `level`.
    pub(in crate::btree) fn step(&self, level: u8) -> Option<&Step> {
        self.steps.get(usize::from(level))?.as_ref()
    }

    /// The locked block at `level`, to change.
    pub(super) fn step_mut(&mut self, level: u8) -> Option<&mut Step> {
        self.steps.get_mut(usize::from(level))?.as_mut()
    }

    /// The locked block at `level`, which the change cannot do without.
    pub(in crate::btree) fn locked(&self, level: u8) -> Result<&Step> {
        Ok(self.step(level).ok_or(NOT_LOCKED)?)
    }

    /// The locked block at `level`, which the change cannot do without, to change.
    pub(super) fn locked_mut(&mut self, level: u8) -> Result<&mut Step> {
        Ok(self.step_mut(level).ok_or(NOT_LOCKED)?)
    }

    /// The locked block at `level`, out of the path.
    pub(in crate::btree) fn take(&mut self, level: u8) -> Option<Step> {
        self.steps.get_mut(usize::from(level))?.take()
    }

    /// Sets the locked block at its level.
    pub(super) fn put(&mut self, level: u8, step: Step) {
        if let Some(place) = self.steps.get_mut(usize::from(level)) {
            *place = Some(step);
        }
    }

    /// Narrows what is known of where the topmost block stands: the way went through `slot` of one that is let go.
    pub(super) fn narrow(&mut self, bytes: &[u8], slot: usize) {
        self.outer = narrowed(self.outer, bytes, slot);
    }

    /// Between which keys the block at `level` has its place, whether it is in the path or not.
    fn bounds(&self, level: u8) -> (Option<Key>, Option<Key>) {
        let mut bounds = self.outer;
        for level in (level.saturating_add(1)..MAX_LEVELS).rev() {
            if let Some(step) = self.step(level) {
                bounds = narrowed(bounds, step.guard.bytes(), step.slot);
            }
        }
        bounds
    }

    /// The leaf's first key as its ancestors have it; `None` at the tree's left edge.
    pub(in crate::btree) fn lower(&self) -> Option<Key> {
        self.bounds(0).0
    }

    /// The key that the next leaf starts with; `None` at the tree's right edge.
    pub(super) fn upper(&self) -> Option<Key> {
        self.bounds(0).1
    }

    /// Lets go of what is locked above `level`.
    pub(super) fn release_above(&mut self, level: u8) {
        self.outer = self.bounds(level);
        for step in self
            .steps
            .iter_mut()
            .skip(usize::from(level).saturating_add(1))
        {
            *step = None;
        }
    }

    /// The leaf that it ends at.
    pub(in crate::btree) fn leaf(&self) -> Result<&Step> {
        self.locked(0)
    }

    /// The leaf, to change.
    pub(super) fn leaf_mut(&mut self) -> Result<&mut Step> {
        self.locked_mut(0)
    }

    /// Moves to where `key` is or would be; `Missing` where that is not in the leaf at hand.
    pub(super) fn seek_within(&mut self, key: &Key) -> Sought {
        let within = self.step(0).is_some()
            && self.lower().is_none_or(|lower| lower <= *key)
            && self.upper().is_none_or(|upper| *key < upper);
        match self.step_mut(0) {
            Some(step) if within => {
                step.slot = Leaf::new(step.guard.bytes())
                    .search(key)
                    .unwrap_or_else(|slot| slot);
                Sought::Found
            }
            _ => Sought::Missing,
        }
    }

    /// Gives the leaf's first key to its ancestors, as far as they have it.
    pub(super) fn fix_first_key(&mut self) -> Result {
        let Some(key) = Leaf::new(self.leaf()?.guard.bytes()).key(0) else {
            return Ok(());
        };
        self.fix_key_above(0, &key)
    }

    /// Gives `key`, with which the block at `level` starts now, to its ancestors, as far as they have it.
    pub(super) fn fix_key_above(&mut self, level: u8, key: &Key) -> Result {
        for level in level.saturating_add(1)..MAX_LEVELS {
            let Some(step) = self.step_mut(level) else {
                break;
            };
            let slot = step.slot;
            node::set_key(step.guard.bytes_mut(), slot, key)?;
            if slot > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Locks another child of the block above `level`, never one to the left of one that is locked.
    pub(super) fn lock_child(&self, level: u8, slot: usize, side: Side) -> Result<Writing> {
        let above = self.locked(level.saturating_add(1))?;
        let node = Node::new(above.guard.bytes());
        let child = node.child(slot).ok_or(NO_CHILD)?;
        if slot != above.slot
            && node
                .child(above.slot)
                .is_some_and(|own| own.addr == child.addr)
        {
            let flaw = Flaw::new("two pointers of a node name one block", child.addr.get(), 0);
            return Err(flaw
                .in_slot(above.guard.latched().meta().addr, slot)
                .report());
        }
        let block = self.tree.child_block(&child, level)?;
        let guard = latch::Latched::write(&block, nesting(self.tree.kind(), level, side));
        self.tree.check_child(guard.bytes(), &child, level)?;
        Ok(guard)
    }

    /// Makes a locked child of the block above its level one that may be changed.
    pub(super) fn make_writable(&mut self, slot: usize, child: Writing) -> Result<Writing> {
        let (tree, txn) = (self.tree, self.txn);
        let level = child.latched().meta().level;
        let above = self.locked_mut(level.saturating_add(1))?;
        tree.writable_child(txn, &mut above.guard, slot, child)
    }

    /// How many children the block above `level` has, and the way's slot in it.
    pub(super) fn place_in_parent(&self, level: u8) -> Result<(usize, usize)> {
        let above = self.locked(level.saturating_add(1))?;
        Ok((edit::count(above.guard.bytes()), above.slot))
    }

    /// Runs a change that cannot be taken back: an error in it is a bug, and the transaction must not commit.
    pub(super) fn apply<R>(&mut self, change: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let result = change(self);
        if let Err(error) = result {
            pr_err!("tree {}: a change failed half way\n", self.tree.id());
            self.txn.poison(error);
        }
        result
    }
}

/// The bounds of the child in `slot` of a node that has `bounds`.
fn narrowed(
    bounds: (Option<Key>, Option<Key>),
    bytes: &[u8],
    slot: usize,
) -> (Option<Key>, Option<Key>) {
    let node = Node::new(bytes);
    let lower = if slot > 0 { node.key(slot) } else { None };
    (
        lower.or(bounds.0),
        node.key(slot.saturating_add(1)).or(bounds.1),
    )
}
