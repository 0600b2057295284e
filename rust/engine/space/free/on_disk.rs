// SPDX-License-Identifier: GPL-2.0
//! Where the disk has what is free, for the next mount.

use super::changes::{Change, Changes};
use super::ranges::FreeRanges;
use super::tree::{FreeSpaceTree, Recorded, Unreadable};
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
    /// The group's part of the free space tree.
    Tree(Part),
    /// Nothing is kept.
    Nowhere,
}

/// What the free space tree has of one block group.
pub(in crate::space) struct Part {
    /// The group's first byte and the first one behind it.
    span: (u64, u64),
    /// What the tree says of it, once that was read.
    recorded: Option<Recorded>,
    /// What happened since it was written.
    changes: Changes,
}

impl OnDisk {
    /// A volume's free space, in `tree` if there is one.
    pub(in crate::space) fn new(tree: Option<Arc<Tree>>, sector_size: u32) -> Self {
        tree.map_or(Self::Nowhere, |tree| {
            Self::Tree(FreeSpaceTree::new(tree, sector_size))
        })
    }

    /// What is to be kept of the group `[start, end)`, of which the disk has `recorded`, if that is known.
    pub(in crate::space) fn group(
        &self,
        span: (u64, u64),
        recorded: Option<Recorded>,
    ) -> GroupOnDisk {
        match self {
            Self::Tree(_) => GroupOnDisk::Tree(Part {
                span,
                recorded,
                changes: Changes::new(),
            }),
            Self::Nowhere => GroupOnDisk::Nowhere,
        }
    }

    /// Writes what is kept of a new group.
    pub(in crate::space) fn insert(&self, txn: &dyn Allocate, group: &GroupOnDisk) -> Result {
        match (self, group) {
            (Self::Tree(tree), GroupOnDisk::Tree(part)) => match &part.recorded {
                Some(recorded) => tree.add_group(txn, recorded),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Removes all that is kept, of which nothing is to be believed.
    pub(in crate::space) fn clear(&self, txn: &dyn Allocate) -> Result {
        match self {
            Self::Tree(tree) => tree.clear(txn),
            Self::Nowhere => Ok(()),
        }
    }

    /// Makes anew what is kept of the group `[start, end)`: free but for what `used` has as allocated. After an error
    /// the transaction must not commit.
    pub(in crate::space) fn rebuild(
        &self,
        txn: &dyn Allocate,
        (start, end): (u64, u64),
        mut used: Changes,
    ) -> Result<GroupOnDisk> {
        let mut recorded = Recorded::all_free(start, end);
        if let Self::Tree(tree) = self {
            // A group that was made since all was removed.
            tree.remove_group(txn, &recorded)?;
            tree.add_group(txn, &recorded)?;
            tree.write(txn, &mut recorded, &mut used)?;
        }
        Ok(self.group((start, end), Some(recorded)))
    }

    /// Removes what is kept of a group, which is empty.
    pub(in crate::space) fn remove(&self, txn: &dyn Allocate, group: &mut GroupOnDisk) -> Result {
        match (self, group) {
            (Self::Tree(tree), GroupOnDisk::Tree(part)) => {
                part.changes = Changes::new();
                let (start, end) = part.span;
                tree.remove_group(txn, &Recorded::all_free(start, end))
            }
            _ => Ok(()),
        }
    }

    /// Brings what is kept of a group up to date. After an error the transaction must not commit.
    pub(in crate::space) fn write(&self, txn: &dyn Allocate, group: &mut GroupOnDisk) -> Result {
        match (self, group) {
            (Self::Tree(tree), GroupOnDisk::Tree(part)) if !part.changes.is_empty() => {
                let recorded = tree.recorded(part.span, &mut part.recorded)?;
                tree.write(txn, recorded, &mut part.changes)
            }
            _ => Ok(()),
        }
    }

    /// Puts into `ranges`, which are empty, all that has no extent item in a group.
    pub(in crate::space) fn read(
        &self,
        group: &mut GroupOnDisk,
        ranges: &mut FreeRanges,
    ) -> Result<(), Unreadable> {
        let (Self::Tree(tree), GroupOnDisk::Tree(part)) = (self, group) else {
            return Ok(());
        };
        let recorded = tree.recorded(part.span, &mut part.recorded)?;
        tree.read(recorded, &mut |start, end| ranges.insert(start, end))?;
        for (start, end, change) in part.changes.iter() {
            let applied = match change {
                Change::Freed => ranges.insert(start, end),
                Change::Allocated => ranges
                    .remove(start, end)
                    .map_err(|_| recorded.broken(change.contradicted(start))),
            };
            applied.map_err(Unreadable::Group)?;
        }
        Ok(())
    }
}

impl GroupOnDisk {
    /// Notes a change that the disk lacks.
    pub(in crate::space) fn note(&mut self, start: u64, end: u64, change: Change) -> Result {
        match self {
            Self::Tree(part) => part.changes.note(start, end, change),
            Self::Nowhere => Ok(()),
        }
    }
}
