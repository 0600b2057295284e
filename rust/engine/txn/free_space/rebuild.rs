// SPDX-License-Identifier: GPL-2.0
//! The free space tree before anything else is changed: one that is wanted is made, one that is not valid made anew, and one
//! that is not wanted given up.
//!
//! It takes many transactions. The superblock says that the tree is not valid in the first, and that it is, or that there is none,
//! in the last: when the power is cut in between, whoever mounts next makes the tree anew from the extent tree, as C does. Where no
//! superblock may say that, as there is a block group tree, all is one transaction (`at_once`).

use super::caches;
use crate::btree::Tree;
use crate::disk::{
    Bytes, CompatRo, Flaw, Generation, Key, Kind, Logical, ObjectId, RootExtension, RootItem, Site,
    Superblock,
};
use crate::space::{Class, Reservation, Urgency};
use crate::txn::handles::context::Joined;
use crate::txn::handles::core::Core;
use crate::txn::handles::handle::Handle;
use crate::txn::join::Joiner;
use crate::txn::shortage;
use crate::txn::{Keep, Units};
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;
use kernel::sync::Arc;
use latch::prelude::*;

/// How it goes on. What a step takes beyond what it reserves, where free space is in many pieces, comes from the global
/// reserve, which each commit fills up again.
#[derive(Clone, Copy)]
struct Pace {
    /// What is reserved for one step.
    units: Units,
    urgency: Urgency,
    /// Steps of one transaction. What one frees can be used behind its commit.
    steps: u32,
}

/// It may draw on what removals do: a full volume, too, has to become one from which something can be removed.
const USUAL: Pace = Pace {
    units: Units::inserts(4),
    urgency: Urgency::Freeing,
    steps: 16,
};
/// Where that was refused: little is asked for, and not refused.
const SPARING: Pace = Pace {
    units: Units::updates(1),
    urgency: Urgency::Commit,
    steps: 1,
};
/// Items that one step removes.
const ITEMS: usize = 1024;
/// What is not changed in one transaction: all of it stays in memory until that commits.
const MOST_AT_ONCE: Bytes = Bytes::new(256 << 20);

/// What is to be done with the free space tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Task {
    /// The tree is right, or there is none and none is wanted.
    Nothing,
    /// There is none, and one is wanted.
    Make,
    /// The tree is not valid.
    MakeAnew,
    /// It is valid by the superblock, and must be so by each to come, but is not believed.
    MakeAnewAtOnce,
    /// The tree is not believed, and not wanted.
    GiveUp,
}

impl Task {
    /// Finds out what is to be done for free space to be kept as `keep` says; what [`doubt`] said is forgotten by that. `EINVAL`
    /// where a tree that is valid would have to go; `EUCLEAN` where there is a root item for it that is not that of the tree that the
    /// superblock tells of.
    pub(in crate::txn) fn of(shared: &Core, keep: Keep) -> Result<Self> {
        let features = shared.volume.superblock().compat_ro;
        let has_tree = features.contains(CompatRo::FREE_SPACE_TREE);
        let is_stale = features.has_stale_free_space();
        let is_doubted = shared.doubts_tree.swap(false, Ordering::Relaxed);
        let task = match keep {
            Keep::InTree if !has_tree => Self::Make,
            Keep::InCaches | Keep::Nowhere if is_stale => Self::GiveUp,
            Keep::InCaches | Keep::Nowhere if has_tree => return Err(cannot_go()),
            _ if is_stale => Self::MakeAnew,
            _ if is_doubted => Self::MakeAnewAtOnce,
            _ => Self::Nothing,
        };
        match task {
            Self::Nothing => Ok(task),
            _ => task.by_root_item(shared),
        }
    }

    /// The task, by where the tree's root item is, if there is one. One that is not where it belongs is not the tree's: nothing is done with it.
    fn by_root_item(self, shared: &Core) -> Result<Self> {
        let roots = shared.trees.root();
        let found = shared.trees.key_of(ObjectId::FREE_SPACE_TREE.into())?;
        match (found, self) {
            (None, Self::MakeAnew) => Ok(Self::Make),
            (None, task) => Ok(task),
            (Some(key), _) if key.offset != 0 => {
                let what = "root item of free space tree is not at offset 0";
                Err(Flaw::new(what, key.offset, 0)
                    .in_item(roots.id(), &key)
                    .report())
            }
            (Some(key), Self::Make) => {
                let what = "superblock knows of no free space tree: root item";
                Err(Flaw::new(what, 1, 0).in_item(roots.id(), &key).report())
            }
            (Some(_), task) => Ok(task),
        }
    }

    /// Has it known where all groups are free, by the extent tree: nothing is changed. What is known must not be forgotten until the
    /// task is done.
    pub(in crate::txn) fn prepare(self, shared: &Core) -> Result {
        if self == Self::Nothing {
            return Ok(());
        }
        let mut next = Some(Logical::new(0));
        while let Some(from) = next {
            // With the runner locked the extent tree and what was noted of it stand still.
            let runner = shared.runner.lock();
            next = shared.space.derive_next(&runner.extents, from)?;
        }
        // Behind that, which finds such groups.
        match shared.space.first_given_up() {
            Some(start) if self.needs_all_groups() => {
                let what = "no free space tree can be made: block group contradicts itself";
                Err(Flaw::missing(what).at(Site::BlockGroup(start)).report())
            }
            _ => Ok(()),
        }
    }

    /// Whether it is not begun where it cannot be told of a group where it is free.
    fn needs_all_groups(self) -> bool {
        matches!(self, Self::Make | Self::MakeAnewAtOnce)
    }

    /// Does it, and commits. `ENOSPC` where there is no space for the tree, which is gone again then, and nothing is to be committed.
    pub(in crate::txn) fn perform(self, shared: &Arc<Core>) -> Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Make => {
                pr_info!("creating free space tree\n");
                let made = begin(shared).and_then(|()| fill(shared, None));
                made.or_else(|error| go_back(shared, error))
            }
            Self::MakeAnew => {
                pr_info!("rebuilding free space tree\n");
                let made = first(shared).and_then(|first| fill(shared, Some(first)));
                made.or_else(|error| go_back(shared, error))
            }
            Self::MakeAnewAtOnce => {
                pr_info!("rebuilding free space tree\n");
                at_once(shared).inspect_err(|error| {
                    let errno = error.to_errno();
                    pr_err!("failed to rebuild free space tree ({errno})\n");
                })
            }
            Self::GiveUp => {
                pr_info!("disabling free space tree\n");
                give_up(shared, USUAL).or_else(|error| match is_short(shared, error) {
                    true => give_up_sparingly(shared),
                    false => Err(error),
                })
            }
        }
    }
}

/// How whoever writes next is told that the free space tree is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Doubted {
    /// These features say that it is not valid; in memory alone, until the first commit.
    InSuperblock(CompatRo),
    /// The superblock goes on to say that it is, and it is kept as it was until it is made anew: where there is a block group tree C
    /// would not mount the volume after a power cut.
    InMemory,
}

/// Has the free space tree made anew, or given up, by whoever writes next. `EINVAL` where one has to stay that is not wanted.
pub(in crate::txn) fn doubt(features: CompatRo, keep: Keep) -> Result<Doubted> {
    let is_needed = features.contains(CompatRo::BLOCK_GROUP_TREE);
    match keep {
        Keep::InCaches | Keep::Nowhere if is_needed => {
            pr_err!("cannot disable free-space-tree with block-group-tree feature\n");
            Err(EINVAL)
        }
        _ if is_needed => Ok(Doubted::InMemory),
        _ => Ok(Doubted::InSuperblock(
            features.without(CompatRo::FREE_SPACE_TREE_VALID),
        )),
    }
}

/// A tree that is believed stays (C: `btrfs_check_options`).
#[cold]
pub(in crate::txn) fn cannot_go() -> Error {
    pr_err!("cannot disable free-space-tree\n");
    EINVAL
}

/// Reserves for the first step of what makes the tree anew. Where that is refused nothing was changed, and a tree that is still kept is
/// right.
fn first(shared: &Arc<Core>) -> Result<Reservation> {
    reserve(shared, USUAL.units, USUAL.urgency).inspect_err(|_| {
        if shared.space.has_all_in_tree() {
            shared.volume.superblocks().update(|superblock| {
                superblock.compat_ro = superblock.compat_ro.with(CompatRo::FREE_SPACE_TREE_VALID);
            });
        }
    })
}

/// Makes the tree anew in one transaction, whatever is in it: each superblock leads to the one of before or to the new one. Until then
/// that of before is kept as it was, so others may commit. Nothing was changed where there is no space, or too much to be done.
fn at_once(shared: &Arc<Core>) -> Result {
    let tree = shared.trees.required(ObjectId::FREE_SPACE_TREE)?;
    let reservation = reserve_at_once(shared)?;
    let handle = Handle::join(shared, Joiner::Starter, reservation)?;
    let made = fill_at_once(shared, &tree, &handle);
    made.inspect_err(|error| handle.abort(*error))?;
    handle.commit()
}

/// Reserves for a tree that is as large as it can be, and as much again: leaves that were split are half full.
fn reserve_at_once(shared: &Arc<Core>) -> Result<Reservation> {
    let tree = shared.space.largest_tree().saturating_mul(2);
    if tree > MOST_AT_ONCE {
        pr_err!("clear_cache: too many block groups for one transaction, which a block group tree needs\n");
        return Err(EFBIG);
    }
    shortage::make_wanted_chunk(shared)?;
    let steps = USUAL.units.bytes(shared.store.node_size());
    let bytes = tree.saturating_add(steps);
    shortage::reserve(shared, Class::Metadata, bytes, USUAL.urgency)
}

fn fill_at_once(shared: &Core, tree: &Arc<Tree>, handle: &Handle) -> Result {
    {
        let _chunks_stay = shared.leaving.lock();
        shared.space.begin_tree(tree.clone())?;
    }
    while clear(tree, handle)?.is_continue() {
        handle.go_on()?;
    }
    while rebuild_one(shared, handle)?.is_continue() {
        handle.go_on()?;
    }
    Ok(())
}

/// Begins a tree, which is not valid.
fn begin(shared: &Arc<Core>) -> Result {
    // First, as it may be refused: then nothing was changed.
    let reservation = reserve(shared, USUAL.units, USUAL.urgency)?;
    // What is not kept right from now on is void in the first superblock.
    caches::stop(shared);
    let handle = Handle::join(shared, Joiner::Starter, reservation)?;
    let begun = insert(shared, &handle);
    begun.inspect_err(|error| handle.abort(*error))?;
    shared.volume.superblocks().update(|superblock| {
        superblock.compat_ro = without_tree(superblock).with(CompatRo::FREE_SPACE_TREE);
    });
    handle.note_superblock();
    Ok(())
}

/// Makes a tree without items, and its root item.
fn insert(shared: &Core, handle: &Handle) -> Result {
    let tree = Tree::create(shared.store.clone(), ObjectId::FREE_SPACE_TREE, handle)?;
    let root = tree.root_pointer();
    let never = Generation::new(0);
    let item = RootItem {
        generation: root.generation,
        root_dir: ObjectId::new(0),
        addr: root.addr,
        level: root.level,
        // The commit adds the block.
        bytes_used: Bytes::ZERO,
        last_snapshot: never,
        flags: 0,
        refs: 1,
        drop_progress: None,
        extended: Some(RootExtension::default()),
    };
    let mut bytes = [0; RootItem::SIZE];
    item.write_to(&mut bytes)?;
    let key = Key::new(ObjectId::FREE_SPACE_TREE.get(), Kind::ROOT_ITEM, 0);
    shared.trees.root().insert(handle, &key, &bytes)
}

/// Makes the tree what it should be, whatever is in it; `first` is reserved for the first step.
fn fill(shared: &Arc<Core>, first: Option<Reservation>) -> Result {
    let tree = shared.trees.required(ObjectId::FREE_SPACE_TREE)?;
    {
        let _chunks_stay = shared.leaving.lock();
        shared.space.begin_tree(tree.clone())?;
    }
    in_steps(shared, USUAL, first, |handle| clear(&tree, handle))?;
    in_steps(shared, USUAL, None, |handle| {
        let _chunks_stay = shared.leaving.lock();
        let step = rebuild_with_chunks(shared, handle)?;
        if step.is_break() {
            // In the same handle: a chunk that is made behind this is kept from the beginning.
            shared.volume.superblocks().update(|superblock| {
                superblock.compat_ro = superblock.compat_ro.with(CompatRo::FREE_SPACE_TREE_VALID);
            });
            handle.note_superblock();
        }
        Ok(step)
    })?;
    shared.commits().commit()
}

/// Makes what the tree has of the next group; whether to go on.
fn rebuild_one(shared: &Core, handle: &Handle) -> Result<ControlFlow<()>> {
    let _chunks_stay = shared.leaving.lock();
    rebuild_with_chunks(shared, handle)
}

/// Does what [`rebuild_one`] does, with the lock that keeps chunks from coming and going.
fn rebuild_with_chunks(shared: &Core, handle: &Handle) -> Result<ControlFlow<()>> {
    let runner = shared.runner.lock();
    shared.space.rebuild_free_space(handle, &runner.extents)
}

/// There is no space for the tree. With a part of it no mount that writes would get further: there is none again.
#[cold]
fn go_back(shared: &Arc<Core>, error: Error) -> Result {
    let errno = error.to_errno();
    pr_err!("failed to create free space tree ({errno})\n");
    let features = shared.volume.superblock().compat_ro;
    let may_go = features.has_stale_free_space() && !features.contains(CompatRo::BLOCK_GROUP_TREE);
    if may_go && is_short(shared, error) {
        give_up_sparingly(shared)?;
    }
    Err(error)
}

/// Whether there was no space, and nothing else went wrong.
fn is_short(shared: &Core, error: Error) -> bool {
    error == ENOSPC && shared.check_alive().is_ok()
}

/// Removes the tree, which is not valid, where there was no space to do more.
#[cold]
fn give_up_sparingly(shared: &Arc<Core>) -> Result {
    // What was done has freed blocks, which can be used then, and has drawn on the global reserve, which is filled up.
    shared.commits().commit()?;
    give_up(shared, SPARING)
}

/// Removes the tree, which is not valid.
fn give_up(shared: &Arc<Core>, pace: Pace) -> Result {
    {
        let _chunks_stay = shared.leaving.lock();
        shared.space.leave_tree()?;
    }
    let tree = shared.trees.get_optional(ObjectId::FREE_SPACE_TREE)?;
    let tree = tree.map(|tree| tree.to_arc());
    if let Some(tree) = &tree {
        in_steps(shared, pace, None, |handle| clear(tree, handle))?;
    }
    let reservation = reserve(shared, Units::updates(2), pace.urgency)?;
    let handle = Handle::join(shared, Joiner::Starter, reservation)?;
    let removed = remove(shared, &handle, tree.as_deref());
    removed.inspect_err(|error| handle.abort(*error))?;
    drop(handle);
    shared.commits().commit()
}

/// Removes the tree, in which there is nothing, if there is one, and says so in the superblock.
fn remove(shared: &Core, handle: &Handle, tree: Option<&Tree>) -> Result {
    if let Some(tree) = tree {
        let (key, _) = shared.trees.root_item(tree.id())?;
        tree.drop_empty(handle)?;
        shared.trees.root().remove(handle, &key)?;
        handle.context().transaction().forget_tree(tree.id());
        shared.trees.close(tree.id())?;
    }
    shared
        .volume
        .superblocks()
        .update(|superblock| superblock.compat_ro = without_tree(superblock));
    handle.note_superblock();
    Ok(())
}

fn without_tree(superblock: &Superblock) -> CompatRo {
    let of_tree = CompatRo::FREE_SPACE_TREE.with(CompatRo::FREE_SPACE_TREE_VALID);
    superblock.compat_ro.without(of_tree)
}

/// Removes some of all items of the tree; whether to go on.
fn clear(tree: &Tree, handle: &Handle) -> Result<ControlFlow<()>> {
    let removed = tree.remove_range(handle, &Key::MIN, &Key::MAX, ITEMS)?;
    Ok(match removed == ITEMS {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    })
}

/// Calls `step` until it says that it is done, each time in a handle of its own; for the first there may be something reserved. After
/// `ENOSPC` all trees are whole, and what is in this one nobody believes.
fn in_steps(
    shared: &Arc<Core>,
    pace: Pace,
    mut first: Option<Reservation>,
    mut step: impl FnMut(&Handle) -> Result<ControlFlow<()>>,
) -> Result {
    let mut steps = 0u32;
    loop {
        let reservation = match first.take() {
            Some(reservation) => reservation,
            None => reserve(shared, pace.units, pace.urgency)?,
        };
        let handle = Handle::join(shared, Joiner::Starter, reservation)?;
        let done = step(&handle).inspect_err(|error| {
            if *error != ENOSPC {
                handle.abort(*error);
            }
        })?;
        if done.is_break() {
            return Ok(());
        }
        drop(handle);
        steps = steps.saturating_add(1);
        if steps >= pace.steps {
            steps = 0;
            shared.commits().commit()?;
        }
    }
}

fn reserve(shared: &Arc<Core>, units: Units, urgency: Urgency) -> Result<Reservation> {
    shortage::make_wanted_chunk(shared)?;
    let bytes = units.bytes(shared.store.node_size());
    shortage::reserve(shared, Class::Metadata, bytes, urgency)
}
