// SPDX-License-Identifier: GPL-2.0
//! Changing a tree in batches.

use super::{Allocate, Tree};
use crate::disk::Key;
use kernel::prelude::*;

/// A place in a tree, for changes. Keeps the leaf it stands in locked for writing, so that changes near each other
/// cost one search. Its owner touches no other tree until it is released or dropped.
pub struct Writer<'a> {
    tree: &'a Tree,
    txn: &'a dyn Allocate,
}

impl<'a> Writer<'a> {
    /// A writer that stands nowhere yet.
    pub fn new(tree: &'a Tree, txn: &'a dyn Allocate) -> Self {
        Self { tree, txn }
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
    pub fn seek(&mut self, _key: &Key) -> Result<bool> {
        Err(EOPNOTSUPP)
    }

    /// Moves to the last item at or before `key`; whether there is one.
    pub fn seek_floor(&mut self, _key: &Key) -> Result<bool> {
        Err(EOPNOTSUPP)
    }

    /// The item it stands at; `None` past the end. At a leaf's end this moves to the next leaf, which a caller who
    /// only inserts does not want: hence not done by [`Self::seek`].
    pub fn item(&mut self) -> Result<Option<(Key, &[u8])>> {
        Err(EOPNOTSUPP)
    }

    /// The item it stands at, to change in place.
    pub fn item_mut(&mut self) -> Result<Option<(Key, &mut [u8])>> {
        Err(EOPNOTSUPP)
    }

    /// Moves to the next item; whether there is one.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<bool> {
        Err(EOPNOTSUPP)
    }

    /// Inserts an item of `len` zero bytes, moves to it and gives its bytes to fill. Wherever the writer stands; fast
    /// if that is where `key` belongs, as after a [`Self::seek`] for it. `EEXIST`, `EOVERFLOW`.
    pub fn insert_here(&mut self, _key: &Key, _len: usize) -> Result<&mut [u8]> {
        Err(EOPNOTSUPP)
    }

    /// Removes the item it stands at and moves to the one after. `ENOENT` past the end.
    pub fn remove_here(&mut self) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Changes the length of the item it stands at: cut or filled up with zeros at its end. Gives its bytes.
    /// `ENOENT` past the end, `EOVERFLOW`.
    pub fn resize_here(&mut self, _len: usize) -> Result<&mut [u8]> {
        Err(EOPNOTSUPP)
    }

    /// Gives the item it stands at another key, which must lie between its neighbours' keys (`EINVAL`).
    pub fn rekey_here(&mut self, _key: &Key) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Lets go of all locks. The writer stands nowhere afterwards.
    pub fn release(&mut self) {}
}
