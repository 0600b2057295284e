// SPDX-License-Identifier: GPL-2.0
//! Changes of single items, and of ranges of them.

use super::leaf::{self, HEAD};
use super::path::{removable, Aim, Path};
use super::tree::Tree;
use super::Allocate;
use crate::disk::{leaf_area, Key, Leaf};
use kernel::prelude::*;

impl Tree {
    /// The longest item that the tree's leaves can hold, in bytes of data.
    pub fn max_item(&self) -> usize {
        usize::try_from(leaf_area(self.store().node_size()))
            .unwrap_or(0)
            .saturating_sub(HEAD)
    }

    /// Inserts an item. `EEXIST` if `key` is taken, `EOVERFLOW` if no leaf can hold so long an item.
    pub fn insert(&self, txn: &dyn Allocate, key: &Key, bytes: &[u8]) -> Result {
        self.insert_with(txn, key, bytes.len(), |item| item.copy_from_slice(bytes))
    }

    /// Inserts an item of `len` zero bytes, which `fill` then fills. Errors as [`Self::insert`].
    pub fn insert_with<R>(
        &self,
        txn: &dyn Allocate,
        key: &Key,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        let mut path = self.insert_empty(txn, key, len)?;
        let step = path.leaf_mut()?;
        Ok(fill(
            leaf::item_mut(step.guard.bytes_mut(), step.slot).ok_or(EUCLEAN)?,
        ))
    }

    /// Inserts an item of `len` zero bytes and keeps its leaf locked.
    pub(super) fn insert_empty<'a>(
        &'a self,
        txn: &'a dyn Allocate,
        key: &Key,
        len: usize,
    ) -> Result<Path<'a>> {
        if len > self.max_item() {
            return Err(EOVERFLOW);
        }
        let mut path = Path::find(self, txn, key, Aim::Insert { len })?;
        if path.is_at(key)? {
            return Err(EEXIST);
        }
        path.insert_item(key, len)?;
        path.release_above(0);
        Ok(path)
    }

    /// Changes an item in place. `ENOENT` if there is none.
    pub fn update<R>(
        &self,
        txn: &dyn Allocate,
        key: &Key,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        let mut path = Path::find(self, txn, key, Aim::Change)?;
        if !path.is_at(key)? {
            return Err(ENOENT);
        }
        path.mark_dirty(0);
        let step = path.leaf_mut()?;
        Ok(change(
            leaf::item_mut(step.guard.bytes_mut(), step.slot).ok_or(EUCLEAN)?,
        ))
    }

    /// Gives an item other bytes, of any length. `ENOENT` if there is none, `EOVERFLOW` as [`Self::insert`].
    pub fn replace(&self, txn: &dyn Allocate, key: &Key, bytes: &[u8]) -> Result {
        let mut path = self.resize(txn, key, bytes.len())?;
        let step = path.leaf_mut()?;
        leaf::item_mut(step.guard.bytes_mut(), step.slot)
            .ok_or(EUCLEAN)?
            .copy_from_slice(bytes);
        Ok(())
    }

    /// Gives an item another length and keeps its leaf locked.
    pub(super) fn resize<'a>(
        &'a self,
        txn: &'a dyn Allocate,
        key: &Key,
        len: usize,
    ) -> Result<Path<'a>> {
        if len > self.max_item() {
            return Err(EOVERFLOW);
        }
        let mut path = Path::find(self, txn, key, Aim::Resize { len })?;
        if !path.is_at(key)? {
            return Err(ENOENT);
        }
        path.resize_item(len)?;
        path.release_above(0);
        Ok(path)
    }

    /// Removes an item. `ENOENT` if there is none.
    pub fn remove(&self, txn: &dyn Allocate, key: &Key) -> Result {
        let mut path = Path::find(
            self,
            txn,
            key,
            Aim::Remove {
                last: *key,
                limit: 1,
            },
        )?;
        if !path.is_at(key)? {
            return Err(ENOENT);
        }
        let slot = path.leaf()?.slot;
        path.remove_items(slot..slot.saturating_add(1))
    }

    /// Removes the first items from `first` to `last` (both included), at most `limit`; gives how many those were.
    /// Fewer than `limit` means the range is empty now. What the items refer to is the caller's task.
    pub fn remove_range(
        &self,
        txn: &dyn Allocate,
        first: &Key,
        last: &Key,
        limit: usize,
    ) -> Result<usize> {
        let mut first = *first;
        let mut removed = 0usize;
        while removed < limit && first <= *last {
            let limit = limit.saturating_sub(removed);
            let mut path = Path::find(self, txn, &first, Aim::Remove { last: *last, limit })?;
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
    /// Whether the way's slot has the item at `key`.
    pub(super) fn is_at(&self, key: &Key) -> Result<bool> {
        let step = self.leaf()?;
        Ok(Leaf::new(step.guard.bytes()).key(step.slot) == Some(*key))
    }
}
