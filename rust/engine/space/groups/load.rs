// SPDX-License-Identifier: GPL-2.0
//! Reading the block groups and their free space at mount.
//!
//! All of it is read before anything can change: one pass over the free space tree, or over the extent tree where
//! there is none. Loading a group later, while it is in use, is what double allocations were made of elsewhere.

use super::group::{Allocation, Body, Group};
use super::items::Items;
use crate::btree::Tree;
use crate::disk::{
    BlockGroupFlags, BlockGroupItem, Bug, CompatRo, Flaw, Key, Kind, Logical, Place, ZoneOffset,
};
use crate::map::OrdMap;
use crate::space::free::abandoned::Abandoned;
use crate::space::free::on_disk::{GroupOnDisk, OnDisk};
use crate::space::free::policy::{Appending, FreeSpace};
use crate::space::free::ranges::FreeRanges;
use crate::space::free::tree::{self as free_space_tree, FreeSpaceItem};
use crate::space::reserve::Tally;
use crate::space::root::{Options, Trees};
use crate::space::write_order::{Ending, NewGroup, WriteOrder};
use crate::space::{Class, Space};
use crate::volume::{self, Chunk, GroupZones, Volume};
use core::ops::ControlFlow;
use kernel::sync::Arc;
use latch::prelude::*;

/// A group that is being read.
struct Loading {
    chunk: Arc<Chunk>,
    class: Class,
    used: u64,
    body: Body,
    free_space: GroupOnDisk,
    /// Behind the extents seen so far.
    seen_to: u64,
}

impl Loading {
    fn start(&self) -> u64 {
        self.chunk.logical.get()
    }

    fn end(&self) -> u64 {
        self.chunk.logical.saturating_add(self.chunk.len).get()
    }
}

type Loadings = OrdMap<u64, Loading>;

impl Space {
    /// Reads all block groups and, for a volume that may be written, their free space: from the free space tree, or
    /// by reading the whole extent tree. The chunks are all in the volume's map.
    ///
    /// `EUCLEAN` for what contradicts itself, `EROFS` when a free space tree would have to be rebuilt to write.
    pub fn load(volume: Arc<Volume>, trees: Trees, options: Options) -> Result<Arc<Space>> {
        let order = match &options.write_order {
            Some(order) => order.clone(),
            None => WriteOrder::for_volume(&volume)?,
        };
        let features = volume.format().compat_ro;
        let writable = volume.access() == volume::Access::ReadWrite;
        if writable && features.has_stale_free_space() {
            pr_err!("the free space tree is not valid: mount once with another driver to rebuild it, or read-only\n");
            return Err(EROFS);
        }
        let has_tree = features.contains(CompatRo::FREE_SPACE_TREE);
        let free_space = trees.free_space.filter(|_| has_tree);
        let space = Space::new(volume, trees.block_groups, free_space, options, order)?;
        let mut loadings = space.read_groups(&trees.extent, writable)?;
        if writable {
            match &space.free_space {
                OnDisk::Tree(tree) => read_free_space(
                    &mut loadings,
                    tree.tree(),
                    space.volume.format().sector_size,
                )?,
                OnDisk::Nowhere => {
                    derive_free_space(&mut loadings, &trees.extent, space.node_size)?
                }
            }
        }
        while let Some((_, loading)) = loadings.pop_first() {
            space.finish_loading(loading, writable)?;
        }
        space.refresh_growth();
        Ok(Arc::new(space, GFP_KERNEL)?)
    }

    // What is read of one group is large, and in frames that are gone before the trees are walked.
    #[inline(never)]
    fn read_groups(&self, extents: &Tree, writable: bool) -> Result<Loadings> {
        let mut loadings = Loadings::new();
        let mut from = Logical::new(0);
        while let Some(chunk) = self.volume.chunk_from(from) {
            let end = chunk.logical.checked_add(chunk.len);
            let loading = self.read_group(chunk, extents, writable)?;
            loadings.insert(loading.start(), loading)?;
            let Some(end) = end else { break };
            from = end;
        }
        Ok(loadings)
    }

    #[inline(never)]
    fn read_group(&self, chunk: Arc<Chunk>, extents: &Tree, writable: bool) -> Result<Loading> {
        let start = chunk.logical.get();
        let key = Key::new(start, Kind::BLOCK_GROUP_ITEM, chunk.len);
        let item = self
            .block_groups
            .get(&key, |bytes| BlockGroupItem::parse(&key, bytes))?
            .ok_or_else(|| {
                let flaw = Flaw::missing("chunk has no block group item");
                flaw.at(Place::Chunk(chunk.logical)).report()
            })?;
        let BlockGroupItem { used, flags } =
            item.map_err(|flaw| flaw.in_item(self.block_groups.id(), &key).report())?;
        if flags != chunk.flags {
            let (found, expected) = (flags.get(), chunk.flags.get());
            let flaw = Flaw::new("block group is not of its chunk's type", found, expected);
            return Err(broken(start, flaw));
        }
        let class = class_of(&chunk)?;
        let zones = match writable && self.volume.is_zoned() {
            true => Some(self.volume.load_group_zones(&chunk, &mut || {
                last_allocated(extents, &chunk, self.node_size)
            })?),
            false => None,
        };
        let body = new_body(
            &self.volume,
            &chunk,
            zones,
            class,
            used,
            self.granularity_of(class),
        )?;
        Ok(Loading {
            class,
            used,
            body,
            free_space: GroupOnDisk::Nowhere,
            seen_to: start,
            chunk,
        })
    }

    /// Checks what was read of a group and makes it known.
    #[inline(never)]
    fn finish_loading(&self, loading: Loading, writable: bool) -> Result {
        let (start, len) = (loading.start(), loading.chunk.len);
        if writable {
            self.check_free_space(&loading)?;
        }
        let Loading {
            chunk,
            class,
            used,
            mut body,
            free_space,
            ..
        } = loading;
        if writable {
            exclude_superblocks(&self.volume, &chunk, &mut body)?;
        } else {
            body.allocation = Allocation::Closed;
            body.tally.read_only = len.saturating_sub(used);
        }
        let items = Items::new(start, len, chunk.flags, used, free_space);
        let space_info = self.space_infos.get(class).clone();
        let group = Group::new(chunk, class, space_info, body, items)?;
        self.publish(&Arc::new(group, GFP_KERNEL)?)
    }

    /// Checks that a group's free space is on the disk, if it is for others, and that it adds up.
    fn check_free_space(&self, loading: &Loading) -> Result {
        let start = loading.start();
        let recorded = match (&self.free_space, &loading.free_space) {
            (OnDisk::Tree(_), GroupOnDisk::Nowhere) => {
                let flaw = Flaw::missing("block group is not in the free space tree");
                return Err(broken(start, flaw));
            }
            (_, GroupOnDisk::Tree(recorded, _)) => Some(recorded.extent_count),
            (OnDisk::Nowhere, GroupOnDisk::Nowhere) => None,
        };
        let FreeSpace::Anywhere(ranges) = &loading.body.free_space else {
            return Ok(());
        };
        let unused = loading.chunk.len.saturating_sub(loading.used);
        if ranges.free() != unused {
            let flaw = Flaw::new("free ranges are not what is unused", ranges.free(), unused);
            return Err(broken(start, flaw));
        }
        let count = u64::try_from(ranges.len()).unwrap_or(u64::MAX);
        match recorded
            .map(u64::from)
            .filter(|&recorded| recorded != count)
        {
            Some(recorded) => {
                let flaw = Flaw::new("free ranges are counted wrongly", recorded, count);
                Err(broken(start, flaw))
            }
            None => Ok(()),
        }
    }
}

/// What a chunk's type says it holds.
pub(in crate::space) fn class_of(chunk: &Chunk) -> Result<Class> {
    let types = chunk.flags.common(BlockGroupFlags::TYPES);
    match types {
        BlockGroupFlags::DATA => Ok(Class::Data),
        BlockGroupFlags::METADATA => Ok(Class::Metadata),
        BlockGroupFlags::SYSTEM => Ok(Class::System),
        _ => {
            let flaw = Flaw::new("chunk is not of one type", types.get(), 1);
            Err(flaw.at(Place::Chunk(chunk.logical)).report())
        }
    }
}

/// The state of a group of which `used` bytes have extent items. Its free ranges are not known yet; on sequential
/// zones there is nothing more to know. What is allocated is a multiple of `granularity`.
pub(in crate::space) fn new_body(
    volume: &Volume,
    chunk: &Chunk,
    zones: Option<GroupZones>,
    class: Class,
    used: u64,
    granularity: u64,
) -> Result<Body> {
    let tally = Tally {
        total: chunk.len,
        used,
        ..Tally::default()
    };
    let Some(zones) = zones.filter(|zones| zones.sequential && volume.is_zoned()) else {
        let free_space = FreeSpace::Anywhere(FreeRanges::new());
        return Ok(Body {
            tally,
            free_space,
            allocation: Allocation::Open,
            active: true,
            under_way: 0,
            unwritten: 0,
            ending: Ending::Full,
            in_use_when_tried: u64::MAX,
        });
    };
    let start = chunk.logical.get();
    let capacity = zones.capacity.min(chunk.len);
    let whole = capacity.saturating_sub(capacity.checked_rem(granularity).unwrap_or(0));
    let ending = if whole == zones.capacity {
        Ending::Full
    } else {
        Ending::Short
    };
    let offset = zones.alloc_offset.get().min(whole);
    if used > offset {
        let flaw = Flaw::new("more is used than was written to the zones", used, offset);
        return Err(broken(start, flaw));
    }
    let lost = chunk.len.saturating_sub(whole);
    let unusable = lost.saturating_add(offset.saturating_sub(used));
    let appending = Appending {
        start: chunk.logical,
        offset: ZoneOffset::new(offset),
        capacity: whole,
        abandoned: Abandoned::new(class, whole, granularity)?,
    };
    Ok(Body {
        tally: Tally { unusable, ..tally },
        free_space: FreeSpace::Append(appending),
        allocation: Allocation::Open,
        active: zones.active,
        under_way: 0,
        unwritten: 0,
        ending,
        in_use_when_tried: u64::MAX,
    })
}

/// Makes a range of a group free, where that is not told by a write pointer.
pub(in crate::space) fn fill(body: &mut Body, start: u64, end: u64) -> Result {
    match &mut body.free_space {
        FreeSpace::Anywhere(ranges) => ranges.insert(start, end),
        FreeSpace::Append(_) => Ok(()),
    }
}

/// Keeps the allocator away from superblock copies. Before the group is counted.
pub(in crate::space) fn exclude_superblocks(
    volume: &Volume,
    chunk: &Chunk,
    body: &mut Body,
) -> Result {
    let FreeSpace::Anywhere(ranges) = &mut body.free_space else {
        return Ok(());
    };
    for &(start, len) in volume.superblock_ranges(chunk)?.iter() {
        let excluded = ranges.exclude(start.get(), start.saturating_add(len).get())?;
        body.tally.read_only = body.tally.read_only.saturating_add(excluded);
    }
    Ok(())
}

/// Metadata on sequential zones is written in order.
pub(in crate::space) fn join_write_order(order: &WriteOrder, group: &Arc<Group>) -> Result {
    let new = {
        let body = group.lock();
        let FreeSpace::Append(appending) = &body.free_space else {
            return Ok(());
        };
        NewGroup {
            class: group.class(),
            start: group.start(),
            len: group.len(),
            capacity: appending.capacity,
            ending: body.ending,
            written_to: appending.end_of_allocated(),
            active: body.active,
            group: group.clone(),
        }
    };
    match group.class() {
        Class::Data => order.add_data(group.start(), group.clone()),
        // The write order locks groups, not the other way round.
        Class::Metadata | Class::System => order.add(new),
    }
}

/// Free space as the free space tree has it.
#[inline(never)]
fn read_free_space(loadings: &mut Loadings, tree: &Tree, sector_size: u32) -> Result {
    let mut current = None;
    free_space_tree::read(tree, sector_size, |item| match item {
        FreeSpaceItem::Group(recorded) => {
            let loading = loadings
                .get_mut(&recorded.start)
                .filter(|loading| loading.end() == recorded.end);
            let loading = loading.ok_or_else(|| {
                let flaw = Flaw::missing("free space tree has a block group that has no item");
                broken(recorded.start, flaw)
            })?;
            loading.free_space = GroupOnDisk::tree(recorded);
            current = Some(recorded.start);
            Ok(())
        }
        FreeSpaceItem::Free(start, end) => {
            let loading = current
                .and_then(|current| loadings.get_mut(&current))
                .ok_or_else(|| Bug::new("free range was read before its group").report())?;
            fill(&mut loading.body, start, end)
        }
    })
}

/// Free space as what the extent tree has no item for.
#[inline(never)]
fn derive_free_space(loadings: &mut Loadings, extents: &Tree, node_size: u64) -> Result {
    extents.scan(Key::MIN..=Key::MAX, |key, _| {
        if let Some((start, end)) = extent(key, node_size) {
            let loading = loadings.floor_mut(&start).map(|(_, loading)| loading);
            let loading =
                loading.filter(|loading| start >= loading.seen_to && end <= loading.end());
            let loading = loading.ok_or_else(|| {
                let flaw = Flaw::missing("extent overlaps another, or lies in no block group");
                flaw.at(Place::Extent(Logical::new(start))).report()
            })?;
            if loading.seen_to < start {
                fill(&mut loading.body, loading.seen_to, start)?;
            }
            loading.seen_to = end;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (_, loading) in loadings.iter_mut() {
        if loading.seen_to < loading.end() {
            let end = loading.end();
            fill(&mut loading.body, loading.seen_to, end)?;
        }
    }
    Ok(())
}

/// The range of an extent item, by its key.
fn extent(key: Key, node_size: u64) -> Option<(u64, u64)> {
    let start = key.objectid.get();
    let len = match key.kind {
        Kind::EXTENT_ITEM => key.offset,
        Kind::METADATA_ITEM => node_size,
        _ => return None,
    };
    Some((start, start.saturating_add(len)))
}

/// Where the last extent of a group ends, from the group's start.
fn last_allocated(extents: &Tree, chunk: &Chunk, node_size: u64) -> Result<ZoneOffset> {
    let start = chunk.logical.get();
    let last = start.saturating_add(chunk.len).saturating_sub(1);
    // The last item before the end belongs to the last extent, or to the group itself; the extent's own item may
    // stand before its references.
    let found = extents.floor(&Key::new(last, Kind::new(u8::MAX), u64::MAX), |key, _| key)?;
    let Some(found) = found.filter(|key| key.objectid.get() >= start) else {
        return Ok(ZoneOffset::new(0));
    };
    let key = Key::new(found.objectid.get(), Kind::METADATA_ITEM, u64::MAX);
    let item = extents.floor(&key, |key, _| key)?;
    let end = item
        .filter(|key| key.objectid.get() >= start)
        .and_then(|key| extent(key, node_size));
    Ok(ZoneOffset::new(
        end.map_or(0, |(_, end)| end.saturating_sub(start)),
    ))
}

/// Reports what contradicts itself in the block group at `start`.
#[cold]
fn broken(start: u64, flaw: Flaw) -> Error {
    flaw.at(Place::BlockGroup(Logical::new(start))).report()
}
