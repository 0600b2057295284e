// SPDX-License-Identifier: GPL-2.0
//! Making a tree that shares all blocks of another.

use crate::btree::blocks::block::first_key;
use crate::btree::blocks::lock::Held;
use crate::btree::{Allocate, Holder};
use crate::btree::{RootPointer, Tree};
use crate::disk::edit::copy_contents;
use crate::disk::{Bug, Key, ObjectId, MAX_LEVELS};
use latch::prelude::*;

impl Tree {
    /// Makes the tree `id` as a copy of this one: both share all blocks but the root, which is copied. From now on
    /// this tree's [`Self::last_snapshot`] is the running transaction; the caller writes it into both root items.
    /// Nobody else may change the tree until the commit is over: until then every change copies its way anew.
    pub fn snapshot(&self, txn: &dyn Allocate, id: ObjectId) -> Result<RootPointer> {
        let Held::Write(root) = self.lock_root(MAX_LEVELS) else {
            return Err(
                Bug::new("root is not locked for writing though any level was to be").report(),
            );
        };
        let root = self.writable_root(txn, root)?;
        let info = *root.latched().meta();
        let first = first_key(root.bytes(), info.level).unwrap_or(Key::MIN);
        let mut fresh = self.fresh_of(id.into(), txn, info.level, &first, info.addr)?;
        copy_contents(root.bytes(), fresh.bytes_mut()?)?;
        self.share_children(txn, fresh.bytes_mut()?, Holder::Tree(id))?;
        let copy = fresh.keep()?;
        self.set_last_snapshot(txn.generation());
        let info = copy.latched().meta();
        Ok(RootPointer {
            addr: info.addr,
            level: info.level,
            generation: info.generation,
        })
    }
}
