// SPDX-License-Identifier: GPL-2.0
//! The way down, for writers.
//!
//! A writer first takes what readers take, and only the leaf for writing: most changes concern nothing above. Where a
//! block above must change too (it must be copied, split or merged, or its first key moves) it starts again, and
//! takes latches for writing from that block down. On the way it copies what it will change, splits nodes that could not
//! take two more pointers, and merges nodes that have become small; so nothing that happens below ever needs an
//! ancestor which was let go, and each step leaves a whole tree behind.

use super::path::{Path, Step};
use crate::btree::blocks::lock::{nesting, Held, Mode, Writing};
use crate::btree::bugs::{NO_CHILD, NO_LEVEL};
use crate::disk::edit::leaf;
use crate::disk::{Key, Leaf, Node, ITEM_HEAD, MAX_LEVELS};
use core::ops::Range;
use latch::prelude::*;
use latch::Side;

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

/// What comes of a step that may need more latches.
pub(super) enum Locked<T> {
    Ready(T),
    /// Latches for writing are needed from this level down.
    Widen(u8),
}

impl Path<'_> {
    /// Locks the leaf that `key` is in or would be in, and of its ancestors what `aim` needs. What was locked before is
    /// let go; after an error nothing is locked.
    pub(in crate::btree) fn seek(&mut self, key: &Key, aim: &Aim) -> Result {
        let mut write_from = 0u8;
        loop {
            self.release();
            match self.descend(key, aim, write_from) {
                Ok(None) => return Ok(()),
                Ok(Some(level)) => write_from = level.max(write_from.saturating_add(1)),
                Err(error) => {
                    self.release();
                    return Err(error);
                }
            }
        }
    }

    /// Goes down once. Gives the level from which on down latches for writing are needed, if that is higher than `write_from`.
    fn descend(&mut self, key: &Key, aim: &Aim, write_from: u8) -> Result<Option<u8>> {
        let (tree, txn) = (self.tree, self.txn);
        let mut held = match tree.lock_root(write_from) {
            Held::Write(root) => Held::Write(tree.writable_root(txn, root)?),
            Held::Read(root) if tree.is_writable(txn, root.latched(), root.bytes()) => {
                Held::Read(root)
            }
            Held::Read(root) => return Ok(Some(root.latched().meta().level)),
        };
        loop {
            let level = held.block().meta().level;
            if let Held::Write(guard) = held {
                held = match self.tidy(guard, key, aim)? {
                    Locked::Ready(guard) => Held::Write(guard),
                    Locked::Widen(level) => return Ok(Some(level)),
                };
            }
            if held.block().meta().level < level {
                // A root gave way to its only child, which may have to as well.
                continue;
            }
            if level == 0 {
                break;
            }
            held = match self.step_down(held, key, aim, write_from)? {
                Locked::Ready(held) => held,
                Locked::Widen(level) => return Ok(Some(level)),
            };
        }
        match held {
            Held::Write(leaf) => self.arrive(leaf, key, aim),
            Held::Read(_) => Ok(Some(0)),
        }
    }

    /// From a block to the child that `key` is in or would be in.
    fn step_down(
        &mut self,
        held: Held,
        key: &Key,
        aim: &Aim,
        write_from: u8,
    ) -> Result<Locked<Held>> {
        let level = held.block().meta().level;
        let below = level.checked_sub(1).ok_or(NO_LEVEL)?;
        let node = Node::new(held.bytes());
        let slot = node.descend(key);
        let child = node.child(slot).ok_or(NO_CHILD)?;
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
                self.narrow(held.bytes(), slot);
                Ok(Locked::Ready(next))
            }
            _ => Ok(Locked::Widen(level)),
        }
    }

    /// Finds the place in the leaf, and whether all blocks are locked that the change will touch.
    fn arrive(&mut self, leaf: Writing, key: &Key, aim: &Aim) -> Result<Option<u8>> {
        let bytes = leaf.bytes();
        let found = Leaf::new(bytes).search(key);
        let slot = found.unwrap_or_else(|slot| slot);
        let free = Leaf::new(bytes).free_space();
        let need = match aim {
            Aim::Change => Need::Leaf,
            Aim::Insert { .. } if found.is_ok() => Need::Leaf,
            Aim::Insert { len } => Need::for_insert(slot, len.saturating_add(ITEM_HEAD), free),
            Aim::Resize { .. } if found.is_err() => Need::Leaf,
            Aim::Resize { len } => {
                let old = Leaf::new(bytes).data(slot).map_or(0, <[u8]>::len);
                Need::for_room(*len, old.saturating_add(free))
            }
            Aim::Rekey if slot == 0 => Need::FirstKey,
            Aim::Rekey => Need::Leaf,
            Aim::Remove { last, limit } => {
                Need::for_remove(bytes, removable(bytes, key, last, *limit))?
            }
        };
        let is_root = need != Need::Leaf && self.tree.is_root(leaf.latched());
        self.put(0, Step { guard: leaf, slot });
        let missing = match need {
            _ if is_root => None,
            Need::Leaf => None,
            Need::Parent => self.step(1).is_none().then_some(1),
            Need::FirstKey => self.missing_for_first_key(),
        };
        if missing.is_none() && need == Need::Leaf {
            self.release_above(0);
        }
        Ok(missing)
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
    /// Nothing else must be locked.
    Leaf,
    /// The parent, to split or to merge the leaf.
    Parent,
    /// All that have the leaf's first key, and the parent.
    FirstKey,
}

impl Need {
    /// Says what is to be done for what needs `wanted` bytes of the `room` that there is in the leaf.
    fn for_room(wanted: usize, room: usize) -> Self {
        if wanted <= room {
            Self::Leaf
        } else {
            Self::Parent
        }
    }

    fn for_insert(slot: usize, wanted: usize, room: usize) -> Self {
        if slot == 0 {
            Self::FirstKey
        } else {
            Self::for_room(wanted, room)
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
        Ok(Self::for_room(leaf::sparse(bytes), left))
    }
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
