// SPDX-License-Identifier: GPL-2.0
//! From a shortage to space: chunks, commits, removal of empty block groups.
//!
//! | module    | what it has                                                     |
//! |-----------|-----------------------------------------------------------------|
//! | `chunks`  | making chunks and removing empty ones                           |
//! | `reclaim` | emptying block groups whose zones hold little that is in use    |
//! | `trim`    | telling devices what is unused, on demand                       |

pub(super) mod chunks;
pub(super) mod reclaim;
mod trim;

use crate::disk::{Bytes, ObjectId};
use crate::space::{Class, NextGroup, Reclaim, Reservation, Shortage, Space, Urgency};
use crate::txn::handles::context::Joined;
use crate::txn::handles::core::Core;
use crate::txn::handles::handle::{enter_now, run_refs, Handle};
use crate::txn::join::Waited;
use crate::txn::Units;
use chunks::Made;
use kernel::sync::Arc;
use latch::prelude::*;
use reclaim::{reclaim, reclaim_chunk_tree, Outcome};

/// What making or removing a chunk changes in metadata: device extents, device items, block group, free space. The
/// chunk tree's own blocks come from system groups.
const CHUNK_UNITS: Units = Units::inserts(8);

/// How often space is asked for in all. Others may be faster each time.
const fn attempts(urgency: Urgency) -> u32 {
    match urgency {
        Urgency::Ordinary | Urgency::Promised => 12,
        // Who frees space does not give up easily.
        Urgency::Freeing | Urgency::Commit => 100,
    }
}

/// How often others may be faster at reading what is free, for one promise.
const MOST_IN_VAIN: u32 = 100;

/// What became of a promise that was asked for.
enum Answer {
    /// The promise was given.
    Given(Reservation),
    /// The promise was refused.
    Short(Shortage),
}

/// Promises bytes; has it read where they are free as long as that helps.
fn promise(shared: &Core, class: Class, bytes: Bytes, urgency: Urgency) -> Result<Answer> {
    if urgency != Urgency::Ordinary {
        // A promise that is never refused, or is drawn on the global reserve, is to be found as well.
        shared.read_free(Space::read_wanted)?;
    }
    let (mut in_vain, mut asking) = (0u32, None);
    loop {
        match shared.space.reserve(class, bytes, urgency) {
            Err(Shortage::Unread(of)) if in_vain < MOST_IN_VAIN => {
                asking.get_or_insert_with(|| shared.space.asking());
                // Where there is none any more, another has read it since.
                if shared.read_free(|space| space.read_next(of))? == NextGroup::None {
                    in_vain = in_vain.saturating_add(1);
                }
            }
            Err(shortage) => return Ok(Answer::Short(shortage)),
            Ok(reservation) => return Ok(Answer::Given(reservation)),
        }
    }
}

/// What can be done about a shortage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// Make the chunk that is missing.
    MakeChunk,
    /// Run delayed references: what was set aside for them comes back.
    RunRefs,
    /// Commit: what the transaction freed can be used then.
    Commit,
    /// Remove empty block groups, whose device ranges other classes can use after a commit. If there are none, empty
    /// one: its zones are reset by the commit.
    RemoveGroups,
    /// Wait for somebody to give a reservation back: one that asks for little at a time may be kept from it by many
    /// handles that hold much.
    Wait,
}

/// When a remedy is tried.
struct Rule {
    remedy: Remedy,
    /// Which shortages it is for.
    applies: fn(Shortage) -> bool,
    /// How often it is tried for one ordinary reservation; commits are counted from the last wait on.
    most: u32,
    /// How often it is tried for one that frees space.
    most_freeing: u32,
}

/// All remedies, in the order in which they are tried until one helped; then space is asked for again.
const REMEDIES: [Rule; 5] = [
    Rule {
        remedy: Remedy::MakeChunk,
        applies: |shortage| matches!(shortage, Shortage::NeedChunk(_)),
        most: u32::MAX,
        most_freeing: u32::MAX,
    },
    Rule {
        remedy: Remedy::RunRefs,
        applies: |shortage| matches!(shortage, Shortage::NeedCommit),
        most: 1,
        most_freeing: 1,
    },
    Rule {
        // For a chunk, too, where the device has no room for one. The second time others may have taken what the first
        // gave.
        remedy: Remedy::Commit,
        applies: |shortage| !matches!(shortage, Shortage::Full),
        most: 2,
        most_freeing: 2,
    },
    Rule {
        // One group may not be enough.
        remedy: Remedy::RemoveGroups,
        applies: |_| true,
        most: 4,
        most_freeing: 4,
    },
    Rule {
        // What can fail does not wait long.
        remedy: Remedy::Wait,
        applies: |_| true,
        most: 3,
        most_freeing: u32::MAX,
    },
];

/// What became of a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// There may be space now.
    Helped,
    /// Somebody ended a handle: there may be space, and a commit may help once more.
    OthersWentOn,
    /// There was nothing to be done.
    Nothing,
}

/// The trees that commits copy blocks of, whatever was reserved.
const COMMIT_TREES: [ObjectId; 6] = [
    ObjectId::EXTENT_TREE,
    ObjectId::CSUM_TREE,
    ObjectId::DEV_TREE,
    ObjectId::FREE_SPACE_TREE,
    ObjectId::BLOCK_GROUP_TREE,
    ObjectId::UUID_TREE,
];

/// How often each of [`REMEDIES`] was tried against one shortage.
#[derive(Default)]
struct Tried([u32; REMEDIES.len()]);

/// Promises bytes; makes chunks and commits where that helps. The caller holds no handle. `ENOSPC`; `EBUSY` where others
/// that write in place have what there is.
pub(in crate::txn) fn reserve(
    shared: &Arc<Core>,
    class: Class,
    bytes: Bytes,
    urgency: Urgency,
) -> Result<Reservation> {
    if urgency == Urgency::Freeing {
        if let Some(reservation) = spare_global(shared, class, bytes)? {
            return Ok(reservation);
        }
    }
    let mut tried = Tried::default();
    for _ in 0..attempts(urgency) {
        let before = shared.chunks_made();
        let shortage = match promise(shared, class, bytes, urgency)? {
            Answer::Given(reservation) => return Ok(reservation),
            Answer::Short(Shortage::Others) => return Err(EBUSY),
            Answer::Short(shortage) => shortage,
        };
        match tried.relieve(shared, class, shortage, before, urgency)? {
            Effect::Helped => {}
            Effect::OthersWentOn => tried.forget_commits(),
            Effect::Nothing => break,
        }
    }
    // Whoever is not there to be waited for may have given something back since it was asked.
    match promise(shared, class, bytes, urgency)? {
        Answer::Given(reservation) => Ok(reservation),
        Answer::Short(Shortage::Others) => Err(EBUSY),
        Answer::Short(_) => Err(ENOSPC),
    }
}

/// Promises metadata for `units`, as [`reserve`] does. `EROFS` where nothing can be changed.
pub(in crate::txn) fn reserve_metadata(
    shared: &Arc<Core>,
    units: Units,
    urgency: Urgency,
) -> Result<Reservation> {
    shared.check_sending()?;
    make_wanted_chunk(shared)?;
    let bytes = units.bytes(shared.store.node_size());
    reserve(shared, Class::Metadata, bytes, urgency)
}

/// Promises bytes without drawing on the global reserve, if so many are free. If not, fills that: on zones nothing that is freed
/// can be used at once.
fn spare_global(shared: &Arc<Core>, class: Class, bytes: Bytes) -> Result<Option<Reservation>> {
    if let Answer::Given(reservation) = promise(shared, class, bytes, Urgency::Ordinary)? {
        return Ok(Some(reservation));
    }
    if reclaim(shared, Reclaim::Now)? == Outcome::Emptied {
        shared.commits().commit()?;
    }
    Ok(None)
}

/// Promises metadata for what frees space and can be put off: waits for nobody to give something back. The caller holds no
/// handle. `ENOSPC`.
pub(in crate::txn) fn reserve_freeing_now(shared: &Arc<Core>, bytes: Bytes) -> Result<Reservation> {
    match spare_global(shared, Class::Metadata, bytes)? {
        Some(reservation) => Ok(reservation),
        None => reserve_now(shared, Class::Metadata, bytes, Urgency::Freeing),
    }
}

/// Promises bytes that are free, or that the next chunk has. The caller holds no handle. `ENOSPC`.
pub(in crate::txn) fn reserve_now(
    shared: &Arc<Core>,
    class: Class,
    bytes: Bytes,
    urgency: Urgency,
) -> Result<Reservation> {
    loop {
        let before = shared.chunks_made();
        let shortage = match promise(shared, class, bytes, urgency)? {
            Answer::Given(reservation) => return Ok(reservation),
            Answer::Short(shortage) => shortage,
        };
        if Remedy::MakeChunk.apply(shared, class, shortage, before)? == Effect::Nothing {
            return Err(ENOSPC);
        }
    }
}

impl Tried {
    /// Tries one remedy after the other until one helped.
    fn relieve(
        &mut self,
        shared: &Arc<Core>,
        class: Class,
        shortage: Shortage,
        before: Made,
        urgency: Urgency,
    ) -> Result<Effect> {
        for (rule, tried) in REMEDIES.iter().zip(&mut self.0) {
            let most = match urgency {
                Urgency::Ordinary | Urgency::Promised => rule.most,
                Urgency::Freeing | Urgency::Commit => rule.most_freeing,
            };
            if !(rule.applies)(shortage) || *tried >= most {
                continue;
            }
            *tried = tried.saturating_add(1);
            let effect = rule.remedy.apply(shared, class, shortage, before)?;
            if effect != Effect::Nothing {
                return Ok(effect);
            }
        }
        Ok(Effect::Nothing)
    }

    /// Lets commits be tried again.
    fn forget_commits(&mut self) {
        for (rule, tried) in REMEDIES.iter().zip(&mut self.0) {
            if rule.remedy == Remedy::Commit {
                *tried = 0;
            }
        }
    }
}

impl Remedy {
    fn apply(
        self,
        shared: &Arc<Core>,
        class: Class,
        shortage: Shortage,
        before: Made,
    ) -> Result<Effect> {
        match self {
            Self::MakeChunk => match shortage {
                Shortage::NeedChunk(class) => make_chunk(shared, class, before),
                Shortage::NeedCommit | Shortage::Others | Shortage::Full | Shortage::Unread(_) => {
                    Ok(Effect::Nothing)
                }
            },
            Self::RunRefs => run_refs(shared).map(|()| Effect::Helped),
            // On zones it takes space itself.
            Self::Commit if !commit_frees(shared, class) => Ok(Effect::Nothing),
            Self::Commit => shared.commits().commit().map(|()| Effect::Helped),
            Self::RemoveGroups => {
                if remove_unused(shared)? == 0 && reclaim(shared, Reclaim::Now)? != Outcome::Emptied
                {
                    return Ok(Effect::Nothing);
                }
                shared.commits().commit().map(|()| Effect::Helped)
            }
            Self::Wait => Ok(match shared.wait_for_leaver() {
                Waited::ForChange => Effect::OthersWentOn,
                Waited::ForNobody => Effect::Nothing,
            }),
        }
    }
}

/// Whether a commit may free something for the class. File data is no concern of it: what a commit takes is tree blocks.
fn commit_frees(shared: &Core, class: Class) -> bool {
    class == Class::Data
        || shared.leaving.lock().iter().next().is_some()
        || shared.space.commit_frees(class)
}

/// Makes a chunk, unless one was made since `before`.
fn make_chunk(shared: &Arc<Core>, class: Class, before: Made) -> Result<Effect> {
    if class == Class::Data {
        reclaim_chunk_tree(shared)?;
    }
    let made = in_handle(shared, |handle| {
        shared.chunks().make(&handle.context(), class, before)
    });
    match made {
        Err(error) if error == ENOSPC => Ok(Effect::Nothing),
        made => made.map(|()| Effect::Helped),
    }
}

/// Makes a chunk for file data. `ENOSPC`.
pub(in crate::txn) fn make_data_chunk(shared: &Arc<Core>) -> Result {
    match make_chunk(shared, Class::Data, shared.chunks_made())? {
        Effect::Nothing => Err(ENOSPC),
        Effect::Helped | Effect::OthersWentOn => Ok(()),
    }
}

/// Makes the chunk that should be made before anybody runs short, if there is one and the device has room for it.
pub(in crate::txn) fn make_wanted_chunk(shared: &Arc<Core>) -> Result {
    let before = shared.chunks_made();
    shared.read_free(Space::read_wanted)?;
    match shared.space.chunk_wanted() {
        Some(class) => make_chunk(shared, class, before).map(|_| ()),
        None => Ok(()),
    }
}

/// Removes empty block groups; how many.
pub(in crate::txn) fn remove_unused(shared: &Arc<Core>) -> Result<usize> {
    let mut removed = 0usize;
    while shared.space.has_room_for_chunk_items() {
        let Some(removal) = shared.read_free(Space::next_unused)? else {
            break;
        };
        in_handle(shared, |handle| {
            let done = shared.chunks().remove(&handle.context(), removal);
            done.inspect_err(|error| handle.abort(*error))
        })?;
        removed = removed.saturating_add(1);
    }
    Ok(removed)
}

/// Runs `work` with a handle that may use up the global reserve: what it does gives space.
fn in_handle(shared: &Arc<Core>, work: impl FnOnce(&Handle) -> Result) -> Result {
    work(&enter_now(shared, CHUNK_UNITS, Urgency::Commit)?)
}

impl Core {
    /// Tells how much commits may need, from how large their trees are now.
    pub(in crate::txn) fn size_global_reserve(&self) -> Result {
        let mut bytes = Bytes::ZERO;
        let mut trees = 1u32;
        for id in COMMIT_TREES {
            let used = self.trees.used(id)?;
            bytes = bytes.saturating_add(used);
            trees = trees.saturating_add(u32::from(used > Bytes::ZERO));
        }
        self.space.size_global_reserve(bytes, trees);
        Ok(())
    }
}
