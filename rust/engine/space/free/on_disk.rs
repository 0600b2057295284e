// SPDX-License-Identifier: GPL-2.0
//! Where the disk has what is free, for the next mount.

use super::cache::{Cache, Keeper};
use super::changes::{SpaceChange, SpaceChanges};
use super::ranges::FreeRanges;
use super::tree::{FreeSpaceTree, Recorded, Unreadable};
use crate::btree::{Allocate, Tree};
use crate::disk::{Bytes, Logical, Site};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Rank, RwLock};

/// The address behind all groups.
const BEHIND_ALL: Logical = Logical::new(u64::MAX);

/// Where a volume keeps what is free in its block groups.
pub(in crate::space) enum OnDisk {
    /// The free space tree has it, of the groups that are kept in it.
    Tree(FreeSpaceTree, Kept),
    /// A cache of each group has it, or is void. All of it is in memory from the mount on.
    Caches(Keeper),
    /// Nothing has it: a mount reads the whole extent tree.
    Nowhere,
}

/// Which [`OnDisk`] it is now. It changes before a mount's first write, when the volume is to keep its free space in another
/// way: then nothing is behind, or what is does not matter any more.
pub(in crate::space) struct Home(RwLock<Arc<OnDisk>>);

impl Home {
    pub(in crate::space) fn new(on_disk: OnDisk) -> Result<Self> {
        let now = Arc::new(on_disk, GFP_NOFAIL)?;
        Ok(Self(RwLock::new(now, Rank::FreeSpaceHome)?))
    }

    /// Which it is. Who asks with a group's items locked, or with chunks, finds what holds as long as those are.
    pub(in crate::space) fn now(&self) -> Arc<OnDisk> {
        self.0.read().clone()
    }

    /// Which it is, unless it is just changing. It waits for nobody.
    pub(in crate::space) fn try_now(&self) -> Option<Arc<OnDisk>> {
        Some(self.0.try_read()?.clone())
    }

    pub(in crate::space) fn move_to(&self, on_disk: Arc<OnDisk>) {
        *self.0.write() = on_disk;
    }
}

/// Which groups are kept in a free space tree: all, or while it is made anew those before the one whose turn is next. Of the
/// others nothing is kept, those included that are made meanwhile: all have their turn.
pub(in crate::space) struct Kept {
    /// Where the first group begins that is not.
    before: AtomicU64,
}

/// What the disk has of the free space of one block group, and what it lacks.
pub(in crate::space) enum GroupOnDisk {
    /// The group's part of the free space tree.
    Tree(Part),
    /// The group's cache.
    Cache(KBox<Cache>),
    /// Nothing is kept.
    Nowhere,
}

/// What the free space tree has of one block group.
pub(in crate::space) struct Part {
    /// The group's first byte and the first one behind it.
    span: (Logical, Logical),
    /// What the tree says of it, once that was read.
    recorded: Option<Recorded>,
    /// What happened since it was written.
    changes: SpaceChanges,
}

impl OnDisk {
    /// What is free is in `tree`, of the groups that are `kept`.
    pub(in crate::space) fn in_tree(tree: Arc<Tree>, sector_size: u32, kept: Kept) -> Self {
        Self::Tree(FreeSpaceTree::new(tree, sector_size), kept)
    }

    /// What is to be kept of the group `[start, end)` that is not in a tree: `free` is what has no extent item, and is no
    /// superblock copy.
    pub(in crate::space) fn cached(
        &self,
        span: (Logical, Logical),
        sector_size: Bytes,
        free: &FreeRanges,
        superblocks: Bytes,
    ) -> Result<GroupOnDisk> {
        match self {
            Self::Caches(_) => {
                let cache = Cache::new(span, sector_size, free, superblocks)?;
                Ok(GroupOnDisk::Cache(KBox::new(cache, GFP_NOFAIL)?))
            }
            Self::Tree(..) | Self::Nowhere => Ok(GroupOnDisk::Nowhere),
        }
    }

    /// Who keeps caches.
    pub(in crate::space) fn keeper(&self) -> Option<&Keeper> {
        match self {
            Self::Caches(keeper) => Some(keeper),
            Self::Tree(..) | Self::Nowhere => None,
        }
    }

    /// What is to be kept of the group `[start, end)`, of which the disk has `recorded`, if that is known.
    pub(in crate::space) fn group(
        &self,
        span: (Logical, Logical),
        recorded: Option<Recorded>,
    ) -> GroupOnDisk {
        match self {
            Self::Tree(_, kept) if kept.has(span) => GroupOnDisk::Tree(Part {
                span,
                recorded,
                changes: SpaceChanges::new(),
            }),
            Self::Tree(..) | Self::Caches(_) | Self::Nowhere => GroupOnDisk::Nowhere,
        }
    }

    /// Writes what is kept of a new group.
    pub(in crate::space) fn insert(&self, txn: &dyn Allocate, group: &GroupOnDisk) -> Result {
        match (self, group) {
            (Self::Tree(tree, _), GroupOnDisk::Tree(part)) => match &part.recorded {
                Some(recorded) => tree.add_group(txn, recorded),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Where the first group begins, or a later one, of which nothing is kept and should be.
    pub(in crate::space) fn next_to_keep(&self) -> Logical {
        match self {
            Self::Tree(_, kept) => Logical::new(kept.before.load(Ordering::Acquire)),
            Self::Caches(_) | Self::Nowhere => BEHIND_ALL,
        }
    }

    /// Whether what is free in all groups can be read again.
    pub(in crate::space) fn has_all(&self) -> bool {
        matches!(self, Self::Tree(..)) && self.next_to_keep() == BEHIND_ALL
    }

    /// All groups are kept from now on.
    pub(in crate::space) fn keep_all(&self) {
        if let Self::Tree(_, kept) = self {
            kept.until(BEHIND_ALL);
        }
    }

    /// Begins to keep the group `[start, end)`, which is free but for what `used` has as allocated, and whose turn it is.
    /// After an error the transaction must not commit.
    pub(in crate::space) fn keep(
        &self,
        txn: &dyn Allocate,
        (start, end): (Logical, Logical),
        used: SpaceChanges,
    ) -> Result<GroupOnDisk> {
        let Self::Tree(tree, kept) = self else {
            return Ok(GroupOnDisk::Nowhere);
        };
        let recorded = tree.add_group_without(txn, (start, end), used)?;
        kept.until(end);
        Ok(self.group((start, end), Some(recorded)))
    }

    /// Removes what is kept of a group, which is empty.
    pub(in crate::space) fn remove(&self, txn: &dyn Allocate, group: GroupOnDisk) -> Result {
        match (self, &group) {
            (Self::Tree(tree, _), GroupOnDisk::Tree(part)) => {
                let (start, end) = part.span;
                tree.remove_group(txn, &Recorded::all_free(start, end))
            }
            (Self::Caches(keeper), GroupOnDisk::Cache(cache)) => keeper.remove(txn, cache),
            _ => Ok(()),
        }
    }

    /// Brings what is kept of a group up to date. After an error the transaction must not commit.
    pub(in crate::space) fn write(&self, txn: &dyn Allocate, group: &mut GroupOnDisk) -> Result {
        match (self, group) {
            (Self::Tree(tree, _), GroupOnDisk::Tree(part)) if !part.changes.is_empty() => {
                let recorded = tree.recorded(part.span, &mut part.recorded)?;
                tree.write(txn, recorded, &mut part.changes)
            }
            // The pages are written when the trees are: `Writeout::write_caches`.
            (Self::Caches(keeper), GroupOnDisk::Cache(cache)) => keeper.void(txn, cache),
            _ => Ok(()),
        }
    }

    /// Puts into `ranges`, which are empty, all that has no extent item in a group.
    pub(in crate::space) fn read(
        &self,
        group: &mut GroupOnDisk,
        ranges: &mut FreeRanges,
    ) -> Result<(), Unreadable> {
        let (Self::Tree(tree, _), GroupOnDisk::Tree(part)) = (self, group) else {
            return Ok(());
        };
        let recorded = tree.recorded(part.span, &mut part.recorded)?;
        tree.read(recorded, &mut |start, end| ranges.insert(start, end))?;
        for (start, end, change) in part.changes.iter() {
            let applied = match change {
                SpaceChange::Freed => ranges.insert(start, end),
                SpaceChange::Allocated => ranges
                    .remove(start, end)
                    .map_err(|_| recorded.broken(change.contradicted(start))),
            };
            applied.map_err(Unreadable::Group)?;
        }
        Ok(())
    }
}

impl Kept {
    /// Every group is believed.
    pub(in crate::space) fn all() -> Self {
        Self {
            before: AtomicU64::new(u64::MAX),
        }
    }

    /// No group is believed: nothing that the tree says is to be.
    pub(in crate::space) fn none() -> Self {
        Self {
            before: AtomicU64::new(0),
        }
    }

    fn until(&self, end: Logical) {
        self.before.store(end.get(), Ordering::Release);
    }

    /// Whether the group `[start, end)` is. A chunk may be made over where several were that are done: one that reaches beyond
    /// them has its turn.
    fn has(&self, (_, end): (Logical, Logical)) -> bool {
        end.get() <= self.before.load(Ordering::Acquire)
    }
}

impl GroupOnDisk {
    /// Notes a change that the disk lacks.
    pub(in crate::space) fn note(
        &mut self,
        start: Logical,
        end: Logical,
        change: SpaceChange,
    ) -> Result {
        match self {
            Self::Tree(part) => part.changes.note(start, end, change),
            Self::Cache(cache) => match change {
                SpaceChange::Freed => cache.freed(start, end),
                SpaceChange::Allocated => cache.allocated(start, end).map_err(|_| {
                    let place = Site::Extent(start);
                    change.contradicted(start).at(place).report()
                }),
            },
            Self::Nowhere => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_kept_when_all_of_it_had_its_turn() {
        let kept = Kept::none();
        let has = |start, end| kept.has((Logical::new(start), Logical::new(end)));
        assert!(!has(0, 100));
        kept.until(Logical::new(200));
        assert!(has(0, 100) && has(100, 200));
        // Made where one was that is done, and beyond.
        assert!(!has(100, 300) && !has(200, 300));
        kept.until(Logical::new(300));
        assert!(has(100, 300));
        kept.until(BEHIND_ALL);
        assert!(has(100, u64::MAX));
    }
}
