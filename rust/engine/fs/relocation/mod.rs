// SPDX-License-Identifier: GPL-2.0
//! Moving file data out of block groups on sequential zones of which a part is dead, so that these can be written again.
//!
//! | module    | what it has                                                          |
//! |-----------|----------------------------------------------------------------------|
//! | `extents` | the data extents of a group, and who refers to them                   |
//! | `pieces`  | the items of a file that refer to an extent                           |
//! | `moving`  | moving one extent: data, checksums, and all that refers to it          |
//! | `room`    | promising space for new data, for which some may have to move           |
//!
//! Which group is worth it says [`crate::space::Space::next_sparse_data`]. What is moved is freed like anything else: the old
//! bytes stay until the commit is durable, and the zones are reset behind it. See `Documentation/relocation.md`.

mod extents;
mod moving;
mod pieces;
mod room;

use super::progress::{Moved, Seen, Vetted};
use super::FileSystem;
use crate::btree::Tree;
use crate::disk::{Bytes, Logical, ObjectId};
use crate::space::{Class, Reclaim, Relief, Remains, Sparse, Urgency};
use core::sync::atomic::Ordering;
use extents::InUse;
use latch::prelude::*;
use latch::{is_killed, MutexGuard};
use moving::{Fate, Found};

/// Extents that are looked at with one handle.
const BATCH: u32 = 32;
/// How many groups are emptied for one promise, as others may be faster each time; and how many that cannot be emptied are
/// looked at before one that can: the next call goes on behind them.
const MOST_GROUPS: u32 = 16;

/// How often others may be faster at changing an extent. What still has more items then than the extent tree counts is damaged.
const MOST_CHANGES: u32 = 8;

/// What became of a wish to empty a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relocated {
    /// A group is empty: its zones are free after the next commit.
    Emptied,
    /// There is more to do, later: time, space or memory ran out, or somebody else is at it.
    Later,
    /// No group is worth it, or none of those can be emptied.
    Nothing,
}

/// How far a walk through a group came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    /// The walk came to the group's end.
    Done,
    /// The walk ended before that: time ran out.
    Interrupted,
    /// The walk came to an extent that stays where it is.
    Stopped(Logical),
}

impl FileSystem {
    /// Moving data out of block groups.
    pub fn relocation(&self) -> Relocation<'_> {
        Relocation { fs: self }
    }
}

/// Moving data out of the block groups of a file system.
#[derive(Clone, Copy)]
pub struct Relocation<'a> {
    pub(super) fs: &'a FileSystem,
}

impl Relocation<'_> {
    /// Goes on emptying the group that is most worth it while it is `in_time`. For the edge's timer. No handle may be held.
    pub fn go_on(&self, when: Reclaim, in_time: &dyn Fn() -> bool) -> Result<Relocated> {
        match self.fs.moved.turn.try_lock() {
            Some(mut turn) => self.empty_next(&mut turn, when, in_time),
            None => Ok(Relocated::Later),
        }
    }

    /// What was moved so far.
    pub fn moved(&self) -> Moved {
        Moved {
            groups: self.fs.moved.groups.load(Ordering::Relaxed),
            bytes: Bytes::new(self.fs.moved.bytes.load(Ordering::Relaxed)),
        }
    }

    /// Calls `ask`, which was refused for want of space, once more for each group that was emptied, until it is not.
    pub(super) fn make_room<R>(&self, mut ask: impl FnMut() -> Result<R>) -> Result<R> {
        let txns = self.fs.transactions();
        if !txns.volume().rules().frees_whole_groups() {
            return Err(ENOSPC);
        }
        let may_write = || txns.volume().writes().changes_files();
        let mut is_committed = false;
        for _ in 0..MOST_GROUPS {
            // Others may go on between two groups: nobody waits for more than one of each.
            let mut turn = self.fs.moved.turn.lock();
            // Whoever had the turn before may have made enough.
            match ask() {
                Err(error) if error == ENOSPC => {}
                answered => return answered,
            }
            if is_killed() {
                return Err(EINTR);
            }
            // A remount by force keeps nobody out: what goes on behind it is what was begun, and this is more.
            if !may_write() {
                return Err(EROFS);
            }
            // What was removed just now is dead once the extent tree has it.
            txns.run_references()?;
            let done = self.empty_next(&mut turn, Reclaim::Now, &|| may_write() && !is_killed())?;
            if done != Relocated::Emptied {
                // Others may have emptied a zone, or removed all that it had: that is waited for once.
                let is_freed = txns.space().statistics().data.pinned > Bytes::ZERO;
                if !is_freed || core::mem::replace(&mut is_committed, true) {
                    return Err(ENOSPC);
                }
            }
            txns.commit()?;
        }
        ask()
    }

    fn empty_next(
        &self,
        turn: &mut MutexGuard<'_, Vetted>,
        when: Reclaim,
        in_time: &dyn Fn() -> bool,
    ) -> Result<Relocated> {
        let space = self.fs.transactions().space();
        let (mut passed, mut otherwise) = (KVVec::new(), Relocated::Nothing);
        for _ in 0..MOST_GROUPS {
            let Some(sparse) = space.next_sparse_data(when, &mut passed)? else {
                break;
            };
            match self.empty(turn, &sparse, in_time) {
                Ok(Walk::Done) => {}
                Ok(Walk::Interrupted) => return Ok(Relocated::Later),
                Ok(Walk::Stopped(at)) => self.tell(&sparse, at),
                Err(error) if error == ENOMEM => return Ok(Relocated::Later),
                // What is in another may need less, or shorter pieces.
                Err(error) if [ENOSPC, EAGAIN].contains(&error) => {
                    passed.push(sparse.start(), GFP_NOFAIL)?;
                    otherwise = Relocated::Later;
                    continue;
                }
                Err(error) => {
                    self.fs.transactions().volume().check_sending()?;
                    let start = sparse.start();
                    pr_warn!("block group {start}: data cannot be moved ({error:?})\n");
                }
            }
            turn.of = None;
            if sparse.tried() == Remains::Nothing {
                self.fs.moved.groups.fetch_add(1, Ordering::Relaxed);
                return Ok(Relocated::Emptied);
            }
        }
        Ok(otherwise)
    }

    /// Moves all that is in a group, if all of it can be moved: less would take space and free none.
    fn empty(
        &self,
        vetted: &mut Vetted,
        sparse: &Sparse,
        in_time: &dyn Fn() -> bool,
    ) -> Result<Walk> {
        let txns = self.fs.transactions();
        let extents = txns.required_tree(ObjectId::EXTENT_TREE)?;
        // So that the extent tree has all that is in the group.
        txns.run_references()?;
        let now = Some(Seen {
            group: sparse.start(),
            resets: sparse.resets(),
            snapshots: self.fs.moved.snapshots.load(Ordering::Relaxed),
        });
        if vetted.of != now {
            vetted.of = now;
            vetted.until = sparse.start();
        }
        let walk = self.vet(&extents, &mut vetted.until, sparse, in_time)?;
        if walk != Walk::Done {
            return Ok(walk);
        }
        let walk = self.move_all(&extents, sparse, in_time)?;
        txns.run_references()?;
        Ok(walk)
    }

    /// Looks whether all that is in the group from `until` on can be moved.
    fn vet(
        &self,
        extents: &Tree,
        until: &mut Logical,
        sparse: &Sparse,
        in_time: &dyn Fn() -> bool,
    ) -> Result<Walk> {
        let txns = self.fs.transactions();
        while *until < sparse.end() {
            if !in_time() {
                return Ok(Walk::Interrupted);
            }
            // Nothing is changed: no space, which is short just now.
            let handle = txns.join_with(txns.space().reserve_nothing(Class::Metadata))?;
            for _ in 0..BATCH {
                let Some(in_use) = InUse::first(extents, *until, sparse.end())? else {
                    *until = sparse.end();
                    break;
                };
                if matches!(self.holders(&handle, &in_use)?, Found::Others) {
                    return Ok(Walk::Stopped(in_use.extent.logical));
                }
                *until = in_use.end();
            }
        }
        Ok(Walk::Done)
    }

    fn move_all(
        &self,
        extents: &Tree,
        sparse: &Sparse,
        in_time: &dyn Fn() -> bool,
    ) -> Result<Walk> {
        // For all of it, at once: a group of which a part stays has cost space and frees none.
        let txns = self.fs.transactions();
        let space = txns.reserve_data_now(sparse.used(), Urgency::Freeing)?;
        let mut buf = KVVec::new();
        let (mut from, mut changes) = (sparse.start(), 0_u32);
        while sparse.is_as_found() {
            let Some(in_use) = InUse::first(extents, from, sparse.end())? else {
                break;
            };
            if !in_time() {
                return Ok(Walk::Interrupted);
            }
            match self.move_extent(extents, &in_use, &space, &mut buf)? {
                Fate::Moved(bytes) => {
                    self.fs
                        .moved
                        .bytes
                        .fetch_add(bytes.get(), Ordering::Relaxed);
                }
                Fate::Gone => {}
                Fate::Changed if changes < MOST_CHANGES => {
                    changes = changes.saturating_add(1);
                    txns.run_references()?;
                    continue;
                }
                Fate::NoPlace => {
                    txns.make_data_chunk()?;
                    continue;
                }
                Fate::NoZone(ended) => {
                    self.make_zone_active(ended)?;
                    continue;
                }
                Fate::Stays | Fate::Changed => return Ok(Walk::Stopped(in_use.extent.logical)),
            }
            (from, changes) = (in_use.end(), 0);
        }
        Ok(Walk::Done)
    }

    /// Sees to it that another zone can be active, since when `ended` data writes had ended: waits for one more, or gives up
    /// what a zone has left, which is too short for what is moved. `EAGAIN` where none can be given up.
    fn make_zone_active(&self, ended: u64) -> Result {
        let space = self.fs.transactions().space();
        let relief = match self.fs.data().await_zone(ended)? {
            Relief::Given => Relief::Given,
            Relief::None => space.give_up_data_zone()?,
        };
        match relief {
            Relief::Given => Ok(()),
            Relief::None => Err(EAGAIN),
        }
    }

    /// Says once for a mount that a group keeps its zones.
    fn tell(&self, sparse: &Sparse, at: Logical) {
        if self.fs.moved.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let start = sparse.start();
        pr_warn!(
            "block group {start}: keeps its zones, as the data at {at} cannot be moved: a snapshot has them, perhaps\n"
        );
    }
}
