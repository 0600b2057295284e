// SPDX-License-Identifier: GPL-2.0
//! The way down, for writers.
//!
//! A writer first takes what readers take, and only the leaf for writing: most changes concern nothing above. Where a
//! block above must change too (it must be copied, split or merged, or its first key moves) it starts again, and
//! takes write locks from that block down. On the way it copies what it will change, splits nodes that could not
//! take two more pointers, and merges nodes that have become small; so nothing that happens below ever needs an
//! ancestor which was let go, and each step leaves a whole tree behind.

use super::leaf::{self, HEAD};
use super::lock::{nesting, Held, Mode, Writing};
use super::node;
use super::tree::Tree;
use super::Allocate;
use crate::disk::{Key, Leaf, Node, MAX_LEVELS};
use core::ops::Range;
use kernel::prelude::*;
use latch::Side;

const LEVELS: usize = 8;
const _: () = assert!(MAX_LEVELS == 8);

/// What a writer means to do in the leaf.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// Change bytes of items, or none.
    Change,
    /// Insert an item with `len` bytes of data.
    Insert { len: usize },
    /// Give the item at the key this many bytes of data.
    Resize { len: usize },
    /// Remove items up to `last`, at most `limit`.
    Remove { last: Key, limit: usize },
    /// Give the item at the key another one.
    Rekey,
}

/// A locked block on the way, and the slot that the way takes through it.
pub(super) struct Step {
    pub(super) guard: Writing,
    pub(super) slot: usize,
}

/// Locked blocks from a leaf upwards, as far as the change may reach: all may be changed as they stand.
pub(super) struct Path<'a> {
    pub(super) tree: &'a Tree,
    pub(super) txn: &'a dyn Allocate,
    steps: [Option<Step>; LEVELS],
    /// What [`Self::lower`] and [`Self::upper`] are for the topmost locked block.
    outer: (Option<Key>, Option<Key>),
}

/// What comes of a step that may need more locks.
pub(super) enum Locked<T> {
    Ready(T),
    /// Write locks are needed from this level down.
    Widen(u8),
}

impl<'a> Path<'a> {
    /// Locks the leaf that `key` is in or would be in, and of its ancestors what `aim` needs.
    pub(super) fn find(tree: &'a Tree, txn: &'a dyn Allocate, key: &Key, aim: Aim) -> Result<Self> {
        let mut write_from = 0u8;
        loop {
            match Self::descend(tree, txn, key, aim, write_from)? {
                Locked::Ready(path) => return Ok(path),
                Locked::Widen(level) => write_from = level.max(write_from.saturating_add(1)),
            }
        }
    }

    fn descend(
        tree: &'a Tree,
        txn: &'a dyn Allocate,
        key: &Key,
        aim: Aim,
        write_from: u8,
    ) -> Result<Locked<Self>> {
        let mut path = Path {
            tree,
            txn,
            steps: [const { None }; LEVELS],
            outer: (None, None),
        };
        let mut held = match tree.lock_root(write_from) {
            Held::Write(root) => Held::Write(tree.writable_root(txn, root)?),
            Held::Read(root) if tree.is_writable(txn, root.latched(), root.bytes()) => {
                Held::Read(root)
            }
            Held::Read(root) => return Ok(Locked::Widen(root.latched().meta().level)),
        };
        loop {
            let level = held.block().meta().level;
            if let Held::Write(guard) = held {
                held = match path.tidy(guard, key, aim)? {
                    Locked::Ready(guard) => Held::Write(guard),
                    Locked::Widen(level) => return Ok(Locked::Widen(level)),
                };
            }
            if held.block().meta().level < level {
                // A root gave way to its only child, which may have to as well.
                continue;
            }
            if level == 0 {
                break;
            }
            held = match path.step_down(held, key, aim, write_from)? {
                Locked::Ready(held) => held,
                Locked::Widen(level) => return Ok(Locked::Widen(level)),
            };
        }
        match held {
            Held::Write(leaf) => path.arrive(leaf, key, aim),
            Held::Read(_) => Ok(Locked::Widen(0)),
        }
    }

    /// From a block to the child that `key` is in or would be in.
    fn step_down(
        &mut self,
        held: Held,
        key: &Key,
        aim: Aim,
        write_from: u8,
    ) -> Result<Locked<Held>> {
        let level = held.block().meta().level;
        let below = level.checked_sub(1).ok_or(EUCLEAN)?;
        let node = Node::new(held.bytes());
        let slot = node.descend(key);
        let child = node.child(slot).ok_or(EUCLEAN)?;
        if !aim.may_move_first_key(slot, key, &child.key) {
            self.release_above(level);
        }
        let block = self.tree.child_block(&child, below)?;
        let mode = if below <= write_from {
            Mode::Write
        } else {
            Mode::Read
        };
        let next = Held::lock(&block, mode, nesting(self.tree.kind(), below, Side::Path));
        self.tree.check_child(next.bytes(), &child, below)?;
        match (held, next) {
            (Held::Write(mut guard), Held::Write(next)) => {
                let next = self.tree.writable_child(self.txn, &mut guard, slot, next)?;
                self.put(level, Step { guard, slot });
                Ok(Locked::Ready(Held::Write(next)))
            }
            (held, next) if self.tree.is_writable(self.txn, next.block(), next.bytes()) => {
                self.outer = narrowed(self.outer, held.bytes(), slot);
                Ok(Locked::Ready(next))
            }
            _ => Ok(Locked::Widen(level)),
        }
    }

    /// Finds the place in the leaf, and whether all blocks are locked that the change will touch.
    fn arrive(mut self, leaf: Writing, key: &Key, aim: Aim) -> Result<Locked<Self>> {
        let bytes = leaf.bytes();
        let found = Leaf::new(bytes).search(key);
        let slot = found.unwrap_or_else(|slot| slot);
        let free = Leaf::new(bytes).free_space();
        let need = match aim {
            Aim::Change => Need::Leaf,
            Aim::Insert { .. } if found.is_ok() => Need::Leaf,
            Aim::Insert { len } => Need::for_insert(slot, len.saturating_add(HEAD) <= free),
            Aim::Resize { len } => {
                let old = Leaf::new(bytes).data(slot).map_or(0, <[u8]>::len);
                Need::with_room(found.is_err() || len <= old.saturating_add(free))
            }
            Aim::Rekey if slot == 0 => Need::FirstKey,
            Aim::Rekey => Need::Leaf,
            Aim::Remove { last, limit } => {
                Need::for_remove(bytes, removable(bytes, key, &last, limit))?
            }
        };
        let is_root = self.tree.is_root(leaf.latched());
        self.put(0, Step { guard: leaf, slot });
        let missing = match need {
            _ if is_root => None,
            Need::Leaf => None,
            Need::Parent => self.step(1).is_none().then_some(1),
            Need::FirstKey => self.missing_for_first_key(),
        };
        match missing {
            Some(level) => Ok(Locked::Widen(level)),
            None => {
                if need == Need::Leaf {
                    self.release_above(0);
                }
                Ok(Locked::Ready(self))
            }
        }
    }

    /// The lowest level where a block is not locked that has the leaf's first key.
    fn missing_for_first_key(&self) -> Option<u8> {
        for level in 1..MAX_LEVELS {
            match self.step(level) {
                None => return Some(level),
                Some(step) if step.slot > 0 || self.tree.is_root(step.guard.latched()) => {
                    return None
                }
                Some(_) => {}
            }
        }
        None
    }

    /// The locked block at `level`.
    pub(super) fn step(&self, level: u8) -> Option<&Step> {
        self.steps.get(usize::from(level))?.as_ref()
    }

    /// The locked block at `level`, to change.
    pub(super) fn step_mut(&mut self, level: u8) -> Option<&mut Step> {
        self.steps.get_mut(usize::from(level))?.as_mut()
    }

    /// The locked block at `level`, out of the path.
    pub(super) fn take(&mut self, level: u8) -> Option<Step> {
        self.steps.get_mut(usize::from(level))?.take()
    }

    /// Sets the locked block at its level.
    pub(super) fn put(&mut self, level: u8, step: Step) {
        if let Some(place) = self.steps.get_mut(usize::from(level)) {
            *place = Some(step);
        }
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
    pub(super) fn lower(&self) -> Option<Key> {
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

    /// The leaf.
    pub(super) fn leaf(&self) -> Result<&Step> {
        self.step(0).ok_or(EUCLEAN)
    }

    /// The leaf, to change; the caller marks it dirty.
    pub(super) fn leaf_mut(&mut self) -> Result<&mut Step> {
        self.step_mut(0).ok_or(EUCLEAN)
    }

    /// Tells the store that the block at `level` has changed.
    pub(super) fn mark_dirty(&self, level: u8) {
        if let Some(step) = self.step(level) {
            self.tree.store().mark_dirty(step.guard.latched());
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
            self.mark_dirty(level);
            if slot > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Locks another child of the block above `level`, never one to the left of one that is locked.
    pub(super) fn lock_child(&self, level: u8, slot: usize, side: Side) -> Result<Writing> {
        let above = self.step(level.saturating_add(1)).ok_or(EUCLEAN)?;
        let node = Node::new(above.guard.bytes());
        let child = node.child(slot).ok_or(EUCLEAN)?;
        if slot != above.slot
            && node
                .child(above.slot)
                .is_some_and(|own| own.addr == child.addr)
        {
            pr_err!(
                "tree {}: two pointers to block {}\n",
                self.tree.id(),
                child.addr
            );
            return Err(EUCLEAN);
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
        let above = self.step_mut(level.saturating_add(1)).ok_or(EUCLEAN)?;
        tree.writable_child(txn, &mut above.guard, slot, child)
    }

    /// How many children the block above `level` has, and the way's slot in it; `None` if it is not locked.
    pub(super) fn place_in_parent(&self, level: u8) -> Option<(usize, usize)> {
        let above = self.step(level.saturating_add(1))?;
        Some((node::count(above.guard.bytes()), above.slot))
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

impl Aim {
    /// Whether the first key of the block may change in whose `slot`, which starts with `first`, the way goes on.
    fn may_move_first_key(&self, slot: usize, key: &Key, first: &Key) -> bool {
        match self {
            Self::Change | Self::Resize { .. } => false,
            Self::Insert { .. } => slot == 0 && key < first,
            Self::Remove { .. } | Self::Rekey => slot == 0,
        }
    }
}

/// What must be locked besides the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing.
    Leaf,
    /// The parent, to split or to merge the leaf.
    Parent,
    /// All that have the leaf's first key, and the parent.
    FirstKey,
}

impl Need {
    fn with_room(fits: bool) -> Self {
        if fits {
            Self::Leaf
        } else {
            Self::Parent
        }
    }

    fn for_insert(slot: usize, fits: bool) -> Self {
        if slot == 0 {
            Self::FirstKey
        } else {
            Self::with_room(fits)
        }
    }

    fn for_remove(bytes: &[u8], slots: Range<usize>) -> Result<Self> {
        if slots.is_empty() {
            return Ok(Self::Leaf);
        }
        if slots.start == 0 {
            return Ok(Self::FirstKey);
        }
        let left = leaf::used(bytes).saturating_sub(leaf::weight(bytes, slots)?);
        Ok(Self::with_room(left >= leaf::sparse(bytes)))
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

/// The slots of the items from `first` to `last`, at most `limit`.
pub(super) fn removable(bytes: &[u8], first: &Key, last: &Key, limit: usize) -> Range<usize> {
    let leaf = Leaf::new(bytes);
    let start = leaf.search(first).unwrap_or_else(|slot| slot);
    let end = match leaf.search(last) {
        Ok(slot) => slot.saturating_add(1),
        Err(slot) => slot,
    };
    start..end.min(start.saturating_add(limit)).max(start)
}
