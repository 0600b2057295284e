// SPDX-License-Identifier: GPL-2.0

//! Where the volume keeps what is free: what the words of a mount and of a remount change, and what is refused, in C's words.

use super::{MountOptions, SpaceCacheWord};
use crate::linux::mount::{Asked, MountAccess};
use crate::linux::options::MountLog;
use engine::disk::CompatRo;
use engine::txn::Keep;
use engine::volume::Volume;
use latch::prelude::*;

/// How the volume keeps its free space.
#[derive(Clone, Copy, Debug)]
pub(in crate::vfs::mount) enum SpaceCache {
    /// The volume has a free space tree.
    Tree,
    /// The volume has cache files, the way before that.
    Old,
    /// No cache is kept.
    None,
}

/// The free space cache that C would show for the volume.
pub(in crate::vfs::mount) fn space_cache(volume: &Volume) -> SpaceCache {
    match (has_tree(volume), has_caches(volume)) {
        (true, _) => SpaceCache::Tree,
        (false, true) => SpaceCache::Old,
        (false, false) => SpaceCache::None,
    }
}

fn has_caches(volume: &Volume) -> bool {
    volume.superblock().has_caches()
}

fn has_tree(volume: &Volume) -> bool {
    let features = volume.superblock().compat_ro;
    features.contains(CompatRo::FREE_SPACE_TREE)
}

/// What a word means to the engine.
pub(in crate::vfs::mount) fn keep(word: Option<SpaceCacheWord>) -> Keep {
    match word {
        None => Keep::AsFound,
        Some(SpaceCacheWord::Tree) => Keep::InTree,
        Some(SpaceCacheWord::Old) => Keep::InCaches,
        Some(SpaceCacheWord::None) => Keep::Nowhere,
    }
}

/// Whether what the volume has of free space is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vfs::mount) enum Belief {
    /// The cache is believed.
    Believed,
    /// `clear_cache`: it is made anew.
    Cleared,
}

impl Belief {
    /// What these say.
    pub(in crate::vfs::mount) fn of(options: &MountOptions) -> Self {
        match options.clears_cache {
            true => Self::Cleared,
            false => Self::Believed,
        }
    }
}

/// Refuses what C does: a free space tree goes only where it is not believed and nothing needs it, and zones have no caches.
pub(in crate::vfs::mount) fn check(
    volume: &Volume,
    word: Option<SpaceCacheWord>,
    belief: Belief,
    log: &MountLog<'_>,
) -> Result {
    let Some(SpaceCacheWord::Old | SpaceCacheWord::None) = word else {
        return Ok(());
    };
    let format = volume.format();
    let stays = has_tree(volume) && belief == Belief::Believed;
    if stays {
        log.error(fmt!("cannot disable free-space-tree"));
    }
    let is_needed = format.compat_ro.contains(CompatRo::BLOCK_GROUP_TREE);
    if is_needed {
        log.error(fmt!(
            "cannot disable free-space-tree with block-group-tree feature"
        ));
    }
    let is_refused = !volume.rules().rewrites_in_place() && word == Some(SpaceCacheWord::Old);
    if is_refused {
        log.error(fmt!("zoned: space cache v1 is not supported"));
    }
    match stays || is_needed || is_refused {
        true => Err(EINVAL),
        false => Ok(()),
    }
}

/// What counts after a remount. `word` is what it says, or what was said before; `before` is the access that the mount had. A
/// tree is made, or goes, only where the mount becomes writable: otherwise the user is told so, and the word is forgotten (C:
/// `btrfs_reconfigure`).
pub(in crate::vfs::mount) fn of_remount(
    volume: &Volume,
    word: Option<SpaceCacheWord>,
    asked: &Asked<'_, MountOptions>,
    before: MountAccess,
) -> Result<Option<SpaceCacheWord>> {
    check(volume, word, Belief::of(asked.options), &asked.log)?;
    let has_tree = has_tree(volume);
    let wants_tree = word.map_or(has_tree, |word| word == SpaceCacheWord::Tree);
    let becomes_writable =
        before == MountAccess::ReadOnly && asked.access == MountAccess::ReadWrite;
    if becomes_writable || wants_tree == has_tree {
        return Ok(word);
    }
    asked.log.warn(fmt!(
        "remount supports changing free space tree only from RO to RW"
    ));
    Ok(match (has_tree, has_caches(volume)) {
        (true, _) => Some(SpaceCacheWord::Tree),
        (false, true) => Some(SpaceCacheWord::Old),
        (false, false) => word,
    })
}
