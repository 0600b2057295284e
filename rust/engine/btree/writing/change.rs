// SPDX-License-Identifier: GPL-2.0
//! Changes of single items, and of ranges of them.

use super::descend::{removable, Aim};
use super::path::Path;
use super::plan::Demand;
use crate::btree::bugs::NO_ITEM;
use crate::btree::tree::Tree;
use crate::btree::Allocate;
use crate::disk::edit::leaf;
use crate::disk::{leaf_area, Key, Leaf, ITEM_HEAD};
use latch::prelude::*;

impl Tree {
    /// The longest item that the tree's leaves can hold, in bytes of data.
    pub fn max_item(&self) -> usize {
        let area = usize::try_from(leaf_area(self.store().node_size())).unwrap_or(0);
        area.saturating_sub(ITEM_HEAD)
    }

    /// Inserts an item. `EEXIST` if `key` is taken, `EOVERFLOW` if no leaf can hold so long an item.
    pub fn insert(&self, txn: &dyn Allocate, key: &Key, bytes: &[u8]) -> Result {
        self.insert_with(txn, key, bytes.len(), |item| leaf::fill(item, bytes))
    }

    /// Inserts an item of `len` zero bytes, which `fill` then fills. Errors as [`Self::insert`].
    pub fn insert_with<R>(
        &self,
        txn: &dyn Allocate,
        key: &Key,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        let mut path = Path::new(self, txn);
        path.insert(key, len)?;
        Ok(fill(path.item_mut()?))
    }

    /// Changes an item in place. `ENOENT` if there is none.
    pub fn update<R>(
        &self,
        txn: &dyn Allocate,
        key: &Key,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        let mut path = Path::new(self, txn);
        path.seek(key, &Aim::Change)?;
        if !path.is_at(key) {
            return Err(ENOENT);
        }
        Ok(change(path.item_mut()?))
    }

    /// Gives an item other bytes, of any length. `ENOENT` if there is none, `EOVERFLOW` as [`Self::insert`].
    pub fn replace(&self, txn: &dyn Allocate, key: &Key, bytes: &[u8]) -> Result {
        let mut path = Path::new(self, txn);
        path.resize(key, bytes.len())?;
        leaf::fill(path.item_mut()?, bytes);
        Ok(())
    }

    /// Removes an item. `ENOENT` if there is none.
    pub fn remove(&self, txn: &dyn Allocate, key: &Key) -> Result {
        let mut path = Path::new(self, txn);
        path.seek_to_remove(key)?;
        path.remove_sought()
    }

    /// Removes the first items from `first` to `last` (both included), at most `limit`; gives how many those were.
    /// Fewer than `limit` means the range is empty now. What the items refer to is the caller's task. After an error
    /// some may be gone.
    pub fn remove_range(
        &self,
        txn: &dyn Allocate,
        first: &Key,
        last: &Key,
        limit: usize,
    ) -> Result<usize> {
        let mut first = *first;
        let mut removed = 0usize;
        let mut path = Path::new(self, txn);
        while removed < limit && first <= *last {
            let limit = limit.saturating_sub(removed);
            path.seek(&first, &Aim::Remove { last: *last, limit })?;
            let upper = path.upper();
            let slots = removable(path.leaf()?.guard.bytes(), &first, last, limit);
            removed = removed.saturating_add(slots.len());
            path.remove_items(slots)?;
            match upper {
                Some(upper) => first = upper,
                None => break,
            }
        }
        Ok(removed)
    }
}

impl Path<'_> {
    /// Inserts an item of `len` zero bytes and keeps its leaf locked, and that alone.
    pub(super) fn insert(&mut self, key: &Key, len: usize) -> Result {
        if len > self.tree.max_item() {
            return Err(EOVERFLOW);
        }
        self.seek(key, &Aim::Insert { len })?;
        if self.is_at(key) {
            self.release_above(0);
            return Err(EEXIST);
        }
        let result = self.insert_item(key, len);
        self.release_after(result)
    }

    /// Gives an item another length and keeps its leaf locked, and that alone.
    pub(super) fn resize(&mut self, key: &Key, len: usize) -> Result {
        self.seek_to_resize(key, len)?;
        let result = self.resize_item(len);
        self.release_after(result)
    }

    /// Makes room in an item's leaf for as many bytes as it has fewer than `len`, and keeps the leaf locked, and that alone.
    pub(super) fn make_room_for(&mut self, key: &Key, len: usize) -> Result {
        self.seek_to_resize(key, len)?;
        let by = len.saturating_sub(self.item_mut()?.len());
        let result = self.make_room(Demand::Growth { by });
        self.release_after(result)
    }

    /// Locks what giving an item another length needs, and lets go of what was locked before.
    fn seek_to_resize(&mut self, key: &Key, len: usize) -> Result {
        if len > self.tree.max_item() {
            return Err(EOVERFLOW);
        }
        self.seek(key, &Aim::Resize { len })?;
        if !self.is_at(key) {
            self.release();
            return Err(ENOENT);
        }
        Ok(())
    }

    /// Locks what removing an item needs, and lets go of what was locked before: meanwhile others may change the item.
    pub(super) fn seek_to_remove(&mut self, key: &Key) -> Result {
        self.seek(
            key,
            &Aim::Remove {
                last: *key,
                limit: 1,
            },
        )?;
        if !self.is_at(key) {
            self.release();
            return Err(ENOENT);
        }
        Ok(())
    }

    /// Removes the item that was sought to be removed and keeps the leaf locked, and that alone, if it is still there.
    pub(super) fn remove_sought(&mut self) -> Result {
        let slot = self.leaf()?.slot;
        let result = self.remove_items(slot..slot.saturating_add(1));
        self.release_after(result)
    }

    /// After a change only the leaf stays locked; after one that failed nothing.
    pub(super) fn release_after(&mut self, result: Result) -> Result {
        match result {
            Ok(()) => self.release_above(0),
            Err(_) => self.release(),
        }
        result
    }

    /// Whether the way's slot has the item at `key`.
    pub(super) fn is_at(&self, key: &Key) -> bool {
        let step = self.step(0);
        step.is_some_and(|step| Leaf::new(step.guard.bytes()).key(step.slot) == Some(*key))
    }

    /// The bytes of the item at the way's slot.
    pub(super) fn item_mut(&mut self) -> Result<&mut [u8]> {
        let step = self.leaf_mut()?;
        let item = leaf::item_mut(step.guard.bytes_mut(), step.slot);
        Ok(item.ok_or(NO_ITEM)?)
    }
}
