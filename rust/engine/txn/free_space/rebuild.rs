// SPDX-License-Identifier: GPL-2.0
//! The free space tree before anything else is changed: one that is wanted is made, one that is not valid made anew, and one
//! that is not wanted given up.
//!
//! It takes many transactions. The superblock says that the tree is not valid in the first, and that it is, or that there is none,
//! in the last: when the power is cut in between, whoever mounts next makes the tree anew from the extent tree, as C does.

use super::caches;
use crate::btree::Tree;
use crate::disk::{
    Bytes, CompatRo, Flaw, Generation, Key, Kind, Logical, ObjectId, RootExtension, RootItem, Site,
    Superblock,
};
use crate::space::{Class, Reservation, Urgency};
use crate::txn::handles::context::Joined;
use crate::txn::handles::handle::Handle;
use crate::txn::handles::shared::Shared;
use crate::txn::join::Joiner;
use crate::txn::shortage;
use crate::txn::{Keep, Units};
use core::ops::ControlFlow;
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

/// What is to be done with the free space tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Task {
    /// The tree is right, or there is none and none is wanted.
    Nothing,
    /// There is none, and one is wanted.
    Make,
    /// The tree is not valid.
    MakeAnew,
    /// The tree is not believed, and not wanted.
    GiveUp,
}

impl Task {
    /// What is to be done where this is wanted. `EINVAL` where a tree that is valid would have to go; `EUCLEAN` where what is to be done
    /// with is not the tree that the superblock tells of.
    pub(in crate::txn) fn of(shared: &Shared, keep: Keep) -> Result<Self> {
        let features = shared.volume.superblock().compat_ro;
        let has_tree = features.contains(CompatRo::FREE_SPACE_TREE);
        let is_stale = features.has_stale_free_space();
        let task = match keep {
            Keep::InTree if !has_tree => Self::Make,
            Keep::InCaches | Keep::Nowhere if is_stale => Self::GiveUp,
            Keep::InCaches | Keep::Nowhere if has_tree => return Err(cannot_go()),
            _ if is_stale => Self::MakeAnew,
            _ => Self::Nothing,
        };
        match task {
            Self::Nothing => Ok(task),
            Self::Make | Self::MakeAnew | Self::GiveUp => task.by_root_item(shared),
        }
    }

    /// The task, by where the tree's root item is, if there is one. One that is not where it belongs is not the tree's: nothing is done with it.
    fn by_root_item(self, shared: &Shared) -> Result<Self> {
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
    pub(in crate::txn) fn prepare(self, shared: &Shared) -> Result {
        if self == Self::Nothing {
            return Ok(());
        }
        if let (Self::Make, Some(start)) = (self, shared.space.first_given_up()) {
            let what = "no free space tree can be made: block group contradicts itself";
            return Err(Flaw::missing(what).at(Site::BlockGroup(start)).report());
        }
        let mut next = Some(Logical::new(0));
        while let Some(from) = next {
            // With the runner locked the extent tree and what was noted of it stand still.
            let runner = shared.runner.lock();
            next = shared.space.derive_next(&runner.extents, from)?;
        }
        Ok(())
    }

    /// Does it, and commits. `ENOSPC` where there is no space for the tree, which is gone again then, and nothing is to be committed.
    pub(in crate::txn) fn perform(self, shared: &Arc<Shared>) -> Result {
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

/// Has the free space tree taken for one that is not valid by whoever writes next; in memory alone, until the first commit.
pub(in crate::txn) fn doubt(features: CompatRo, keep: Keep) -> Result<CompatRo> {
    if features.contains(CompatRo::BLOCK_GROUP_TREE) {
        // After a power cut before it is made anew C would not mount the volume at all.
        match keep {
            Keep::AsFound | Keep::InTree => pr_err!(
                "clear_cache: cannot disable free space tree with block-group-tree feature\n"
            ),
            Keep::InCaches | Keep::Nowhere => {
                pr_err!("cannot disable free-space-tree with block-group-tree feature\n");
            }
        }
        return Err(EINVAL);
    }
    Ok(features.without(CompatRo::FREE_SPACE_TREE_VALID))
}

/// A tree that is believed stays (C: `btrfs_check_options`).
#[cold]
pub(in crate::txn) fn cannot_go() -> Error {
    pr_err!("cannot disable free-space-tree\n");
    EINVAL
}

/// Reserves for the first step of what makes the tree anew. Where that is refused nothing was changed, and a tree that is still kept is
/// right.
fn first(shared: &Arc<Shared>) -> Result<Reservation> {
    reserve(shared, USUAL.units, USUAL.urgency).inspect_err(|_| {
        if shared.space.has_all_in_tree() {
            shared.volume.superblocks().update(|superblock| {
                superblock.compat_ro = superblock.compat_ro.with(CompatRo::FREE_SPACE_TREE_VALID);
            });
        }
    })
}

/// Begins a tree, which is not valid.
fn begin(shared: &Arc<Shared>) -> Result {
    // First, as it may be refused: then nothing was changed.
    let reservation = reserve(shared, USUAL.units, USUAL.urgency)?;
    // What is not kept right from now on is void in the first superblock.
    caches::stop(shared);
    let handle = Handle::enter(shared, Joiner::Starter, reservation)?;
    let begun = insert(shared, &handle);
    begun.inspect_err(|error| handle.abort(*error))?;
    shared.volume.superblocks().update(|superblock| {
        superblock.compat_ro = without_tree(superblock).with(CompatRo::FREE_SPACE_TREE);
    });
    handle.note_superblock();
    Ok(())
}

/// Makes a tree without items, and its root item.
fn insert(shared: &Shared, handle: &Handle) -> Result {
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
fn fill(shared: &Arc<Shared>, first: Option<Reservation>) -> Result {
    let tree = shared.trees.required(ObjectId::FREE_SPACE_TREE)?;
    {
        let _chunks_stay = shared.leaving.lock();
        shared.space.begin_tree(tree.clone())?;
    }
    in_steps(shared, USUAL, first, |handle| clear(&tree, handle))?;
    in_steps(shared, USUAL, None, |handle| {
        let _chunks_stay = shared.leaving.lock();
        let runner = shared.runner.lock();
        let step = shared.space.rebuild_free_space(handle, &runner.extents)?;
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

/// There is no space for the tree. With a part of it no mount that writes would get further: there is none again.
#[cold]
fn go_back(shared: &Arc<Shared>, error: Error) -> Result {
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
fn is_short(shared: &Shared, error: Error) -> bool {
    error == ENOSPC && shared.check_alive().is_ok()
}

/// Removes the tree, which is not valid, where there was no space to do more.
#[cold]
fn give_up_sparingly(shared: &Arc<Shared>) -> Result {
    // What was done has freed blocks, which can be used then, and has drawn on the global reserve, which is filled up.
    shared.commits().commit()?;
    give_up(shared, SPARING)
}

/// Removes the tree, which is not valid.
fn give_up(shared: &Arc<Shared>, pace: Pace) -> Result {
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
    let handle = Handle::enter(shared, Joiner::Starter, reservation)?;
    let removed = remove(shared, &handle, tree.as_deref());
    removed.inspect_err(|error| handle.abort(*error))?;
    drop(handle);
    shared.commits().commit()
}

/// Removes the tree, in which there is nothing, if there is one, and says so in the superblock.
fn remove(shared: &Shared, handle: &Handle, tree: Option<&Tree>) -> Result {
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
    shared: &Arc<Shared>,
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
        let handle = Handle::enter(shared, Joiner::Starter, reservation)?;
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

fn reserve(shared: &Arc<Shared>, units: Units, urgency: Urgency) -> Result<Reservation> {
    shortage::make_wanted_chunk(shared)?;
    let bytes = units.bytes(shared.store.node_size());
    shortage::reserve(shared, Class::Metadata, bytes, urgency)
}
