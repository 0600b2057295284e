// SPDX-License-Identifier: GPL-2.0
//! The free space tree: which ranges have no extent item (C: `free-space-tree.c`).
//!
//! Each block group has a FREE_SPACE_INFO item at (start, 198, length), which counts its free ranges and names their
//! form; then either one FREE_SPACE_EXTENT at (start, 199, length) for each range, without contents, or
//! FREE_SPACE_BITMAP items at (start, 200, length), one bit for each sector, which together cover the group. A range
//! never touches the next; superblock copies count as free here.
//!
//! | module    | what it does                                              |
//! |-----------|------------------------------------------------------------|
//! | `bitmaps` | changes one range in the form of bitmaps                    |
//! | `convert` | from one form to the other                                  |
//! | `extents` | changes one range in the form of extents                    |
//! | `read`    | what it says of a group                                     |
//!
//! Neighbours: `changes` collects what to tell the tree, `writeout` tells it. The caller holds the group's items lock.

mod bitmaps;
mod convert;
mod extents;
mod read;

pub(in crate::space) use read::Unreadable;

use super::changes::{SpaceChange, SpaceChanges};
use crate::btree::{Allocate, Tree, Writer};
use crate::disk::{
    Bug, Bytes, Flaw, FreeSpaceForm, FreeSpaceInfo, Key, Kind, Logical, Site,
    FREE_SPACE_BITMAP_SIZE, ITEM_HEAD,
};
use kernel::sync::Arc;
use latch::prelude::*;

/// Bits in a bitmap item, at most.
const BITMAP_BITS: u64 = FREE_SPACE_BITMAP_SIZE as u64 * 8;
/// Bytes of an item's head in a leaf.
const HEAD_BYTES: u64 = ITEM_HEAD as u64;
/// Fewer ranges than the upper threshold by this many, and bitmaps become extents again (C does the same).
const HYSTERESIS: u64 = 100;

/// What the tree says of a group in its FREE_SPACE_INFO item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) struct Recorded {
    /// The group's first byte.
    pub(in crate::space) start: Logical,
    /// The first byte behind it.
    pub(in crate::space) end: Logical,
    /// How its free ranges are kept.
    pub(in crate::space) form: FreeSpaceForm,
    /// How many there are.
    pub(in crate::space) extent_count: u32,
}

impl Recorded {
    /// A group that is free from start to end.
    pub(in crate::space) fn all_free(start: Logical, end: Logical) -> Self {
        Self {
            start,
            end,
            form: FreeSpaceForm::Extents,
            extent_count: 1,
        }
    }

    fn len(&self) -> Bytes {
        self.end.saturating_since(self.start)
    }

    /// The key of the FREE_SPACE_INFO item.
    pub(in crate::space) fn info_key(&self) -> Key {
        Key::new(self.start.get(), Kind::FREE_SPACE_INFO, self.len().get())
    }

    /// The first key and the last that the group's ranges can have.
    fn range_keys(&self) -> (Key, Key) {
        let first = Key::new(self.start.get(), Kind::FREE_SPACE_EXTENT, 0);
        (
            first,
            Key::new(
                self.end.get().saturating_sub(1),
                Kind::FREE_SPACE_BITMAP,
                u64::MAX,
            ),
        )
    }

    fn info(&self) -> FreeSpaceInfo {
        FreeSpaceInfo {
            extent_count: self.extent_count,
            form: self.form,
        }
    }

    /// Counts free ranges that came and went.
    fn count(&mut self, delta: i32) -> Result {
        self.extent_count = self.extent_count.checked_add_signed(delta).ok_or_else(|| {
            let flaw = Flaw::missing("free space tree counts fewer ranges than it has");
            self.broken(flaw)
        })?;
        Ok(())
    }

    /// Reports that the tree contradicts what is known of the group.
    #[cold]
    pub(in crate::space) fn broken(&self, flaw: Flaw) -> Error {
        flaw.at(Site::BlockGroup(self.start)).report()
    }
}

/// The free space tree of a volume.
pub(in crate::space) struct FreeSpaceTree {
    tree: Arc<Tree>,
    sector_size: Bytes,
}

impl FreeSpaceTree {
    pub(in crate::space) fn new(tree: Arc<Tree>, sector_size: u32) -> Self {
        Self {
            tree,
            sector_size: sector_size.into(),
        }
    }

    pub(in crate::space) fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    fn sector_size(&self) -> Bytes {
        self.sector_size
    }

    /// Writes the items of a new group, all of it free.
    pub(in crate::space) fn add_group(&self, txn: &dyn Allocate, recorded: &Recorded) -> Result {
        let info = recorded.info();
        self.tree
            .insert_with(txn, &recorded.info_key(), FreeSpaceInfo::SIZE, |bytes| {
                info.write_to(bytes)
            })?
            .map_err(Bug::report)?;
        self.tree.insert(
            txn,
            &Key::new(
                recorded.start.get(),
                Kind::FREE_SPACE_EXTENT,
                recorded.len().get(),
            ),
            &[],
        )
    }

    /// Writes the items of a group of which there are none: free but for what `used` has as allocated. After an error the
    /// transaction must not commit.
    pub(in crate::space) fn add_group_without(
        &self,
        txn: &dyn Allocate,
        (start, end): (Logical, Logical),
        mut used: SpaceChanges,
    ) -> Result<Recorded> {
        let mut recorded = Recorded::all_free(start, end);
        self.add_group(txn, &recorded)?;
        // At once in the form that it will have, which takes the fewest leaves on the way.
        if used.len() as u64 > self.bitmap_threshold(&recorded) {
            self.to_bitmaps(txn, &mut recorded)?;
            self.write_info(txn, &recorded)?;
        }
        self.write(txn, &mut recorded, &mut used)?;
        Ok(recorded)
    }

    /// Removes all items of a group.
    pub(in crate::space) fn remove_group(&self, txn: &dyn Allocate, recorded: &Recorded) -> Result {
        let (_, last) = recorded.range_keys();
        remove_all(&self.tree, txn, &recorded.info_key(), &last)
    }

    // A frame of its own: a writer is large, and what converting needs is not needed meanwhile.
    #[inline(never)]
    fn apply(
        &self,
        txn: &dyn Allocate,
        recorded: &mut Recorded,
        changes: &mut SpaceChanges,
    ) -> Result {
        let mut writer = Writer::new(&self.tree, txn);
        while let Some((start, end, change)) = changes.pop_first() {
            let delta = match (recorded.form, change) {
                (FreeSpaceForm::Extents, SpaceChange::Allocated) => {
                    extents::remove(&mut writer, recorded, start, end)?
                }
                (FreeSpaceForm::Extents, SpaceChange::Freed) => {
                    extents::add(&mut writer, recorded, start, end)?
                }
                (FreeSpaceForm::Bitmaps, change) => bitmaps::change(
                    &mut writer,
                    recorded,
                    self.sector_size,
                    (start, end),
                    change,
                )?,
            };
            recorded.count(delta)?;
        }
        Ok(())
    }

    /// Tells the tree what changed. After an error the transaction must not commit.
    pub(in crate::space) fn write(
        &self,
        txn: &dyn Allocate,
        recorded: &mut Recorded,
        changes: &mut SpaceChanges,
    ) -> Result {
        let before = *recorded;
        self.apply(txn, recorded, changes)?;
        self.choose_form(txn, recorded)?;
        if *recorded == before {
            return Ok(());
        }
        self.write_info(txn, recorded)
    }

    #[inline(never)]
    fn write_info(&self, txn: &dyn Allocate, recorded: &Recorded) -> Result {
        let info = recorded.info();
        self.tree
            .update(txn, &recorded.info_key(), |bytes| info.write_to(bytes))?
            .map_err(Bug::report)
    }

    /// Converts when the other form takes clearly less space (C: `btrfs_set_free_space_tree_thresholds`).
    fn choose_form(&self, txn: &dyn Allocate, recorded: &mut Recorded) -> Result {
        let count = u64::from(recorded.extent_count);
        let upper = self.bitmap_threshold(recorded);
        match recorded.form {
            FreeSpaceForm::Extents if count > upper => self.to_bitmaps(txn, recorded),
            FreeSpaceForm::Bitmaps if count < upper.saturating_sub(HYSTERESIS) => {
                self.to_extents(txn, recorded)
            }
            FreeSpaceForm::Extents | FreeSpaceForm::Bitmaps => Ok(()),
        }
    }

    /// More ranges than this take more space as extents than as bitmaps.
    fn bitmap_threshold(&self, recorded: &Recorded) -> u64 {
        let bytes = bitmaps_bytes(recorded.len(), self.sector_size);
        bytes.get().checked_div(HEAD_BYTES).unwrap_or(0)
    }

    /// Bytes that a bitmap covers, at most.
    fn bitmap_range(&self) -> Bytes {
        bitmap_range(self.sector_size)
    }
}

/// Bytes that a bitmap covers, at most.
fn bitmap_range(sector_size: Bytes) -> Bytes {
    sector_size.saturating_mul(BITMAP_BITS)
}

/// Bytes that the bitmaps of a group of `len` bytes take in leaves.
fn bitmaps_bytes(len: Bytes, sector_size: Bytes) -> Bytes {
    let covered = bitmap_range(sector_size);
    let bitmaps = len.round_up(covered).count(covered);
    Bytes::new(HEAD_BYTES.saturating_add(FREE_SPACE_BITMAP_SIZE as u64)).saturating_mul(bitmaps)
}

/// Bytes that the items of a group of `len` bytes take in leaves, at most: beyond that extents become bitmaps.
pub(in crate::space) fn most_bytes(len: Bytes, sector_size: Bytes) -> Bytes {
    let info = HEAD_BYTES.saturating_add(FreeSpaceInfo::SIZE as u64);
    bitmaps_bytes(len, sector_size).saturating_add(Bytes::new(info))
}

/// Items removed in one call.
const BATCH: usize = 1024;

fn remove_all(tree: &Tree, txn: &dyn Allocate, first: &Key, last: &Key) -> Result {
    while tree.remove_range(txn, first, last, BATCH)? == BATCH {}
    Ok(())
}
