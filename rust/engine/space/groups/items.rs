// SPDX-License-Identifier: GPL-2.0
//! What the trees have of a block group, and what they lack.

use crate::btree::{Allocate, Tree};
use crate::disk::{BlockGroupFlags, BlockGroupItem, Bug, Bytes, Key, Kind, Logical};
use crate::space::free::cache::Cache;
use crate::space::free::changes::{SpaceChange, SpaceChanges};
use crate::space::free::on_disk::{GroupOnDisk, OnDisk};
use crate::space::free::ranges::FreeRanges;
use crate::space::free::tree::Unreadable;
use latch::prelude::*;

const REMOVED: Bug = Bug::new("items of a block group are written that was removed");

/// A block group's items: its BLOCK_GROUP_ITEM and, with that feature, its part of the free space tree.
pub(in crate::space) struct Items {
    /// Where the BLOCK_GROUP_ITEM is.
    key: Key,
    /// The BLOCK_GROUP_ITEM, until the group is removed.
    item: Option<BlockGroupItem>,
    /// What the disk has of the group's free space.
    free_space: GroupOnDisk,
}

impl Items {
    pub(in crate::space) fn new(
        start: Logical,
        len: Bytes,
        flags: BlockGroupFlags,
        used: Bytes,
        free_space: GroupOnDisk,
    ) -> Self {
        Self {
            key: Key::new(start.get(), Kind::BLOCK_GROUP_ITEM, len.get()),
            item: Some(BlockGroupItem { used, flags }),
            free_space,
        }
    }

    /// Notes that a range's extent item came or went.
    pub(in crate::space) fn note(
        &mut self,
        start: Logical,
        end: Logical,
        change: SpaceChange,
    ) -> Result {
        self.free_space.note(start, end, change)
    }

    /// Puts into `ranges`, which are empty, all that has no extent item in the group.
    pub(in crate::space) fn read_free(
        &mut self,
        free_space: &OnDisk,
        ranges: &mut FreeRanges,
    ) -> Result<(), Unreadable> {
        free_space.read(&mut self.free_space, ranges)
    }

    /// Nothing is kept of the group's free space from now on.
    pub(in crate::space) fn leave_disk(&mut self) {
        self.free_space = GroupOnDisk::Nowhere;
    }

    /// Begins to keep the group's free space on disk: all but what `used` has as allocated.
    pub(in crate::space) fn keep_free(
        &mut self,
        txn: &dyn Allocate,
        free_space: &OnDisk,
        used: SpaceChanges,
    ) -> Result {
        let start = Logical::new(self.key.objectid.get());
        let len = Bytes::new(self.key.offset);
        let span = (start, start.saturating_add(len));
        self.free_space = free_space.keep(txn, span, used)?;
        Ok(())
    }

    /// The group's cache, if one is kept and the group is there.
    pub(in crate::space) fn cache(&mut self) -> Option<&mut Cache> {
        match &mut self.free_space {
            GroupOnDisk::Cache(cache) => Some(cache),
            GroupOnDisk::Tree(_) | GroupOnDisk::Nowhere => None,
        }
    }

    /// Writes a new group's items.
    pub(in crate::space) fn insert(
        &self,
        txn: &dyn Allocate,
        groups: &Tree,
        free_space: &OnDisk,
    ) -> Result {
        let item = self.item.ok_or(REMOVED)?;
        groups
            .insert_with(txn, &self.key, BlockGroupItem::SIZE, |bytes| {
                item.write_to(bytes)
            })?
            .map_err(Bug::report)?;
        free_space.insert(txn, &self.free_space)
    }

    /// Removes all items of the group. Who found it before finds nothing to write any more.
    pub(in crate::space) fn remove(
        &mut self,
        txn: &dyn Allocate,
        groups: &Tree,
        free_space: &OnDisk,
    ) -> Result {
        groups.remove(txn, &self.key)?;
        self.item = None;
        let kept = core::mem::replace(&mut self.free_space, GroupOnDisk::Nowhere);
        free_space.remove(txn, kept)
    }

    /// Brings the trees up to date; `used` is what the group's item should say.
    pub(in crate::space) fn write(
        &mut self,
        txn: &dyn Allocate,
        groups: &Tree,
        free_space: &OnDisk,
        used: Bytes,
    ) -> Result {
        free_space.write(txn, &mut self.free_space)?;
        match self.item {
            Some(item) if item.used != used => {
                self.write_item(txn, groups, BlockGroupItem { used, ..item })
            }
            Some(_) | None => Ok(()),
        }
    }

    // A frame of its own, which is gone when the free space tree is written.
    #[inline(never)]
    fn write_item(&mut self, txn: &dyn Allocate, groups: &Tree, item: BlockGroupItem) -> Result {
        groups
            .update(txn, &self.key, |bytes| item.write_to(bytes))?
            .map_err(Bug::report)?;
        self.item = Some(item);
        Ok(())
    }
}
