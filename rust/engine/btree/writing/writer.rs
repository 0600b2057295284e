// SPDX-License-Identifier: GPL-2.0
//! Changing a tree in batches.

use super::descend::Aim;
use super::path::Path;
use crate::btree::bugs::{NO_ITEM, OUT_OF_ORDER};
use crate::btree::reading::search::Sought;
use crate::btree::{Allocate, Tree};
use crate::disk::edit::leaf;
use crate::disk::{Key, Leaf};
use latch::prelude::*;

/// A place in a tree, for changes. Keeps the leaf it stands in locked for writing, so that changes near each other
/// cost one search. Its owner touches no other tree until it is released or dropped.
///
/// It stands at an item, or in the gap behind a leaf's last one, which is the same place as the next leaf's first:
/// what asks for an item moves there, what inserts does not. After an error it may stand nowhere.
pub struct Writer<'a> {
    path: Path<'a>,
    /// The writer stands in front of the first item at or after this key; nothing is locked.
    before: Option<Key>,
}

impl<'a> Writer<'a> {
    /// A writer that stands nowhere yet.
    pub fn new(tree: &'a Tree, txn: &'a dyn Allocate) -> Self {
        Self {
            path: Path::new(tree, txn),
            before: None,
        }
    }

    /// The tree it changes.
    pub fn tree(&self) -> &'a Tree {
        self.path.tree
    }

    /// The transaction it changes the tree in.
    pub fn txn(&self) -> &'a dyn Allocate {
        self.path.txn
    }

    /// Moves to the first item at or after `key`; `Found` if that has this very key. Keeps the leaf if `key` is in it.
    pub fn seek(&mut self, key: &Key) -> Result<Sought> {
        self.before = None;
        if self.path.seek_within(key) == Sought::Missing {
            self.path.seek(key, &Aim::Change)?;
        }
        Ok(match self.path.is_at(key) {
            true => Sought::Found,
            false => Sought::Missing,
        })
    }

    /// Moves to the last item at or before `key`; `Missing` if there is none.
    pub fn seek_floor(&mut self, key: &Key) -> Result<Sought> {
        let mut key = *key;
        loop {
            if self.seek(&key)? == Sought::Found {
                return Ok(Sought::Found);
            }
            let lower = self.path.lower();
            let step = self.path.leaf_mut()?;
            if let Some(slot) = step.slot.checked_sub(1) {
                step.slot = slot;
                return Ok(Sought::Found);
            }
            // The leaf has lost its first item since it was found, or this is the left edge.
            self.release();
            match lower.and_then(Key::predecessor) {
                Some(before) => key = before,
                None => return Ok(Sought::Missing),
            }
        }
    }

    /// The item it stands at; `None` past the end. At a leaf's end this moves to the next leaf, which a caller who
    /// only inserts does not want: hence not done by [`Self::seek`].
    pub fn item(&mut self) -> Result<Option<(Key, &[u8])>> {
        self.item_up_to(&Key::MAX)
    }

    /// The item it stands at, if that is one up to `last`; else `None`, for which no leaf is read that begins behind `last`:
    /// it may be damaged, and would be copied.
    pub fn item_up_to(&mut self, last: &Key) -> Result<Option<(Key, &[u8])>> {
        if self.skip_forward(last)? == Sought::Missing {
            return Ok(None);
        }
        let step = self.path.leaf()?;
        let item = Leaf::new(step.guard.bytes()).item(step.slot);
        Ok(item.filter(|(key, _)| key <= last))
    }

    /// The item it stands at, to change in place.
    pub fn item_mut(&mut self) -> Result<Option<(Key, &mut [u8])>> {
        if self.skip_forward(&Key::MAX)? == Sought::Missing {
            return Ok(None);
        }
        let key = self.key()?;
        Ok(Some((key, self.path.item_mut()?)))
    }

    /// Moves to the next item, or past the end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result {
        if self.skip_forward(&Key::MAX)? == Sought::Found {
            let step = self.path.leaf_mut()?;
            step.slot = step.slot.saturating_add(1);
        }
        Ok(())
    }

    /// Inserts an item of `len` zero bytes, moves to it and gives its bytes to fill. Wherever the writer stands; fast
    /// if that is where `key` belongs, as after a [`Self::seek`] for it. `EEXIST`, `EOVERFLOW`.
    pub fn insert_here(&mut self, key: &Key, len: usize) -> Result<&mut [u8]> {
        self.before = None;
        if self.path.seek_within(key) == Sought::Missing || !self.path.takes(len)? {
            self.path.insert(key, len)?;
        } else if self.path.is_at(key) {
            return Err(EEXIST);
        } else {
            self.path.insert_item(key, len)?;
        }
        self.path.item_mut()
    }

    /// Removes the item it stands at and moves to the one after. `ENOENT` past the end. `EAGAIN`: it has got another
    /// length meanwhile and stays; the writer stands nowhere.
    pub fn remove_here(&mut self) -> Result {
        let key = self.key()?;
        let step = self.path.leaf()?;
        let (bytes, slots) = (step.guard.bytes(), step.slot..step.slot.saturating_add(1));
        let left = leaf::used(bytes).saturating_sub(leaf::weight(bytes, slots.clone())?);
        if slots.start > 0 && left >= leaf::sparse(bytes) {
            return self.path.remove_items(slots);
        }
        let len = self.path.item_mut()?.len();
        // For a moment nothing is locked: what goes with the leaf is found again by its key.
        self.before = Some(key);
        self.path.seek_to_remove(&key)?;
        if self.path.item_mut()?.len() != len {
            self.release();
            return Err(EAGAIN);
        }
        self.path.remove_sought()?;
        if self.path.step(0).is_some() {
            self.before = None;
        }
        Ok(())
    }

    /// By how many bytes the item it stands at can grow while its leaf stays locked. To grow more, the leaf is let go
    /// of for a moment, in which others may change the item.
    pub fn room_here(&mut self) -> Result<usize> {
        if self.skip_forward(&Key::MAX)? == Sought::Missing {
            return Ok(0);
        }
        Ok(Leaf::new(self.path.leaf()?.guard.bytes()).free_space())
    }

    /// Makes the leaf one that has room for `by` bytes more, with the item it stands at in it. For a moment nothing is locked:
    /// others may change the item, and what it has got longer by is counted as room. `ENOENT` if it is gone, `EOVERFLOW` if
    /// no leaf has so much room beside it.
    pub fn make_room_here(&mut self, by: usize) -> Result {
        let key = self.key()?;
        let len = self.path.item_mut()?.len().saturating_add(by);
        self.path.make_room_for(&key, len)
    }

    /// A key behind the item it stands at with no item in between, in the next leaf where need be: what is inserted stays
    /// before it. `None` if there is no item behind.
    pub fn bound_here(&mut self) -> Result<Option<Key>> {
        if self.skip_forward(&Key::MAX)? == Sought::Missing {
            return Ok(None);
        }
        let step = self.path.leaf()?;
        let next = Leaf::new(step.guard.bytes()).key(step.slot.saturating_add(1));
        Ok(next.or(self.path.upper()))
    }

    /// Changes the length of the item it stands at: cut or filled up with zeros at its end. Gives its bytes.
    /// `ENOENT` past the end, `EOVERFLOW`.
    pub fn resize_here(&mut self, len: usize) -> Result<&mut [u8]> {
        let key = self.key()?;
        let old = self.path.item_mut()?.len();
        if len <= old.saturating_add(self.room_here()?) {
            self.path.resize_item(len)?;
        } else {
            self.path.resize(&key, len)?;
        }
        self.path.item_mut()
    }

    /// Gives the item it stands at another key, which lies between its neighbours' keys.
    pub fn rekey_here(&mut self, key: &Key) -> Result {
        let old = self.key()?;
        if self.path.lower().is_some_and(|lower| *key < lower) {
            self.release();
            return self.reinsert(&old, key);
        }
        // The next leaf may have lost its first item since this one was found.
        let behind = self.path.upper().is_some_and(|upper| *key >= upper);
        if behind || self.path.leaf()?.slot == 0 {
            self.path.seek(&old, &Aim::Rekey)?;
            if !self.path.is_at(&old) {
                return Err(ENOENT);
            }
        }
        let result = match self.path.may_rekey(key)? {
            true => self.path.rekey_item(key),
            false => Err(OUT_OF_ORDER.report()),
        };
        self.path.release_above(0);
        result
    }

    /// Cuts `skip` bytes off the front of the item it stands at and gives the rest another key, behind its own and before
    /// the next item's. Nobody sees one without the other. `EAGAIN`: the item has become another meanwhile.
    pub fn cut_front_here(&mut self, skip: usize, key: &Key) -> Result {
        let old = self.key()?;
        let behind = self.path.upper().is_some_and(|upper| *key >= upper);
        if behind || self.path.leaf()?.slot == 0 {
            // For a moment nothing is locked.
            self.path.seek(&old, &Aim::Rekey)?;
            if !self.path.is_at(&old) {
                return Err(EAGAIN);
            }
        }
        let result = self.cut_front(skip, key);
        self.path.release_above(0);
        result
    }

    fn cut_front(&mut self, skip: usize, key: &Key) -> Result {
        if !self.path.may_rekey(key)? {
            return Err(OUT_OF_ORDER.report());
        }
        let bytes = self.path.item_mut()?;
        let left = bytes.len().saturating_sub(skip);
        if left == 0 {
            return Err(EAGAIN);
        }
        bytes.copy_within(skip.., 0);
        self.path.resize_item(left)?;
        self.path.rekey_item(key)
    }

    /// Moves an item to a key that belongs into another leaf, though between the same neighbours.
    fn reinsert(&mut self, old: &Key, key: &Key) -> Result {
        let (tree, txn) = (self.path.tree, self.path.txn);
        if tree.ceiling(key, |found, _| found)? != Some(*old) {
            self.seek(old)?;
            return Err(OUT_OF_ORDER.report());
        }
        let copy = |bytes: &[u8]| -> Result<KVVec<u8>> {
            let mut copy = KVVec::with_capacity(bytes.len(), GFP_NOFAIL)?;
            copy.extend_from_slice(bytes, GFP_NOFAIL)?;
            Ok(copy)
        };
        let bytes = tree.get(old, copy)?.ok_or(ENOENT)??;
        tree.insert(txn, key, &bytes)?;
        if let Err(error) = tree.remove(txn, old) {
            txn.poison(error);
            return Err(error);
        }
        self.seek(key)?;
        Ok(())
    }

    /// Lets go of all latches. The writer stands nowhere afterwards.
    pub fn release(&mut self) {
        self.before = None;
        self.path.release();
    }

    /// The key of the item it stands at; `ENOENT` past the end.
    fn key(&mut self) -> Result<Key> {
        if self.skip_forward(&Key::MAX)? == Sought::Missing {
            return Err(ENOENT);
        }
        let step = self.path.leaf()?;
        let key = Leaf::new(step.guard.bytes()).key(step.slot);
        Ok(key.ok_or(NO_ITEM)?)
    }

    /// Moves on while it stands behind a leaf's last item; `Missing` past the end, and where the next leaf begins behind
    /// `last`.
    fn skip_forward(&mut self, last: &Key) -> Result<Sought> {
        loop {
            let next = match self.path.step(0) {
                Some(step) if step.slot < Leaf::new(step.guard.bytes()).nritems() => {
                    return Ok(Sought::Found)
                }
                Some(_) => self.path.upper(),
                None => self.before,
            };
            let Some(key) = next.filter(|first| first <= last) else {
                return Ok(Sought::Missing);
            };
            self.before = Some(key);
            self.path.seek(&key, &Aim::Change)?;
            self.before = None;
        }
    }
}
