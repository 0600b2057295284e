// SPDX-License-Identifier: GPL-2.0
//! Walking a tree for reading.

use super::Tree;
use crate::disk::Key;
use kernel::prelude::*;

/// A place in a tree, for reading. Keeps the leaf it stands in, and at most that leaf's parent, locked for reading:
/// short-lived, and its owner changes no tree meanwhile.
pub struct Cursor<'a> {
    tree: &'a Tree,
}

impl<'a> Cursor<'a> {
    /// A cursor that stands nowhere yet.
    pub fn new(tree: &'a Tree) -> Self {
        Self { tree }
    }

    /// The tree it walks.
    pub fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// Moves to the first item at or after `key`; whether it is exactly at `key`.
    pub fn seek(&mut self, _key: &Key) -> Result<bool> {
        Err(EOPNOTSUPP)
    }

    /// Moves to the last item at or before `key`; whether there is one.
    pub fn seek_floor(&mut self, _key: &Key) -> Result<bool> {
        Err(EOPNOTSUPP)
    }

    /// The item it stands at; `None` past either end.
    pub fn item(&self) -> Option<(Key, &[u8])> {
        None
    }

    /// Moves to the next item; whether there is one.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<bool> {
        Err(EOPNOTSUPP)
    }

    /// Moves to the item before; whether there is one.
    pub fn prev(&mut self) -> Result<bool> {
        Err(EOPNOTSUPP)
    }

    /// Lets go of all locks. The cursor stands nowhere afterwards.
    pub fn release(&mut self) {}
}
