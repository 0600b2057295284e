// SPDX-License-Identifier: GPL-2.0
//! Changing a tree in batches.

use super::leaf;
use super::path::{Aim, Path};
use super::{Allocate, Tree};
use crate::disk::{Key, Leaf};
use kernel::prelude::*;

/// A place in a tree, for changes. Keeps the leaf it stands in locked for writing, so that changes near each other
/// cost one search. Its owner touches no other tree until it is released or dropped.
///
/// It stands at an item, or in the gap behind a leaf's last one, which is the same place as the next leaf's first:
/// what asks for an item moves there, what inserts does not.
pub struct Writer<'a> {
    tree: &'a Tree,
    txn: &'a dyn Allocate,
    place: Place<'a>,
}

enum Place<'a> {
    /// Nowhere.
    Nowhere,
    /// In a locked leaf.
    Leaf(Path<'a>),
    /// In front of the first item at or after this key; nothing is locked.
    Before(Key),
}

impl<'a> Writer<'a> {
    /// A writer that stands nowhere yet.
    pub fn new(tree: &'a Tree, txn: &'a dyn Allocate) -> Self {
        Self {
            tree,
            txn,
            place: Place::Nowhere,
        }
    }

    /// The tree it changes.
    pub fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// The transaction it changes the tree in.
    pub fn txn(&self) -> &'a dyn Allocate {
        self.txn
    }

    /// Moves to the first item at or after `key`; whether it is exactly at `key`. Keeps the leaf if `key` is in it.
    pub fn seek(&mut self, key: &Key) -> Result<bool> {
        let path = self.path_to(key)?;
        let exact = path.is_at(key)?;
        self.place = Place::Leaf(path);
        Ok(exact)
    }

    /// Moves to the last item at or before `key`; whether there is one.
    pub fn seek_floor(&mut self, key: &Key) -> Result<bool> {
        let mut key = *key;
        loop {
            if self.seek(&key)? {
                return Ok(true);
            }
            let Place::Leaf(path) = &mut self.place else {
                return Ok(false);
            };
            let lower = path.lower();
            let step = path.leaf_mut()?;
            if let Some(slot) = step.slot.checked_sub(1) {
                step.slot = slot;
                return Ok(true);
            }
            // Only at the left edge, unless a parent's key is lower than its child's.
            match lower.and_then(Key::predecessor) {
                Some(before) => key = before,
                None => {
                    self.release();
                    return Ok(false);
                }
            }
        }
    }

    /// The item it stands at; `None` past the end. At a leaf's end this moves to the next leaf, which a caller who
    /// only inserts does not want: hence not done by [`Self::seek`].
    pub fn item(&mut self) -> Result<Option<(Key, &[u8])>> {
        match self.settle()? {
            Some(path) => {
                let step = path.leaf()?;
                Ok(Leaf::new(step.guard.bytes()).item(step.slot))
            }
            None => Ok(None),
        }
    }

    /// The item it stands at, to change in place.
    pub fn item_mut(&mut self) -> Result<Option<(Key, &mut [u8])>> {
        let Some(path) = self.settle()? else {
            return Ok(None);
        };
        path.mark_dirty(0);
        let step = path.leaf_mut()?;
        let key = Leaf::new(step.guard.bytes())
            .key(step.slot)
            .ok_or(EUCLEAN)?;
        Ok(leaf::item_mut(step.guard.bytes_mut(), step.slot).map(|bytes| (key, bytes)))
    }

    /// Moves to the next item; whether there is one.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<bool> {
        let Some(path) = self.settle()? else {
            return Ok(false);
        };
        let step = path.leaf_mut()?;
        step.slot = step.slot.saturating_add(1);
        Ok(self.settle()?.is_some())
    }

    /// Inserts an item of `len` zero bytes, moves to it and gives its bytes to fill. Wherever the writer stands; fast
    /// if that is where `key` belongs, as after a [`Self::seek`] for it. `EEXIST`, `EOVERFLOW`.
    pub fn insert_here(&mut self, key: &Key, len: usize) -> Result<&mut [u8]> {
        if len > self.tree.max_item() {
            return Err(EOVERFLOW);
        }
        let mut path = match self.path_within(key)? {
            Some(path) if path.takes(len)? => path,
            other => {
                drop(other);
                Path::find(self.tree, self.txn, key, Aim::Insert { len })?
            }
        };
        if path.is_at(key)? {
            path.release_above(0);
            self.place = Place::Leaf(path);
            return Err(EEXIST);
        }
        path.insert_item(key, len)?;
        self.stand(path)
    }

    /// Removes the item it stands at and moves to the one after. `ENOENT` past the end.
    pub fn remove_here(&mut self) -> Result {
        let mut path = self.take()?;
        let step = path.leaf()?;
        let slots = step.slot..step.slot.saturating_add(1);
        let bytes = step.guard.bytes();
        let key = Leaf::new(bytes).key(step.slot).ok_or(EUCLEAN)?;
        let weight = leaf::weight(bytes, slots.clone())?;
        let left = leaf::used(bytes).saturating_sub(weight);
        if slots.start == 0 || left < leaf::sparse(bytes) {
            drop(path);
            path = Path::find(
                self.tree,
                self.txn,
                &key,
                Aim::Remove {
                    last: key,
                    limit: 1,
                },
            )?;
            if !path.is_at(&key)? {
                // Nothing was locked for a moment.
                return Err(ENOENT);
            }
            let step = path.leaf()?;
            if leaf::weight(step.guard.bytes(), step.slot..step.slot.saturating_add(1))? != weight {
                return Err(EAGAIN);
            }
        }
        let slot = path.leaf()?.slot;
        let upper = path.upper();
        path.remove_items(slot..slot.saturating_add(1))?;
        if path.step(0).is_some() {
            path.release_above(0);
            self.place = Place::Leaf(path);
        } else {
            self.place = upper.map_or(Place::Nowhere, Place::Before);
        }
        Ok(())
    }

    /// By how many bytes the item it stands at can grow while its leaf stays locked. To grow more, the leaf is let go
    /// of for a moment, in which others may change the item.
    pub fn room_here(&mut self) -> Result<usize> {
        match self.settle()? {
            Some(path) => Ok(Leaf::new(path.leaf()?.guard.bytes()).free_space()),
            None => Ok(0),
        }
    }

    /// Changes the length of the item it stands at: cut or filled up with zeros at its end. Gives its bytes.
    /// `ENOENT` past the end, `EOVERFLOW`.
    pub fn resize_here(&mut self, len: usize) -> Result<&mut [u8]> {
        if len > self.tree.max_item() {
            return Err(EOVERFLOW);
        }
        let mut path = self.take()?;
        let step = path.leaf()?;
        let (key, bytes) = Leaf::new(step.guard.bytes())
            .item(step.slot)
            .ok_or(EUCLEAN)?;
        let free = Leaf::new(step.guard.bytes()).free_space();
        if len > bytes.len().saturating_add(free) {
            drop(path);
            path = self.tree.resize(self.txn, &key, len)?;
        } else {
            path.resize_item(len)?;
        }
        self.stand(path)
    }

    /// Gives the item it stands at another key, which must lie between its neighbours' keys (`EINVAL`).
    pub fn rekey_here(&mut self, key: &Key) -> Result {
        let mut path = self.take()?;
        let step = path.leaf()?;
        let old = Leaf::new(step.guard.bytes())
            .key(step.slot)
            .ok_or(EUCLEAN)?;
        if path.lower().is_some_and(|lower| *key < lower) {
            drop(path);
            return self.reinsert(&old, key);
        }
        // The next leaf may have lost its first item meanwhile.
        if step.slot == 0 || path.upper().is_some_and(|upper| *key >= upper) {
            drop(path);
            path = Path::find(self.tree, self.txn, &old, Aim::Rekey)?;
            if !path.is_at(&old)? {
                return Err(ENOENT);
            }
        }
        let fits = path.may_rekey(key)?;
        if fits {
            path.rekey_item(key)?;
        }
        path.release_above(0);
        self.place = Place::Leaf(path);
        if fits {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// Moves an item to a key that belongs into another leaf, though between the same neighbours.
    fn reinsert(&mut self, old: &Key, key: &Key) -> Result {
        if self.tree.ceiling(key, |found, _| found)? != Some(*old) {
            self.seek(old)?;
            return Err(EINVAL);
        }
        let copy = |bytes: &[u8]| -> Result<KVec<u8>> {
            let mut copy = KVec::with_capacity(bytes.len(), GFP_KERNEL)?;
            copy.extend_from_slice(bytes, GFP_KERNEL)?;
            Ok(copy)
        };
        let bytes = self.tree.get(old, copy)?.ok_or(ENOENT)??;
        self.tree.insert(self.txn, key, &bytes)?;
        if let Err(error) = self.tree.remove(self.txn, old) {
            self.txn.poison(error);
            return Err(error);
        }
        self.seek(key)?;
        Ok(())
    }

    /// Lets go of all locks. The writer stands nowhere afterwards.
    pub fn release(&mut self) {
        self.place = Place::Nowhere;
    }

    /// Stands in the leaf of `path` and gives the bytes of its item.
    fn stand(&mut self, mut path: Path<'a>) -> Result<&mut [u8]> {
        path.release_above(0);
        path.mark_dirty(0);
        self.place = Place::Leaf(path);
        let Place::Leaf(path) = &mut self.place else {
            return Err(EUCLEAN);
        };
        let step = path.leaf_mut()?;
        leaf::item_mut(step.guard.bytes_mut(), step.slot).ok_or(EUCLEAN)
    }

    /// The way to `key`: the leaf at hand if it is that.
    fn path_to(&mut self, key: &Key) -> Result<Path<'a>> {
        match self.path_within(key)? {
            Some(path) => Ok(path),
            None => Path::find(self.tree, self.txn, key, Aim::Change),
        }
    }

    /// The way to `key` if that is the leaf at hand. The writer stands nowhere then.
    fn path_within(&mut self, key: &Key) -> Result<Option<Path<'a>>> {
        match core::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Leaf(mut path) => Ok(if path.seek_within(key)? {
                Some(path)
            } else {
                None
            }),
            _ => Ok(None),
        }
    }

    /// Moves on while it stands behind a leaf's last item.
    fn settle(&mut self) -> Result<Option<&mut Path<'a>>> {
        loop {
            let key = match &self.place {
                Place::Nowhere => return Ok(None),
                Place::Before(key) => *key,
                Place::Leaf(path) if path.has_item()? => break,
                Place::Leaf(path) => match path.upper() {
                    Some(upper) => upper,
                    None => return Ok(None),
                },
            };
            self.place = Place::Before(key);
            self.place = Place::Leaf(Path::find(self.tree, self.txn, &key, Aim::Change)?);
        }
        match &mut self.place {
            Place::Leaf(path) => Ok(Some(path)),
            _ => Ok(None),
        }
    }

    /// The path to the item it stands at, out of the writer.
    fn take(&mut self) -> Result<Path<'a>> {
        if self.settle()?.is_none() {
            return Err(ENOENT);
        }
        match core::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Leaf(path) => Ok(path),
            _ => Err(ENOENT),
        }
    }
}

impl Path<'_> {
    /// Moves to where `key` is or would be, if that is in the leaf.
    fn seek_within(&mut self, key: &Key) -> Result<bool> {
        let within = self.lower().is_none_or(|lower| lower <= *key)
            && self.upper().is_none_or(|upper| *key < upper);
        if !within {
            return Ok(false);
        }
        let step = self.leaf_mut()?;
        step.slot = Leaf::new(step.guard.bytes())
            .search(key)
            .unwrap_or_else(|slot| slot);
        Ok(true)
    }

    /// Whether an item of `len` bytes can go to the way's slot with nothing but the leaf locked.
    fn takes(&self, len: usize) -> Result<bool> {
        let step = self.leaf()?;
        let free = Leaf::new(step.guard.bytes()).free_space();
        let alone = step.slot > 0 || self.tree.is_root(step.guard.latched());
        Ok(alone && len.saturating_add(leaf::HEAD) <= free)
    }

    /// Whether there is an item at the way's slot.
    fn has_item(&self) -> Result<bool> {
        let step = self.leaf()?;
        Ok(step.slot < Leaf::new(step.guard.bytes()).nritems())
    }

    /// Whether the item at the way's slot may have this key, for the order.
    fn may_rekey(&self, key: &Key) -> Result<bool> {
        let step = self.leaf()?;
        let leaf = Leaf::new(step.guard.bytes());
        let after = match step.slot.checked_sub(1) {
            Some(before) => leaf.key(before).is_none_or(|before| before < *key),
            // The leaf to the left ends before this.
            None => self.lower().is_none_or(|lower| lower <= *key),
        };
        let next = leaf.key(step.slot.saturating_add(1)).or(self.upper());
        Ok(after && next.is_none_or(|next| *key < next))
    }
}
