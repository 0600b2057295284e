// SPDX-License-Identifier: GPL-2.0
//! A tree: its root pointer and the calls for single items.

use super::{Allocate, Store};
use crate::disk::{Generation, Key, Logical, ObjectId};
use core::ops::{ControlFlow, RangeInclusive};
use kernel::prelude::*;
use kernel::sync::Arc;

/// Where a tree starts, as its root item or the superblock has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootPointer {
    /// The root block's address.
    pub addr: Logical,
    /// The root block's height above the leaves.
    pub level: u8,
    /// The transaction that wrote the root block.
    pub generation: Generation,
}

/// One tree. Shared by all who use it; every call locks the blocks it needs and no more.
pub struct Tree {
    store: Arc<dyn Store>,
    id: ObjectId,
}

impl Tree {
    /// The tree `id` whose root block is at `root`. `last_snapshot` is from the root item, zero for trees that are
    /// never shared: blocks not younger may be referenced by other trees. Reads the root block.
    pub fn open(
        _store: Arc<dyn Store>,
        _id: ObjectId,
        _root: RootPointer,
        _last_snapshot: Generation,
    ) -> Result<Arc<Self>> {
        Err(EOPNOTSUPP)
    }

    /// A new tree: one empty leaf, allocated from `txn`.
    pub fn create(_store: Arc<dyn Store>, _id: ObjectId, _txn: &dyn Allocate) -> Result<Arc<Self>> {
        Err(EOPNOTSUPP)
    }

    /// The tree's id.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Where the tree starts now. Stable only while nothing changes the tree: in a commit.
    pub fn root_pointer(&self) -> RootPointer {
        RootPointer { addr: Logical::new(0), level: 0, generation: Generation::new(0) }
    }

    /// The cache that the tree's blocks are in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The generation of the tree's last snapshot: blocks not younger may be shared.
    pub fn last_snapshot(&self) -> Generation {
        Generation::new(0)
    }

    /// Gives the item at `key` to `read`; `None` if there is none.
    pub fn get<R>(&self, _key: &Key, _read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        Err(EOPNOTSUPP)
    }

    /// Gives the last item at or before `key` to `read`; `None` if there is none.
    pub fn floor<R>(&self, _key: &Key, _read: impl FnOnce(Key, &[u8]) -> R) -> Result<Option<R>> {
        Err(EOPNOTSUPP)
    }

    /// Gives the first item at or after `key` to `read`; `None` if there is none.
    pub fn ceiling<R>(&self, _key: &Key, _read: impl FnOnce(Key, &[u8]) -> R) -> Result<Option<R>> {
        Err(EOPNOTSUPP)
    }

    /// Gives the items in `range` to `each`, ascending, until it breaks. No lock is held from one leaf to the next:
    /// items may come and go between them, but every item that is there all the time is seen once.
    pub fn scan(
        &self,
        _range: RangeInclusive<Key>,
        _each: impl FnMut(Key, &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Inserts an item. `EEXIST` if `key` is taken, `EOVERFLOW` if no leaf can hold so long an item.
    pub fn insert(&self, _txn: &dyn Allocate, _key: &Key, _bytes: &[u8]) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Inserts an item of `len` zero bytes, which `fill` then fills. Errors as [`Self::insert`].
    pub fn insert_with<R>(
        &self,
        _txn: &dyn Allocate,
        _key: &Key,
        _len: usize,
        _fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R> {
        Err(EOPNOTSUPP)
    }

    /// Changes an item in place. `ENOENT` if there is none.
    pub fn update<R>(&self, _txn: &dyn Allocate, _key: &Key, _change: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        Err(EOPNOTSUPP)
    }

    /// Gives an item other bytes, of any length. `ENOENT` if there is none, `EOVERFLOW` as [`Self::insert`].
    pub fn replace(&self, _txn: &dyn Allocate, _key: &Key, _bytes: &[u8]) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Removes an item. `ENOENT` if there is none.
    pub fn remove(&self, _txn: &dyn Allocate, _key: &Key) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Removes the first items from `first` to `last` (both included), at most `limit`; gives how many those were.
    /// Fewer than `limit` means the range is empty now. What the items refer to is the caller's task.
    pub fn remove_range(&self, _txn: &dyn Allocate, _first: &Key, _last: &Key, _limit: usize) -> Result<usize> {
        Err(EOPNOTSUPP)
    }

    /// Makes the tree `id` as a copy of this one: both share all blocks but the root, which is copied. From now on
    /// this tree's [`Self::last_snapshot`] is the running transaction; the caller writes it into the root items.
    /// Nobody else may change the tree meanwhile: done in a commit.
    pub fn snapshot(&self, _txn: &dyn Allocate, _id: ObjectId) -> Result<RootPointer> {
        Err(EOPNOTSUPP)
    }
}
