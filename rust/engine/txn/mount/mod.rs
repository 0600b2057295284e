// SPDX-License-Identifier: GPL-2.0
//! Mounting: from a superblock to open trees.
//!
//! `verify`: what a mount does not believe, items that contradict each other.

mod verify;

use crate::btree::{Store, Tree};
use crate::disk::{
    ChunkItem, CompatRo, DevExtent, DeviceId, Flaw, Generation, Incompat, Key, Kind, Logical,
    ObjectId, Physical, RootPointer, Site, Superblock, SuperblockBytes,
};
use crate::space::{self, Caches, ExtentTreeRead, Space};
use crate::txn::counters::Costs;
use crate::txn::free_space::rebuild::{self, Doubted};
use crate::txn::handles::core::Core;
use crate::txn::handles::leaving::Leaving;
use crate::txn::join::Joining;
use crate::txn::refs::{Layout, Metadata, Runner};
use crate::txn::roots::OpenTrees;
use crate::txn::{Access, Keep, LogTree, Options, Roots, TreeTrust};
use crate::volume::{Chunk, Volume, Writes};
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, AtomicU64};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Condvar, Mutex, Rank};
use verify::{broken, InSuperblock};

/// Where the two trees are that no root item leads to.
#[derive(Clone, Copy)]
struct Entrance {
    root: RootPointer,
    chunk: RootPointer,
    /// How long the devices were then.
    sizes: InSuperblock,
}

/// Opens all that a mounted volume needs.
pub(in crate::txn) fn open(
    volume: Arc<Volume>,
    store: Arc<dyn Store>,
    options: Options,
) -> Result<Arc<Core>> {
    choose_writes(&volume, &options)?;
    let doubted = doubt_free_space(&volume, &options)?;
    let trees = open_trees(&volume, &store, &options)?;
    set_zone_size(&volume, &trees)?;
    if volume.writes().is_possible() {
        volume.zones().check_active()?;
        verify::balance(&volume, trees.root())?;
        tell_leftovers(&trees)?;
    }
    let extents = trees.required(ObjectId::EXTENT_TREE)?;
    let checksums = trees.required(ObjectId::CSUM_TREE)?;
    let space = load_space(&volume, &trees, &extents, &options)?;
    let runner = Runner {
        extents,
        checksums,
        space: space.clone(),
        layout: layout(&volume, &store),
    };
    let committed = volume.superblock().generation;
    let shared = Core {
        volume,
        store,
        space,
        trees,
        runner: Mutex::new(runner, Rank::RefsRunner)?,
        leaving: Mutex::new(Leaving::new(), Rank::Chunks)?,
        chunks_made: AtomicU64::new(0),
        joining: Mutex::new(Joining::new(committed), Rank::Joining)?,
        moved: Condvar::new(Rank::Joining)?,
        clock: options.clock,
        costs: Mutex::new(Costs::default(), Rank::CommitCounters)?,
        refs_run: AtomicU64::new(0),
        refs_cancelled: AtomicU64::new(0),
        groups_emptied: AtomicU64::new(0),
        roots: options.roots,
        keep: options.keep,
        doubts_tree: AtomicBool::new(doubted == Some(Doubted::InMemory)),
        witness: options.witness,
    };
    if shared.volume.writes().changes_files() {
        shared.chunks().reset_stray_zones()?;
    }
    shared.size_global_reserve()?;
    Ok(Arc::new(shared, GFP_KERNEL)?)
}

/// Loads what is free, once the trees that tell of space agree with each other.
fn load_space(
    volume: &Arc<Volume>,
    trees: &OpenTrees,
    extents: &Arc<Tree>,
    options: &Options,
) -> Result<Arc<Space>> {
    let block_groups = block_group_tree(volume, trees, extents)?;
    verify::device_extents(volume, trees)?;
    verify::block_groups(volume, &block_groups)?;
    let of_space = space::Trees {
        extent: extents.clone(),
        block_groups,
        free_space: free_space_tree(volume, trees)?,
        root: trees.root().clone(),
    };
    let space_options = space::Options {
        discard: options.discard,
        write_order: options.write_order.clone(),
        caches: caches(volume, options),
        extents: when_derived(volume),
    };
    Space::load(volume.clone(), of_space, space_options)
}

/// Forbids writing where the options do, and says so where more was asked for than is possible.
fn choose_writes(volume: &Volume, options: &Options) -> Result {
    match options.access {
        Access::ReadOnly => volume.forbid_writing(),
        Access::ReadWrite if !volume.writes().is_possible() => {
            pr_warn!("the volume can only be read: mounted read-only\n");
        }
        Access::ReadWrite => {}
    }
    if volume.superblock().log_root.get() == 0 {
        return Ok(());
    }
    match (volume.writes().is_possible(), options.log_tree) {
        (false, LogTree::Ignore) => {
            pr_warn!("a log tree is ignored: what was fsynced after the last commit is not seen\n");
            Ok(())
        }
        _ => {
            pr_err!("there is a log tree to replay, which is not supported: use ro,norecovery or let C btrfs do it\n");
            Err(EROFS)
        }
    }
}

/// Opens the chunk tree, maps all chunks, opens the tree of trees.
fn open_trees(volume: &Volume, store: &Arc<dyn Store>, options: &Options) -> Result<OpenTrees> {
    let superblock = volume.superblock();
    let current = Entrance {
        root: superblock.root_pointer(),
        chunk: superblock.chunk_root_pointer(),
        sizes: InSuperblock::Current,
    };
    let opened = open_trees_at(volume, store, current);
    if opened.is_ok() || options.roots == Roots::Current {
        return opened;
    }
    let mut backups = volume.superblocks().read(SuperblockBytes::backups);
    backups.sort_unstable_by_key(|backup| core::cmp::Reverse(backup.root.generation));
    for backup in backups.iter().filter(|backup| backup.is_used()) {
        pr_warn!(
            "trying the roots of transaction {}\n",
            backup.root.generation
        );
        let at = Entrance {
            root: backup.root,
            chunk: backup.chunk,
            sizes: InSuperblock::Backup(backup.total_bytes),
        };
        if let Ok(trees) = open_trees_at(volume, store, at) {
            return forbid_beside(volume).map(|()| trees);
        }
    }
    opened
}

/// Forbids writing beside a superblock of a later time than the trees: what it says of sizes, by which chunks are made, was
/// not compared with them.
#[cold]
fn forbid_beside(volume: &Volume) -> Result {
    if volume.writes().changes_files() {
        pr_err!("backup roots can only be read: mount read-only\n");
        return Err(EROFS);
    }
    volume.forbid_writing();
    Ok(())
}

fn open_trees_at(volume: &Volume, store: &Arc<dyn Store>, at: Entrance) -> Result<OpenTrees> {
    let never = Generation::new(0);
    let chunk = Tree::open(store.clone(), ObjectId::CHUNK_TREE, at.chunk, never)?;
    map_chunks(volume, &chunk)?;
    verify::devices(volume, &chunk, at.sizes)?;
    let root = Tree::open(store.clone(), ObjectId::ROOT_TREE, at.root, never)?;
    OpenTrees::new(store.clone(), root, chunk)
}

fn map_chunks(volume: &Volume, tree: &Tree) -> Result {
    let all = |offset| ChunkItem::key(Logical::new(offset));
    tree.scan(all(0)..=all(u64::MAX), |key, bytes| {
        let item = ChunkItem::parse(bytes).map_err(|flaw| broken(tree, &key, flaw))?;
        volume.add_chunk(Chunk::from_item(Logical::new(key.offset), &item)?)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// On a device without zones those of a zoned volume are as long as any of its device extents.
fn set_zone_size(volume: &Volume, trees: &OpenTrees) -> Result {
    if !volume.zones().lack_size() {
        return Ok(());
    }
    let tree = trees.required(ObjectId::DEV_TREE)?;
    let first = DevExtent::key(DeviceId::new(1), Physical::new(0));
    let found = tree.ceiling(&first, |key, bytes| {
        DevExtent::parse(&key, bytes).map_err(|flaw| broken(&tree, &key, flaw))
    })?;
    let extent = found.ok_or_else(|| {
        let flaw = Flaw::missing("device tree has no extent");
        flaw.at(Site::Tree(ObjectId::DEV_TREE.into())).report()
    })??;
    volume.zones().set_emulated_size(extent.len)
}

/// Tells what is in the trees and not kept up to date here.
fn tell_leftovers(trees: &OpenTrees) -> Result {
    if trees.get_optional(ObjectId::QUOTA_TREE)?.is_some() {
        // `quotas::mark` says so on disk.
        pr_warn!(
            "quotas are not kept up to date: rescan them when the volume is mounted by C btrfs\n"
        );
    }
    let orphan = |offset| Key::new(ObjectId::ORPHAN.get(), Kind::ORPHAN_ITEM, offset);
    let mut count = 0u32;
    trees.root().scan(orphan(0)..=orphan(u64::MAX), |_, _| {
        count = count.saturating_add(1);
        Ok(ControlFlow::Continue(()))
    })?;
    if count > 0 {
        pr_info!(
            "{} deleted subvolumes are left for C btrfs to clean up\n",
            count
        );
    }
    Ok(())
}

fn layout(volume: &Volume, store: &Arc<dyn Store>) -> Layout {
    let format = volume.format();
    let metadata = match format.incompat.contains(Incompat::SKINNY_METADATA) {
        true => Metadata::Skinny,
        false => Metadata::Full,
    };
    Layout {
        node_size: store.node_size(),
        metadata,
        sector_size: format.sector_size,
        checksum_len: format.checksum.size(),
    }
}

fn block_group_tree(volume: &Volume, trees: &OpenTrees, extents: &Arc<Tree>) -> Result<Arc<Tree>> {
    match volume
        .format()
        .compat_ro
        .contains(CompatRo::BLOCK_GROUP_TREE)
    {
        true => trees.required(ObjectId::BLOCK_GROUP_TREE),
        false => Ok(extents.clone()),
    }
}

/// Doubts a free space tree that is not to be believed, where the volume is written from the mount on; `None` where nothing is
/// doubted. One that is believed stays: `EINVAL` where it is not wanted.
fn doubt_free_space(volume: &Volume, options: &Options) -> Result<Option<Doubted>> {
    let features = volume.superblock().compat_ro;
    let stays = matches!(options.keep, Keep::AsFound | Keep::InTree);
    match options.free_space {
        TreeTrust::Believed if stays || !features.contains(CompatRo::FREE_SPACE_TREE) => Ok(None),
        TreeTrust::Believed => Err(rebuild::cannot_go()),
        TreeTrust::Doubted => {
            let is_written = volume.writes().changes_files();
            let doubted = rebuild::doubt(features, options.keep)?;
            if let (true, Doubted::InSuperblock(features)) = (is_written, doubted) {
                let set = |superblock: &mut Superblock| superblock.compat_ro = features;
                volume.superblocks().update(set);
            }
            Ok(is_written.then_some(doubted))
        }
    }
}

/// Whether free space caches are kept, and whether those that are there are believed, until each has been looked at. A tree that is
/// made or goes makes no difference until writing begins.
fn caches(volume: &Volume, options: &Options) -> Caches {
    let (superblock, format) = (volume.superblock(), volume.format());
    let features = superblock.compat_ro;
    let has_tree = match (volume.writes().changes_files(), options.keep) {
        (true, Keep::InTree) => true,
        (true, Keep::InCaches) => false,
        _ => features.contains(CompatRo::FREE_SPACE_TREE),
    };
    let can_be = !has_tree
        && !features.contains(CompatRo::BLOCK_GROUP_TREE)
        && volume.rules().rewrites_in_place()
        && format.sector_size == 4096;
    let is_wanted = match options.keep {
        Keep::AsFound | Keep::InTree => superblock.cache_generation != 0,
        Keep::InCaches => true,
        Keep::Nowhere => false,
    };
    if !can_be || !is_wanted || !volume.writes().is_possible() {
        return Caches::NotKept;
    }
    match options.free_space {
        TreeTrust::Doubted => Caches::MadeAnew,
        TreeTrust::Believed => believed(&superblock),
    }
}

/// Whether the superblock lets caches be believed: those that are behind it are not.
fn believed(superblock: &Superblock) -> Caches {
    let (of_caches, now) = (superblock.cache_generation, superblock.generation.get());
    if of_caches == now {
        return Caches::Believed;
    }
    if of_caches != 0 {
        let what = "the superblock has another generation of them";
        let flaw = Flaw::new(what, of_caches, now);
        pr_debug!("no free space cache is believed: {flaw}\n");
    }
    Caches::MadeAnew
}

fn free_space_tree(volume: &Volume, trees: &OpenTrees) -> Result<Option<Arc<Tree>>> {
    let features = volume.superblock().compat_ro;
    // One that is not valid is made anew, or given up, by who writes.
    match features.contains(CompatRo::FREE_SPACE_TREE) && !features.has_stale_free_space() {
        true => trees.required(ObjectId::FREE_SPACE_TREE).map(Some),
        false => Ok(None),
    }
}

/// Where a free space tree is not valid, who only reads does not need to know what is free.
fn when_derived(volume: &Volume) -> ExtentTreeRead {
    let is_stale = volume.superblock().compat_ro.has_stale_free_space();
    match is_stale && volume.writes() == Writes::Later {
        true => ExtentTreeRead::Later,
        false => ExtentTreeRead::AtMount,
    }
}
