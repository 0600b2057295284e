// SPDX-License-Identifier: GPL-2.0
//! Where the disk has what is free, for the next mount.

use super::changes::{Change, Changes};
use super::tree::{FreeSpaceTree, Recorded};
use crate::btree::{Allocate, Tree};
use kernel::sync::Arc;
use latch::prelude::*;

/// Where a volume keeps what is free in its block groups.
pub(in crate::space) enum OnDisk {
    /// The free space tree has it.
    Tree(FreeSpaceTree),
    /// Nothing has it: a mount reads the whole extent tree.
    Nowhere,
}

/// What the disk has of the free space of one block group, and what it lacks.
pub(in crate::space) enum GroupOnDisk {
    /// The group's part of the free space tree, and what happened since that was written.
    Tree(Recorded, Changes),
    /// Nothing is kept.
    Nowhere,
}

impl OnDisk {
    /// A volume's free space, in `tree` if there is one.
    pub(in crate::space) fn new(tree: Option<Arc<Tree>>, sector_size: u32) -> Self {
        tree.map_or(Self::Nowhere, |tree| {
            Self::Tree(FreeSpaceTree::new(tree, sector_size))
        })
    }

    /// What is to be kept of the new group `[start, end)`, all of which is free.
    pub(in crate::space) fn new_group(&self, start: u64, end: u64) -> GroupOnDisk {
        match self {
            Self::Tree(_) => GroupOnDisk::tree(Recorded::all_free(start, end)),
            Self::Nowhere => GroupOnDisk::Nowhere,
        }
    }

    /// Writes what is kept of a new group.
    pub(in crate::space) fn insert(&self, txn: &dyn Allocate, group: &GroupOnDisk) -> Result {
        match (self, group) {
            (Self::Tree(tree), GroupOnDisk::Tree(recorded, _)) => tree.add_group(txn, recorded),
            _ => Ok(()),
        }
    }

    /// Removes what is kept of a group.
    pub(in crate::space) fn remove(&self, txn: &dyn Allocate, group: &mut GroupOnDisk) -> Result {
        match (self, group) {
            (Self::Tree(tree), GroupOnDisk::Tree(recorded, changes)) => {
                *changes = Changes::new();
                tree.remove_group(txn, recorded)
            }
            _ => Ok(()),
        }
    }

    /// Brings what is kept of a group up to date. After an error the transaction must not commit.
    pub(in crate::space) fn write(&self, txn: &dyn Allocate, group: &mut GroupOnDisk) -> Result {
        match (self, group) {
            (Self::Tree(tree), GroupOnDisk::Tree(recorded, changes)) if !changes.is_empty() => {
                tree.write(txn, recorded, changes)
            }
            _ => Ok(()),
        }
    }
}

impl GroupOnDisk {
    /// A group of which the free space tree has all.
    pub(in crate::space) fn tree(recorded: Recorded) -> Self {
        Self::Tree(recorded, Changes::new())
    }

    /// Notes a change that the disk lacks.
    pub(in crate::space) fn note(&mut self, start: u64, end: u64, change: Change) -> Result {
        match self {
            Self::Tree(_, changes) => changes.note(start, end, change),
            Self::Nowhere => Ok(()),
        }
    }
}
