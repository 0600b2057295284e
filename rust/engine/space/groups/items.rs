// SPDX-License-Identifier: GPL-2.0
//! What the trees have of a block group, what they lack, and in which state its write-out is.

use crate::btree::{Allocate, Tree};
use crate::disk::{BlockGroupFlags, BlockGroupItem, Bug, Key, Kind};
use crate::map::OrdMap;
use crate::space::free::changes::Change;
use crate::space::free::on_disk::{GroupOnDisk, OnDisk};
use latch::prelude::*;

/// A block group's items: its BLOCK_GROUP_ITEM and, with that feature, its part of the free space tree.
pub(in crate::space) struct Items {
    /// Where the BLOCK_GROUP_ITEM is.
    key: Key,
    /// The BLOCK_GROUP_ITEM.
    item: BlockGroupItem,
    /// What the disk has of the group's free space.
    free_space: GroupOnDisk,
}

impl Items {
    pub(in crate::space) fn new(
        start: u64,
        len: u64,
        flags: BlockGroupFlags,
        used: u64,
        free_space: GroupOnDisk,
    ) -> Self {
        Self {
            key: Key::new(start, Kind::BLOCK_GROUP_ITEM, len),
            item: BlockGroupItem { used, flags },
            free_space,
        }
    }

    /// Notes that a range's extent item came or went.
    pub(in crate::space) fn note(&mut self, start: u64, end: u64, change: Change) -> Result {
        self.free_space.note(start, end, change)
    }

    /// Writes a new group's items.
    pub(in crate::space) fn insert(
        &self,
        txn: &dyn Allocate,
        groups: &Tree,
        free_space: &OnDisk,
    ) -> Result {
        let item = self.item;
        groups
            .insert_with(txn, &self.key, BlockGroupItem::SIZE, |bytes| {
                item.write_to(bytes)
            })?
            .map_err(Bug::report)?;
        free_space.insert(txn, &self.free_space)
    }

    /// Removes all items of the group.
    pub(in crate::space) fn remove(
        &mut self,
        txn: &dyn Allocate,
        groups: &Tree,
        free_space: &OnDisk,
    ) -> Result {
        groups.remove(txn, &self.key)?;
        free_space.remove(txn, &mut self.free_space)
    }

    /// Brings the trees up to date; `used` is what the group's item should say.
    pub(in crate::space) fn write(
        &mut self,
        txn: &dyn Allocate,
        groups: &Tree,
        free_space: &OnDisk,
        used: u64,
    ) -> Result {
        free_space.write(txn, &mut self.free_space)?;
        if used == self.item.used {
            return Ok(());
        }
        self.write_used(txn, groups, used)
    }

    // A frame of its own, which is gone when the free space tree is written.
    #[inline(never)]
    fn write_used(&mut self, txn: &dyn Allocate, groups: &Tree, used: u64) -> Result {
        let item = BlockGroupItem { used, ..self.item };
        groups
            .update(txn, &self.key, |bytes| item.write_to(bytes))?
            .map_err(Bug::report)?;
        self.item = item;
        Ok(())
    }
}

/// How far a group's write-out is. A group in none of these is clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writeout {
    /// The trees lack something.
    Dirty,
    /// Being written; nothing has changed since that began.
    Writing,
    /// Being written, and changed since.
    Redirtied,
}

/// The groups that the trees are behind of. The one place that knows a group's [`Writeout`].
pub(in crate::space) struct Writeouts {
    groups: OrdMap<u64, Writeout>,
}

impl Writeouts {
    pub(in crate::space) fn new() -> Self {
        Self {
            groups: OrdMap::new(),
        }
    }

    pub(in crate::space) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many groups are dirty or being written.
    pub(in crate::space) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The group that starts at `start` changed.
    pub(in crate::space) fn dirty(&mut self, start: u64) -> Result {
        match self.groups.get_mut(&start) {
            None => drop(self.groups.insert(start, Writeout::Dirty)?),
            Some(Writeout::Dirty | Writeout::Redirtied) => {}
            Some(state) => *state = Writeout::Redirtied,
        }
        Ok(())
    }

    /// The first dirty group at or behind `from`, which is being written from now on.
    pub(in crate::space) fn begin(&mut self, from: u64) -> Option<u64> {
        let dirty =
            |(&start, &state): (&u64, &Writeout)| (state == Writeout::Dirty).then_some(start);
        let start = self.groups.range_from(&from).find_map(dirty)?;
        if let Some(state) = self.groups.get_mut(&start) {
            *state = Writeout::Writing;
        }
        Some(start)
    }

    /// The group was written.
    pub(in crate::space) fn end(&mut self, start: u64) {
        match self.groups.get_mut(&start) {
            Some(state) if *state == Writeout::Redirtied => *state = Writeout::Dirty,
            _ => drop(self.groups.remove(&start)),
        }
    }

    /// The group could not be written.
    pub(in crate::space) fn fail(&mut self, start: u64) {
        if let Some(state) = self.groups.get_mut(&start) {
            *state = Writeout::Dirty;
        }
    }

    /// The group is gone.
    pub(in crate::space) fn forget(&mut self, start: u64) {
        self.groups.remove(&start);
    }
}
