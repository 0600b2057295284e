// SPDX-License-Identifier: GPL-2.0
//! Making the free space tree anew, beginning one, and leaving one: the steps of it, which `txn` does one after the other.
//!
//! Nothing of the tree is believed before the last step, and other changes of the volume go on between them.

use super::root::Space;
use crate::btree::{Allocate, Tree};
use crate::disk::{Bytes, Logical};
use core::ops::ControlFlow;
use kernel::sync::Arc;
use latch::prelude::*;

impl Space {
    /// A block group that contradicts itself, so that no tree can have what is free there.
    pub fn first_given_up(&self) -> Option<Logical> {
        self.groups.first_given_up()
    }

    /// Reads in the extent tree where the first group at or behind `from` is free of which that is not known; gives where that
    /// ends, or `None` if there is none. Nobody changes the extent tree meanwhile: no reference is applied. Nothing that is known may
    /// be forgotten until it can be read again, see [`Self::asking`].
    pub fn derive_next(&self, extents: &Tree, from: Logical) -> Result<Option<Logical>> {
        self.reader.derive_next(extents, from)
    }

    /// From now on `tree` is to have what is free; until it is made no group is in it. Where all groups are free is known. Nobody makes
    /// or removes chunks meanwhile.
    pub fn begin_tree(&self, tree: Arc<Tree>) -> Result {
        self.writeout.begin_tree(tree)
    }

    /// No tree has what is free from now on. All else is as with [`Self::begin_tree`].
    pub fn leave_tree(&self) -> Result {
        self.writeout.leave_tree()
    }

    /// Bytes of the items of a free space tree that has as many as it can have.
    pub fn largest_tree(&self) -> Bytes {
        self.groups.largest_tree()
    }

    /// Whether a tree has what is free in all groups, and is kept right.
    pub fn has_all_in_tree(&self) -> bool {
        self.writeout.has_all_in_tree()
    }

    /// Makes what the tree has of the free space of the next group, by the extent tree; whether to go on: where there is no
    /// group left the tree is right. Nobody changes the extent tree, nor makes or removes chunks, meanwhile. After `ENOSPC` the
    /// tree must not be believed before it is begun anew, after any other error the transaction must be aborted.
    pub fn rebuild_free_space(
        &self,
        txn: &dyn Allocate,
        extents: &Tree,
    ) -> Result<ControlFlow<()>> {
        self.groups.rebuild_free(&self.writeout, txn, extents)
    }
}
