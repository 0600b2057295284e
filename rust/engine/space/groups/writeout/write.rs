// SPDX-License-Identifier: GPL-2.0
//! Keeping the block group items and the free space tree in step with the extent tree.
//!
//! Written in two stages: txn calls [`crate::space::Space::write_dirty_groups`] once while others may still join the
//! transaction, which does most of the work, and then in the critical section, in turn with its delayed references,
//! until no group is dirty. That ends: each round only dirties the groups of tree blocks copied in the round before,
//! and no block is copied twice there, as nobody may send one ([`crate::space::Hold`]).

use super::dirty::DirtyGroups;
use crate::btree::{Allocate, Tree};
use crate::disk::{Bytes, Logical};
use crate::space::free::changes::{SpaceChange, SpaceChanges};
use crate::space::free::on_disk::{Home, OnDisk};
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::Group;
use crate::space::groups::loading::unread::Reader;
use crate::space::groups::make::new_group;
use crate::space::groups::zones::order::join_write_order;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// What the trees have of the block groups, and which of these they are behind of.
pub(in crate::space) struct Writeout {
    pub(in crate::space::groups) groups: Arc<BlockGroups>,
    /// Where the BLOCK_GROUP_ITEMs are.
    tree: Arc<Tree>,
    home: Arc<Home>,
    reader: Arc<Reader>,
    dirty: Mutex<DirtyGroups>,
    /// Whose caches are behind.
    pub(in crate::space::groups) caches: Mutex<DirtyGroups>,
}

impl Writeout {
    pub(in crate::space) fn new(
        groups: Arc<BlockGroups>,
        tree: Arc<Tree>,
        home: Arc<Home>,
        reader: Arc<Reader>,
    ) -> Result<Self> {
        Ok(Self {
            groups,
            tree,
            home,
            reader,
            dirty: Mutex::new(DirtyGroups::new(), Rank::DirtyBlockGroups)?,
            caches: Mutex::new(DirtyGroups::new(), Rank::DirtyBlockGroups)?,
        })
    }

    /// Notes that the extent item for a range of a group came or went, and counts it. Both at once for who reads where the
    /// group is free.
    pub(in crate::space) fn note(
        &self,
        group: &Group,
        (start, len): (Logical, Bytes),
        change: SpaceChange,
        count: impl FnOnce() -> Result,
    ) -> Result {
        let (start, end) = (start, start.saturating_add(len));
        let mut items = group.items.lock();
        count()?;
        items.note(start, end, change)?;
        drop(items);
        self.note_cache(group)?;
        self.dirty.lock().dirty(group.start())
    }

    /// Makes the group of the new chunk at `start`, usable at once, and inserts its items.
    pub(in crate::space) fn add(&self, txn: &dyn Allocate, start: Logical) -> Result {
        let on_disk = self.on_disk();
        let group = new_group(&self.groups, &on_disk, start)?;
        // Before the items are locked: who has the right to write waits for tree blocks, and who has those for items.
        join_write_order(&self.groups.write_order, &group)?;
        // Held from before others can find the group until its items exist: they could be asked to change them.
        let items = group.items.lock();
        self.groups.add(&group)?;
        self.groups.growth().refresh();
        items.insert(txn, &self.tree, &on_disk)?;
        self.note_cache(&group)
    }

    /// Deletes the items of a group that others cannot find any more.
    pub(in crate::space) fn remove(&self, txn: &dyn Allocate, group: &Group) -> Result {
        self.dirty.lock().forget(group.start());
        self.caches.lock().forget(group.start());
        let mut items = group.items.lock();
        items.remove(txn, &self.tree, &self.on_disk())
    }

    /// What the disk has of free space.
    pub(in crate::space::groups) fn on_disk(&self) -> Arc<OnDisk> {
        self.home.now()
    }

    /// Free space is kept in another way from now on, and of no group yet. Nobody makes or removes chunks meanwhile.
    pub(super) fn move_to(&self, on_disk: OnDisk) -> Result {
        self.home.move_to(Arc::new(on_disk, GFP_NOFAIL)?);
        // Who has asked before has a group's items locked.
        let mut from = Logical::new(0);
        loop {
            let next = self.groups.read().reaching_beyond(from).cloned();
            let Some(group) = next else { return Ok(()) };
            group.items.lock().leave_disk();
            from = group.end();
        }
    }

    /// Begins to keep a group's free space on disk, by the extents that `used` finds.
    pub(in crate::space::groups) fn keep_free(
        &self,
        txn: &dyn Allocate,
        group: &Group,
        used: impl FnOnce() -> Result<SpaceChanges>,
    ) -> Result {
        // Held while the extents are looked at: what comes and goes is noted under it.
        let mut items = group.items.lock();
        items.keep_free(txn, &self.on_disk(), used()?)
    }

    /// Whether a group's items in the trees are behind.
    pub(in crate::space) fn has_dirty(&self) -> bool {
        !self.dirty.lock().is_empty()
    }

    /// Does what [`crate::space::Space::write_dirty_groups`] says.
    pub(in crate::space) fn write_dirty(&self, txn: &dyn Allocate) -> Result<usize> {
        let mut from = Logical::new(0);
        let mut written = 0usize;
        loop {
            let next = self.dirty.lock().begin(from);
            let Some(start) = next else {
                return Ok(written);
            };
            // No items are locked. Each group takes tree blocks, which only come from what was read.
            let read = self.reader.read_wanted();
            let result = read.and_then(|()| self.write_group(txn, start));
            let mut writeouts = self.dirty.lock();
            match result {
                Ok(()) => drop(writeouts.end(start)),
                Err(error) => {
                    writeouts.fail(start);
                    return Err(error);
                }
            }
            written = written.saturating_add(1);
            from = start.saturating_add(Bytes::new(1));
        }
    }

    fn write_group(&self, txn: &dyn Allocate, start: Logical) -> Result {
        let Some(group) = self.groups.at(start) else {
            return Ok(());
        };
        let mut items = group.items.lock();
        let used = group.lock().tally.used;
        items.write(txn, &self.tree, &self.on_disk(), used)
    }
}
