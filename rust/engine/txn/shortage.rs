// SPDX-License-Identifier: GPL-2.0
//! From a shortage to space: chunks, commits, removal of empty block groups.

use super::handle::{run_refs, with_handle, Handle};
use super::reclaim::reclaim;
use super::refs::Joined;
use super::shared::Shared;
use super::Units;
use crate::disk::ObjectId;
use crate::space::{Class, Reclaim, Reservation, Shortage, Urgency};
use kernel::sync::Arc;
use latch::prelude::*;

/// What making or removing a chunk changes in metadata: device extents, device items, block group, free space. The
/// chunk tree's own blocks come from system groups.
const CHUNK_UNITS: Units = Units::inserts(8);

/// How often space is asked for in all. Others may be faster each time. Who frees space does not give up easily.
const fn attempts(urgency: Urgency) -> u32 {
    match urgency {
        Urgency::Ordinary => 12,
        Urgency::Freeing | Urgency::Commit => 100,
    }
}

/// How often block groups are removed or emptied for one reservation.
const REMOVALS: u32 = 4;

/// The trees that commits copy blocks of, whatever was reserved.
const COMMIT_TREES: [ObjectId; 6] = [
    ObjectId::EXTENT_TREE,
    ObjectId::CSUM_TREE,
    ObjectId::DEV_TREE,
    ObjectId::FREE_SPACE_TREE,
    ObjectId::BLOCK_GROUP_TREE,
    ObjectId::UUID_TREE,
];

/// What was tried against a shortage.
#[derive(Default)]
struct Tried {
    runs: u32,
    commits: u32,
    removals: u32,
    waits: u32,
}

/// Promises bytes; makes chunks and commits where that helps. The caller holds no handle. `ENOSPC`.
pub(super) fn reserve(
    shared: &Arc<Shared>,
    class: Class,
    bytes: u64,
    urgency: Urgency,
) -> Result<Reservation> {
    if urgency == Urgency::Freeing {
        if let Ok(reservation) = shared.space.reserve(class, bytes, Urgency::Ordinary) {
            return Ok(reservation);
        }
        // On zones nothing that is freed can be used at once: fill the global reserve before drawing on it.
        if reclaim(shared, Reclaim::Now)? {
            shared.commit()?;
        }
    }
    let mut tried = Tried::default();
    for _ in 0..attempts(urgency) {
        let before = shared.chunks_made();
        let shortage = match shared.space.reserve(class, bytes, urgency) {
            Ok(reservation) => return Ok(reservation),
            Err(shortage) => shortage,
        };
        let helped = match shortage {
            Shortage::NeedChunk(class) => {
                let made = in_handle(shared, |handle| {
                    shared.make_chunk(&handle.context(), class, before)
                });
                match made {
                    Err(error) if error == ENOSPC => tried.commit(shared)?,
                    made => made.map(|()| true)?,
                }
            }
            Shortage::NeedCommit if tried.run_refs(shared)? => true,
            Shortage::NeedCommit => tried.commit(shared)?,
            Shortage::Full => false,
        };
        if !helped && !tried.remove(shared)? && !tried.wait(shared, urgency) {
            return Err(ENOSPC);
        }
    }
    Err(ENOSPC)
}

impl Tried {
    /// Runs delayed references: what was set aside for them comes back.
    fn run_refs(&mut self, shared: &Arc<Shared>) -> Result<bool> {
        if self.runs > 0 {
            return Ok(false);
        }
        self.runs = 1;
        run_refs(shared)?;
        Ok(true)
    }

    /// Commits, for the second time only if others may have taken what the first gave.
    fn commit(&mut self, shared: &Shared) -> Result<bool> {
        if self.commits >= 2 {
            return Ok(false);
        }
        self.commits = self.commits.saturating_add(1);
        shared.commit()?;
        Ok(true)
    }

    /// Waits for somebody to give a reservation back: one that asks for little at a time may be kept from it by many
    /// handles that hold much. What can fail does not wait long.
    fn wait(&mut self, shared: &Shared, urgency: Urgency) -> bool {
        if urgency == Urgency::Ordinary && self.waits >= 3 {
            return false;
        }
        self.waits = self.waits.saturating_add(1);
        self.commits = 0;
        shared.wait_for_leaver()
    }

    /// Removes empty block groups, whose device ranges other classes can use after a commit. If there are none, empties
    /// one: its zones are reset by the commit. One may not be enough.
    fn remove(&mut self, shared: &Arc<Shared>) -> Result<bool> {
        if self.removals >= REMOVALS {
            return Ok(false);
        }
        self.removals = self.removals.saturating_add(1);
        if remove_unused(shared)? == 0 && !reclaim(shared, Reclaim::Now)? {
            return Ok(false);
        }
        shared.commit()?;
        Ok(true)
    }
}

/// Makes the chunk that should be made before anybody runs short, if there is one. Not to be able to is no error.
pub(super) fn make_wanted_chunk(shared: &Arc<Shared>) -> Result {
    let before = shared.chunks_made();
    let Some(class) = shared.space.chunk_wanted() else {
        return Ok(());
    };
    match in_handle(shared, |handle| {
        shared.make_chunk(&handle.context(), class, before)
    }) {
        Err(error) if error == ENOSPC => Ok(()),
        made => made,
    }
}

/// Removes empty block groups; how many.
pub(super) fn remove_unused(shared: &Arc<Shared>) -> Result<usize> {
    let mut removed = 0usize;
    while let Some(removal) = shared.space.next_unused() {
        in_handle(shared, |handle| {
            let done = shared.remove_chunk(&handle.context(), removal);
            done.inspect_err(|error| handle.abort(*error))
        })?;
        removed = removed.saturating_add(1);
    }
    Ok(removed)
}

/// Runs `work` with a handle that may use up the global reserve: what it does gives space.
fn in_handle(shared: &Arc<Shared>, work: impl FnOnce(&Handle) -> Result) -> Result {
    with_handle(shared, CHUNK_UNITS, Urgency::Commit, work)
}

impl Shared {
    /// Tells how much commits may need, from how large their trees are now.
    pub(super) fn size_global_reserve(&self) -> Result {
        let mut bytes = 0u64;
        let mut trees = 1u32;
        for id in COMMIT_TREES {
            let used = self.trees.used(id)?;
            bytes = bytes.saturating_add(used);
            trees = trees.saturating_add(u32::from(used > 0));
        }
        self.space.size_global_reserve(bytes, trees);
        Ok(())
    }
}
