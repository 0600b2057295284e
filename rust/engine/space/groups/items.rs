// SPDX-License-Identifier: GPL-2.0
//! What the trees have of a block group, what they lack, and in which state its write-out is.

use crate::btree::{Allocate, Tree};
use crate::disk::raw::RawBlockGroup;
use crate::disk::{BlockGroupFlags, Key, Kind, ObjectId};
use crate::map::OrdMap;
use crate::space::free::changes::{Change, Changes};
use crate::space::free::tree::{FreeSpaceTree, Recorded};
use latch::prelude::*;

/// A block group's items: its BLOCK_GROUP_ITEM and, with that feature, its part of the free space tree.
pub(in crate::space) struct Items {
    /// Where the BLOCK_GROUP_ITEM is.
    key: Key,
    flags: BlockGroupFlags,
    /// The `used` that the BLOCK_GROUP_ITEM has.
    used: u64,
    /// What the free space tree has; `None` without one.
    recorded: Option<Recorded>,
    /// What it lacks.
    changes: Changes,
}

impl Items {
    pub(in crate::space) fn new(
        start: u64,
        len: u64,
        flags: BlockGroupFlags,
        used: u64,
        recorded: Option<Recorded>,
    ) -> Self {
        let key = Key::new(start, Kind::BLOCK_GROUP_ITEM, len);
        Self {
            key,
            flags,
            used,
            recorded,
            changes: Changes::new(),
        }
    }

    /// Notes that a range's extent item came or went.
    pub(in crate::space) fn note(&mut self, start: u64, end: u64, change: Change) -> Result {
        match self.recorded {
            Some(_) => self.changes.note(start, end, change),
            None => Ok(()),
        }
    }

    /// Writes a new group's items.
    pub(in crate::space) fn insert(
        &self,
        txn: &dyn Allocate,
        groups: &Tree,
        free_space: Option<&FreeSpaceTree>,
    ) -> Result {
        let item = RawBlockGroup {
            used: self.used.into(),
            chunk_objectid: ObjectId::FIRST_CHUNK_TREE.get().into(),
            flags: self.flags.get().into(),
        };
        groups.insert(txn, &self.key, item.as_bytes())?;
        match (free_space, &self.recorded) {
            (Some(tree), Some(recorded)) => tree.add_group(txn, recorded),
            _ => Ok(()),
        }
    }

    /// Removes all items of the group.
    pub(in crate::space) fn remove(
        &mut self,
        txn: &dyn Allocate,
        groups: &Tree,
        free_space: Option<&FreeSpaceTree>,
    ) -> Result {
        groups.remove(txn, &self.key)?;
        self.changes = Changes::new();
        match (free_space, &self.recorded) {
            (Some(tree), Some(recorded)) => tree.remove_group(txn, recorded),
            _ => Ok(()),
        }
    }

    /// Brings the trees up to date; `used` is what the group's item should say.
    pub(in crate::space) fn write(
        &mut self,
        txn: &dyn Allocate,
        groups: &Tree,
        free_space: Option<&FreeSpaceTree>,
        used: u64,
    ) -> Result {
        if let (Some(tree), Some(recorded)) = (free_space, &mut self.recorded) {
            if !self.changes.is_empty() {
                tree.write(txn, recorded, &mut self.changes)?;
            }
        }
        if used == self.used {
            return Ok(());
        }
        self.write_used(txn, groups, used)
    }

    // A frame of its own, which is gone when the free space tree is written.
    #[inline(never)]
    fn write_used(&mut self, txn: &dyn Allocate, groups: &Tree, used: u64) -> Result {
        groups.update(txn, &self.key, |bytes| {
            let (item, _) = RawBlockGroup::mut_from_prefix(bytes).map_err(|_| EUCLEAN)?;
            item.used.set(used);
            Ok::<(), Error>(())
        })??;
        self.used = used;
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
