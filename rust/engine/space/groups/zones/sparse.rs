// SPDX-License-Identifier: GPL-2.0
//! Groups on sequential zones in which little is left: what is there is worth copying elsewhere, for the zones then can be
//! written again.

use super::finishing::{close_rest, is_full, GivenUp};
use crate::disk::{Bytes, Logical};
use crate::space::free::policy::FreeSpace;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::{Body, Group, Tried};
use crate::space::reserve::{Tally, Totals};
use crate::space::write_order::{Closing, DataGroup};
use crate::space::Class;
use core::sync::atomic::Ordering;
use kernel::sync::Arc;
use latch::prelude::*;

/// When groups are to be emptied, which is how badly zones are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// More is dead than can still be written: groups are worth it in which three quarters are dead.
    Soon,
    /// Somebody is about to be refused: whatever the global reserve can pay for is worth it.
    Now,
}

/// A group that is to be emptied (C: `btrfs_reclaim_bgs`), full but for a short rest. What is in it stays where it is until
/// whoever has this moves it.
pub struct Sparse {
    group: Arc<Group>,
    /// How often its zones had been reset.
    resets: u64,
    /// How many transactions had become durable when it was found.
    commits: u64,
}

/// What is in use of a group when all was rewritten that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// There is nothing to reclaim.
    Nothing,
    /// Some of it is left.
    Some,
}

impl Sparse {
    fn new(group: Arc<Group>, commits: u64) -> Self {
        let resets = group.lock().resets;
        Self {
            group,
            resets,
            commits,
        }
    }

    /// Where the group starts.
    pub fn start(&self) -> Logical {
        self.group.start()
    }

    /// Where it ends.
    pub fn end(&self) -> Logical {
        self.group.end()
    }

    /// Bytes in use: no more of them come.
    pub fn used(&self) -> Bytes {
        self.group.lock().tally.used
    }

    /// How often its zones were reset: what was known of the group before that is over.
    pub fn resets(&self) -> u64 {
        self.group.lock().resets
    }

    /// Whether its zones are still those that were found: nobody else emptied it, and had them written anew.
    pub fn is_as_found(&self) -> bool {
        self.resets() == self.resets
    }

    /// All its blocks were rewritten that can be. What is in use still, as by a snapshot or because it cannot be read, stays:
    /// the group is not tried again before much less of it is in use, or the reason may have gone.
    pub fn tried(self) -> Remains {
        let mut body = self.group.lock();
        let used = body.tally.used;
        if body.resets == self.resets {
            body.tried = Some(Tried {
                in_use: used,
                commits: self.commits,
            });
        }
        match used {
            Bytes::ZERO => Remains::Nothing,
            _ => Remains::Some,
        }
    }
}

/// The most that a group may have in use where somebody is about to be refused. The less the global reserve holds, the more: later
/// it cannot pay for any group, and what is dead stays so.
fn most_worth(totals: &Totals, capacity: Bytes) -> Bytes {
    let global = &totals.global;
    let share = match global.held > global.size.divided_by(4).saturating_mul(3) {
        true => 4,
        false => 16,
    };
    capacity.saturating_sub(capacity.divided_by(share))
}

/// What a group of tree blocks that is worth it may have left to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing: it is full.
    None,
    /// Less than is dead in it, where the class was refused something: all else that is free may be promised.
    Short,
}

impl Rest {
    fn of(self, body: &Body) -> Bytes {
        match (self, body.as_appending()) {
            (Self::Short, Some(zones)) => {
                zones.capacity.saturating_sub(body.tally.used).divided_by(2)
            }
            _ => Bytes::ZERO,
        }
    }
}

impl BlockGroups {
    /// Does what [`crate::space::Space::next_sparse`] says.
    pub(in crate::space) fn next_sparse(&self, when: Reclaim) -> Option<Sparse> {
        if !self.volume.rules().reuses_by_reset() {
            return None;
        }
        let found = self.sparsest(when, Rest::None);
        let found = found.or_else(|| self.next_sparse_system());
        match when {
            Reclaim::Soon => found,
            Reclaim::Now => found.or_else(|| self.sparsest(when, Rest::Short)),
        }
    }

    /// Does what [`crate::space::Space::next_sparse_system`] says. A leaf of the chunk tree that is full is not written again
    /// as long as its chunks stay, and keeps the group it is in. So a group that is full is worth it while little is in use there
    /// and none is empty, however much could be made.
    pub(in crate::space) fn next_sparse_system(&self) -> Option<Sparse> {
        if !self.volume.rules().reuses_by_reset() {
            return None;
        }
        let mut best: Option<(Bytes, Arc<Group>)> = None;
        let mut from = Logical::new(0);
        while let Some(group) = self.next_in(Class::System, from) {
            from = group.end();
            let body = group.lock();
            // It is empty, or will be by a commit, unless its zones take no command.
            let is_lost = matches!(body.free_space, FreeSpace::GivenUp);
            if body.tally.used.is_zero() && body.tally.reserved.is_zero() && !is_lost {
                return None;
            }
            let found = in_use(&body, Bytes::ZERO, None);
            drop(body);
            let worth = found.filter(|&(used, capacity)| used <= capacity.divided_by(4));
            let least = |used| best.as_ref().is_none_or(|&(least, _)| used < least);
            if let Some((used, _)) = worth.filter(|&(used, _)| least(used)) {
                if self.write_order.is_quiet(group.start()) {
                    best = Some((used, group));
                }
            }
        }
        // Nothing is promised of these groups, and what they run out of cannot be refused: a chunk has its items to come.
        let kept = self.growth().of_chunk_items();
        let free = self.info(Class::System).lock().tally.free();
        let affordable = free.saturating_sub(kept).divided_by(2);
        let commits = self.commits.load(Ordering::Relaxed);
        let (_, group) = best.filter(|&(used, _)| used <= affordable)?;
        Some(Sparse::new(group, commits))
    }

    /// Does what [`crate::space::Space::commit_frees`] says.
    pub(in crate::space) fn commit_frees(&self, class: Class) -> bool {
        let mut from = Logical::new(0);
        while let Some(group) = self.next_in(class, from) {
            from = group.end();
            let body = group.lock();
            let Tally { used, pinned, .. } = body.tally;
            let freed = dead_in(&body, group.len()).saturating_add(pinned);
            let frees = match &body.free_space {
                FreeSpace::Append(_) => used.is_zero() && freed > Bytes::ZERO,
                FreeSpace::Anywhere(_) | FreeSpace::Unread(_) => true,
                FreeSpace::GivenUp => false,
            };
            if frees {
                return true;
            }
        }
        false
    }

    /// Does what [`crate::space::Space::close_sparse`] says.
    pub(in crate::space) fn close_sparse(&self, sparse: &Sparse) -> Result {
        if is_full(&sparse.group.lock()) {
            return Ok(());
        }
        match self.write_order.give_up(sparse.start())? {
            Closing::Closed => Ok(()),
            Closing::Refused => Err(ENOSPC),
        }
    }

    fn sparsest(&self, when: Reclaim, rest: Rest) -> Option<Sparse> {
        let totals = *self.info(Class::Metadata).lock();
        if rest == Rest::Short && !totals.pressed {
            return None;
        }
        let left = totals
            .tally
            .free_in_all()
            .saturating_add(totals.growth.bytes);
        // An eighth is for commits; copying a block copies some of those above it, and what describes it.
        let kept = totals.global.size.divided_by(8);
        // Another may go with the rest.
        let kept = match rest {
            Rest::None => kept,
            Rest::Short => kept.saturating_mul(2),
        };
        let affordable = totals.global.held.saturating_sub(kept);
        let affordable = affordable.divided_by(4).saturating_mul(3);
        let commits = self.commits.load(Ordering::Relaxed);
        let mut best: Option<(Bytes, Arc<Group>)> = None;
        let (mut dead, mut from) = (Bytes::ZERO, Logical::new(0));
        while let Some(group) = self.next_in(Class::Metadata, from) {
            from = group.end();
            let found = {
                let body = group.lock();
                dead = dead.saturating_add(dead_in(&body, group.len()));
                in_use(&body, rest.of(&body), None)
            };
            let Some((used, capacity)) = found else {
                continue;
            };
            let worth = match when {
                Reclaim::Soon => used <= capacity.divided_by(4),
                Reclaim::Now => used <= affordable.min(most_worth(&totals, capacity)),
            };
            let least = best.as_ref().is_none_or(|(least, _)| used < *least);
            if worth && least && self.write_order.is_quiet(group.start()) {
                best = Some((used, group));
            }
        }
        let enough = when == Reclaim::Soon && dead <= left;
        best.filter(|_| !enough)
            .map(|(_, group)| Sparse::new(group, commits))
    }

    /// Does what [`crate::space::Space::next_sparse_data`] says.
    pub(in crate::space) fn next_sparse_data(
        &self,
        when: Reclaim,
        passed: &mut KVVec<Logical>,
    ) -> Result<Option<Sparse>> {
        if !self.volume.rules().frees_whole_groups() {
            return Ok(None);
        }
        let commits = self.commits.load(Ordering::Relaxed);
        while let Some(group) = self.sparsest_data(when, commits, passed) {
            match close_rest(self, &group) {
                Ok(GivenUp::Finished) => return Ok(Some(Sparse::new(group, commits))),
                // It was promised since, or somebody writes there now.
                Ok(GivenUp::Refused) => {}
                // Its zones are not to be had, empty or not.
                Ok(GivenUp::Unfinished) => {}
                Err(error) => {
                    let start = group.start();
                    pr_warn!("block group {start}: the rest cannot be given up: {error:?}\n");
                }
            }
            passed.push(group.start(), GFP_NOFAIL)?;
        }
        Ok(None)
    }

    /// Whether empty zones of file data may become others': unless tree blocks lack some, only where there is so much that none
    /// has to be emptied for file data soon.
    pub(in crate::space) fn may_lose_data_zones(&self) -> bool {
        let tree_blocks = [Class::Metadata, Class::System];
        let is_short = || {
            tree_blocks
                .iter()
                .any(|&class| self.info(class).is_pressed())
        };
        !self.volume.rules().frees_whole_groups()
            || is_short()
            || self.least_dead_of_data(Reclaim::Soon).is_none()
    }

    /// How much must be dead, by [`least_dead`].
    fn least_dead_of_data(&self, when: Reclaim) -> Option<u64> {
        let totals = *self.info(Class::Data).lock();
        let growth = totals.growth.bytes;
        let all = self.read().capacity(Class::Data).saturating_add(growth);
        let left = totals.tally.free_in_all().saturating_add(growth);
        least_dead(when, left, all)
    }

    fn sparsest_data(&self, when: Reclaim, commits: u64, passed: &[Logical]) -> Option<Arc<Group>> {
        let least = self.least_dead_of_data(when)?;
        let movable = self.info(Class::Data).lock().movable();
        let mut best: Option<(Bytes, Arc<Group>)> = None;
        let mut from = Logical::new(0);
        while let Some(group) = self.next_in(Class::Data, from) {
            from = group.end();
            if passed.contains(&group.start()) {
                continue;
            }
            let Some((used, capacity)) = in_use_of_data(&group, when, commits) else {
                continue;
            };
            let dead = capacity.saturating_sub(used);
            let worth =
                used <= movable && dead.saturating_mul(SHARES) >= capacity.saturating_mul(least);
            if worth && best.as_ref().is_none_or(|(most, _)| dead > *most) {
                best = Some((dead, group));
            }
        }
        best.map(|(_, group)| group)
    }
}

/// Parts that a group of file data is counted in.
const SHARES: u64 = 64;

/// How many [`SHARES`] of a group of file data have to be dead for it to be worth emptying, where `left` of `all` bytes can
/// still be written. `None`: that is enough. The less there is, the more is written to gain some.
fn least_dead(when: Reclaim, left: Bytes, all: Bytes) -> Option<u64> {
    match when {
        Reclaim::Now => Some(SHARES / 16),
        Reclaim::Soon if left < all.divided_by(8) => Some(SHARES / 4),
        Reclaim::Soon if left < all.divided_by(4) => Some(SHARES / 2),
        Reclaim::Soon => None,
    }
}

/// Bytes that a reset would make free: not those by which the zones hold less than they are long.
pub(in crate::space) fn dead_in(body: &Body, len: Bytes) -> Bytes {
    let never = len.saturating_sub(body.free_space.capacity(len));
    body.tally.unusable.saturating_sub(never)
}

/// Behind how many commits a group that was tried is looked at again, where somebody is about to be refused: what kept it, as a
/// leaf that a snapshot had, too, or a read that failed once, may be over with as much of it in use.
const LOOK_AGAIN: u64 = 64;

/// Bytes in use, and what the zones hold, of a group that is full but for a `rest`, and was not tried as it is, or so long ago
/// that it is worth another look behind as many `commits` as there were.
fn in_use(body: &Body, rest: Bytes, commits: Option<u64>) -> Option<(Bytes, Bytes)> {
    let appending = body.as_appending()?;
    let used = body.tally.used;
    // To try costs reading all that is in use, which must not come again with each block that goes.
    let is_news = body.tried.is_none_or(|tried| {
        let is_long_ago = |commits: u64| commits.saturating_sub(tried.commits) >= LOOK_AGAIN;
        used < tried.in_use.saturating_sub(tried.in_use.divided_by(4))
            || commits.is_some_and(is_long_ago)
    });
    let eligible = used > Bytes::ZERO && is_news && appending.free() <= rest;
    eligible.then_some((used, appending.capacity))
}

/// Gives what [`in_use`] does, of a group of file data, if the trees know all that is in it. Pieces do not end where zones do: a short rest does
/// not count, if nobody was promised that.
fn in_use_of_data(group: &Group, when: Reclaim, commits: u64) -> Option<(Bytes, Bytes)> {
    let found = {
        let body = group.lock();
        let is_known = body.under_way.is_zero() && body.tally.reserved.is_zero();
        let rest = body.as_appending()?.capacity.divided_by(SHARES);
        in_use(&body, rest, (when == Reclaim::Now).then_some(commits)).filter(|_| is_known)?
    };
    (is_full(&group.lock()) || group.spare().is_some()).then_some(found)
}
