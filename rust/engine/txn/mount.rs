// SPDX-License-Identifier: GPL-2.0
//! Mounting: from a superblock to open trees.

use super::chunks::Chunks;
use super::join::Gate;
use super::refs::{Layout, Metadata, Runner};
use super::roots::Registry;
use super::shared::Shared;
use super::{Access, Counters, LogTree, Options, Roots};
use crate::btree::{RootPointer, Store, Tree};
use crate::disk::raw::{RawChunk, RawDevExtent, RawDevItem, RawRootBackup, RawStripe};
use crate::disk::{
    BlockGroupFlags, CompatRo, Generation, Incompat, Key, Kind, Logical, ObjectId, Physical,
};
use crate::space::{self, Space};
use crate::volume::{self, Chunk, Stripe, Volume};
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, AtomicU64};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Condvar, Mutex, Rank};
use zerocopy::FromBytes;

/// Where the two trees are that no root item leads to.
#[derive(Clone, Copy)]
struct Entrance {
    root: RootPointer,
    chunk: RootPointer,
}

/// Opens all that a mounted volume needs.
pub(super) fn open(
    volume: Arc<Volume>,
    store: Arc<dyn Store>,
    options: Options,
) -> Result<Arc<Shared>> {
    let access = settle_access(&volume, &options)?;
    let registry = enter(&volume, &store, &options)?;
    settle_zones(&volume, &registry)?;
    if access == Access::ReadWrite {
        volume.check_active_zones()?;
        tell_leftovers(&registry)?;
    }
    let runner = runner(&volume, &store, &registry)?;
    let trees = space::Trees {
        extent: runner.extents.clone(),
        block_groups: block_group_tree(&volume, &registry, &runner.extents)?,
        free_space: free_space_tree(&volume, &registry)?,
    };
    let space = Space::load(volume.clone(), trees, space_options(&options))?;
    let committed = Generation::new(volume.with_superblock(|raw| raw.generation.get()));
    let shared = Shared {
        volume,
        store,
        space,
        registry,
        access,
        runner: Mutex::new(runner, Rank::RefsRunner)?,
        chunks: Mutex::new(Chunks::new(), Rank::Chunks)?,
        chunks_made: AtomicU64::new(0),
        gate: Mutex::new(Gate::new(committed), Rank::Joining)?,
        moved: Condvar::new(Rank::Joining)?,
        clock: options.clock,
        counters: Mutex::new(Counters::default(), Rank::CommitCounters)?,
        refs_run: AtomicU64::new(0),
        refs_cancelled: AtomicU64::new(0),
        groups_emptied: AtomicU64::new(0),
        dead: AtomicBool::new(false),
        roots: options.roots,
        witness: options.witness,
    };
    if access == Access::ReadWrite {
        shared.reset_stray_zones()?;
    }
    shared.size_global_reserve()?;
    Ok(Arc::new(shared, GFP_KERNEL)?)
}

/// What can be granted of what was asked for, by the superblock alone.
fn settle_access(volume: &Volume, options: &Options) -> Result<Access> {
    let access = match (options.access, volume.access()) {
        (Access::ReadOnly, _) => Access::ReadOnly,
        (Access::ReadWrite, volume::Access::ReadOnly) => {
            pr_warn!("the volume can only be read: mounted read-only\n");
            Access::ReadOnly
        }
        (Access::ReadWrite, _) => Access::ReadWrite,
    };
    if volume.with_superblock(|raw| raw.log_root.get()) == 0 {
        return Ok(access);
    }
    match (access, options.log_tree) {
        (Access::ReadOnly, LogTree::Ignore) => {
            pr_warn!("a log tree is ignored: what was fsynced after the last commit is not seen\n");
            Ok(Access::ReadOnly)
        }
        _ => {
            pr_err!("there is a log tree to replay, which is not supported: use ro,norecovery or let C btrfs do it\n");
            Err(EROFS)
        }
    }
}

/// Opens the chunk tree, maps all chunks, opens the tree of trees.
fn enter(volume: &Volume, store: &Arc<dyn Store>, options: &Options) -> Result<Registry> {
    let current = volume.with_superblock(|raw| Entrance {
        root: pointer(raw.root.get(), raw.root_level, raw.generation.get()),
        chunk: pointer(
            raw.chunk_root.get(),
            raw.chunk_root_level,
            raw.chunk_root_generation.get(),
        ),
    });
    let entered = enter_at(volume, store, current);
    if entered.is_ok() || options.roots == Roots::Current {
        return entered;
    }
    let mut backups = volume.with_superblock(|raw| raw.backups);
    backups.sort_unstable_by_key(|backup| core::cmp::Reverse(backup.tree_root_generation.get()));
    for backup in backups
        .iter()
        .filter(|backup| backup.tree_root_generation.get() > 0)
    {
        pr_warn!(
            "trying the roots of transaction {}\n",
            backup.tree_root_generation.get()
        );
        if let Ok(registry) = enter_at(volume, store, entrance(backup)) {
            return Ok(registry);
        }
    }
    entered
}

fn entrance(backup: &RawRootBackup) -> Entrance {
    let chunk_generation = backup.chunk_root_generation.get();
    Entrance {
        root: pointer(
            backup.tree_root.get(),
            backup.tree_root_level,
            backup.tree_root_generation.get(),
        ),
        chunk: pointer(
            backup.chunk_root.get(),
            backup.chunk_root_level,
            chunk_generation,
        ),
    }
}

fn pointer(addr: u64, level: u8, generation: u64) -> RootPointer {
    RootPointer {
        addr: Logical::new(addr),
        level,
        generation: Generation::new(generation),
    }
}

fn enter_at(volume: &Volume, store: &Arc<dyn Store>, at: Entrance) -> Result<Registry> {
    let never = Generation::new(0);
    let chunk = Tree::open(store.clone(), ObjectId::CHUNK_TREE, at.chunk, never)?;
    map_chunks(volume, &chunk)?;
    check_devices(volume, &chunk)?;
    let root = Tree::open(store.clone(), ObjectId::ROOT_TREE, at.root, never)?;
    Registry::new(store.clone(), root, chunk)
}

fn map_chunks(volume: &Volume, tree: &Tree) -> Result {
    let all = |offset| Key::new(ObjectId::FIRST_CHUNK_TREE.get(), Kind::CHUNK_ITEM, offset);
    tree.scan(all(0)..=all(u64::MAX), |key, bytes| {
        volume.add_chunk(parse_chunk(Logical::new(key.offset), bytes)?)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// The gate has checked the item; what is cut short here is a bug there.
fn parse_chunk(logical: Logical, bytes: &[u8]) -> Result<Chunk> {
    let (raw, mut rest) = RawChunk::read_from_prefix(bytes).map_err(|_| EUCLEAN)?;
    let count = usize::from(raw.num_stripes.get());
    let mut stripes = KVec::with_capacity(count, GFP_KERNEL)?;
    for _ in 0..count {
        let (stripe, behind) = RawStripe::read_from_prefix(rest).map_err(|_| EUCLEAN)?;
        let at = Physical::new(stripe.offset.get());
        stripes.push(
            Stripe {
                devid: stripe.devid.get(),
                at,
                dev_uuid: stripe.dev_uuid,
            },
            GFP_KERNEL,
        )?;
        rest = behind;
    }
    let flags = BlockGroupFlags::new(raw.flags.get());
    Ok(Chunk {
        logical,
        len: raw.len.get(),
        flags,
        stripes,
    })
}

/// Compares the device items with the devices that were given.
fn check_devices(volume: &Volume, tree: &Tree) -> Result {
    let all = |offset| Key::new(ObjectId::DEV_ITEMS.get(), Kind::DEV_ITEM, offset);
    let mut known = 0usize;
    let mut total = 0u64;
    tree.scan(all(0)..=all(u64::MAX), |_, bytes| {
        let (raw, _) = RawDevItem::read_from_prefix(bytes).map_err(|_| EUCLEAN)?;
        known = known.saturating_add(1);
        total = total.saturating_add(raw.total_bytes.get());
        Ok(ControlFlow::Continue(()))
    })?;
    if known != volume.devices() {
        pr_err!(
            "the volume has {} devices, {} were given\n",
            known,
            volume.devices()
        );
        return Err(ENXIO);
    }
    let size = (0..volume.devices()).filter_map(|index| volume.device(index));
    let size = size.fold(0u64, |sum, device| sum.saturating_add(device.size()));
    if total > size {
        pr_err!(
            "the devices have {} bytes, the volume was made for {}\n",
            size,
            total
        );
        return Err(EINVAL);
    }
    Ok(())
}

/// On a device without zones those of a zoned volume are as long as any of its device extents.
fn settle_zones(volume: &Volume, registry: &Registry) -> Result {
    if !volume.is_zoned() || volume.zone_size().is_some() {
        return Ok(());
    }
    let first = Key::new(1, Kind::DEV_EXTENT, 0);
    let size = required(registry, ObjectId::DEV_TREE)?.ceiling(&first, |_, bytes| {
        RawDevExtent::read_from_prefix(bytes)
            .ok()
            .map(|(raw, _)| raw.len.get())
    })?;
    volume.set_emulated_zone_size(size.flatten().ok_or(EUCLEAN)?)
}

/// Tells what is in the trees and not kept up to date here.
fn tell_leftovers(registry: &Registry) -> Result {
    if registry.get_optional(ObjectId::QUOTA_TREE)?.is_some() {
        // Their generation falls behind the superblock's, which tells C that they are to be scanned again.
        pr_warn!(
            "quotas are not kept up to date: rescan them when the volume is mounted by C btrfs\n"
        );
    }
    let orphan = |offset| Key::new(ObjectId::ORPHAN.get(), Kind::ORPHAN_ITEM, offset);
    let mut count = 0u32;
    registry.root().scan(orphan(0)..=orphan(u64::MAX), |_, _| {
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

fn runner(volume: &Volume, store: &Arc<dyn Store>, registry: &Registry) -> Result<Runner> {
    let format = volume.format();
    let metadata = match format.incompat.contains(Incompat::SKINNY_METADATA) {
        true => Metadata::Skinny,
        false => Metadata::Full,
    };
    Ok(Runner {
        extents: required(registry, ObjectId::EXTENT_TREE)?,
        checksums: registry.get_optional(ObjectId::CSUM_TREE)?,
        layout: Layout {
            node_size: store.node_size(),
            metadata,
            sector_size: format.sector_size,
            checksum_len: format.checksum.size(),
        },
    })
}

fn space_options(options: &Options) -> space::Options {
    space::Options {
        discard: options.discard,
        write_order: options.write_order.clone(),
    }
}

/// A tree that the features say is there. To the caller `ENOENT` would mean a file.
fn required(registry: &Registry, id: ObjectId) -> Result<Arc<Tree>> {
    match registry.get(id) {
        Err(error) if error == ENOENT => {
            pr_err!("there is no tree {}\n", id);
            Err(EUCLEAN)
        }
        tree => tree,
    }
}

fn block_group_tree(
    volume: &Volume,
    registry: &Registry,
    extents: &Arc<Tree>,
) -> Result<Arc<Tree>> {
    match volume
        .format()
        .compat_ro
        .contains(CompatRo::BLOCK_GROUP_TREE)
    {
        true => required(registry, ObjectId::BLOCK_GROUP_TREE),
        false => Ok(extents.clone()),
    }
}

fn free_space_tree(volume: &Volume, registry: &Registry) -> Result<Option<Arc<Tree>>> {
    let valid = CompatRo::FREE_SPACE_TREE.with(CompatRo::FREE_SPACE_TREE_VALID);
    match volume.format().compat_ro.contains(valid) {
        true => required(registry, ObjectId::FREE_SPACE_TREE).map(Some),
        false => Ok(None),
    }
}
