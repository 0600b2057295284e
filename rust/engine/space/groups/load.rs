// SPDX-License-Identifier: GPL-2.0
//! Reading the block groups and their free space at mount.
//!
//! All of it is read before anything can change: one pass over the free space tree, or over the extent tree where
//! there is none. Loading a group later, while it is in use, is what double allocations were made of elsewhere.

use super::block_groups::BlockGroups;
use super::group::{Allocation, Body, Group};
use super::items::Items;
use super::make::{class_of, exclude_superblocks, fill, new_body};
use super::zones::join_write_order;
use crate::btree::Tree;
use crate::disk::{BlockGroupItem, Bug, Flaw, Key, Kind, Logical, Place, ZoneOffset};
use crate::map::OrdMap;
use crate::space::free::on_disk::{GroupOnDisk, OnDisk};
use crate::space::free::policy::FreeSpace;
use crate::space::free::tree::{FreeSpaceItem, FreeSpaceTree};
use crate::space::Class;
use crate::volume::Chunk;
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

/// What is read at mount, and where it goes.
pub(in crate::space) struct Loader<'a> {
    /// Where the groups go.
    pub(in crate::space) groups: &'a BlockGroups,
    /// The BLOCK_GROUP_ITEMs.
    pub(in crate::space) items: &'a Tree,
    /// What the disk has of free space.
    pub(in crate::space) free_space: &'a OnDisk,
    /// The extent tree.
    pub(in crate::space) extents: &'a Tree,
    /// The volume may be written: its free space is read, too.
    pub(in crate::space) writable: bool,
}

impl Loader<'_> {
    /// Reads all block groups and, for a volume that may be written, their free space.
    pub(in crate::space) fn load(&self) -> Result {
        let mut loadings = self.read_groups()?;
        if self.writable {
            match self.free_space {
                OnDisk::Tree(tree) => read_free_space(&mut loadings, tree)?,
                OnDisk::Nowhere => self.derive_free_space(&mut loadings)?,
            }
        }
        while let Some((_, loading)) = loadings.pop_first() {
            self.finish(loading)?;
        }
        self.groups.refresh_growth();
        Ok(())
    }

    // What is read of one group is large, and in frames that are gone before the trees are walked.
    #[inline(never)]
    fn read_groups(&self) -> Result<Loadings> {
        let mut loadings = Loadings::new();
        let mut from = Logical::new(0);
        while let Some(chunk) = self.groups.volume.chunk_from(from) {
            let end = chunk.logical.checked_add(chunk.len);
            let loading = self.read_group(chunk)?;
            loadings.insert(loading.start(), loading)?;
            let Some(end) = end else { break };
            from = end;
        }
        Ok(loadings)
    }

    #[inline(never)]
    fn read_group(&self, chunk: Arc<Chunk>) -> Result<Loading> {
        let start = chunk.logical.get();
        let key = Key::new(start, Kind::BLOCK_GROUP_ITEM, chunk.len);
        let item = self
            .items
            .get(&key, |bytes| BlockGroupItem::parse(&key, bytes))?
            .ok_or_else(|| {
                let flaw = Flaw::missing("chunk has no block group item");
                flaw.at(Place::Chunk(chunk.logical)).report()
            })?;
        let BlockGroupItem { used, flags } =
            item.map_err(|flaw| flaw.in_item(self.items.id(), &key).report())?;
        if flags != chunk.flags {
            let (found, expected) = (flags.get(), chunk.flags.get());
            let flaw = Flaw::new("block group is not of its chunk's type", found, expected);
            return Err(broken(start, flaw));
        }
        let class = class_of(&chunk)?;
        let zones = match self.writable {
            true => Some(self.groups.volume.load_group_zones(&chunk, &mut || {
                last_allocated(self.extents, &chunk, self.groups.node_size)
            })?),
            false => None,
        };
        let body = new_body(self.groups, &chunk, zones, class, used)?;
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
    fn finish(&self, loading: Loading) -> Result {
        let (start, len) = (loading.start(), loading.chunk.len);
        if self.writable {
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
        if self.writable {
            exclude_superblocks(&self.groups.volume, &chunk, &mut body)?;
        } else {
            body.allocation = Allocation::Closed;
            body.tally.read_only = len.saturating_sub(used);
        }
        let items = Items::new(start, len, chunk.flags, used, free_space);
        let space_info = self.groups.info(class).clone();
        let group = Group::new(chunk, class, space_info, body, items)?;
        let group = Arc::new(group, GFP_KERNEL)?;
        join_write_order(&self.groups.write_order, &group)?;
        self.groups.add(&group)
    }

    /// Checks that a group's free space is on the disk, if it is for others, and that it adds up.
    fn check_free_space(&self, loading: &Loading) -> Result {
        let start = loading.start();
        let recorded = match (self.free_space, &loading.free_space) {
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
        let count = ranges.iter().fold(0u64, |count, _| count.saturating_add(1));
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

    /// Free space as what the extent tree has no item for.
    #[inline(never)]
    fn derive_free_space(&self, loadings: &mut Loadings) -> Result {
        let node_size = self.groups.node_size;
        self.extents.scan(Key::MIN..=Key::MAX, |key, _| {
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
}

/// Free space as the free space tree has it.
#[inline(never)]
fn read_free_space(loadings: &mut Loadings, tree: &FreeSpaceTree) -> Result {
    let mut current = None;
    tree.read(|item| match item {
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
