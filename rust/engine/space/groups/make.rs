// SPDX-License-Identifier: GPL-2.0
//! The state that a group begins with: at mount, or when its chunk was made.

use super::block_groups::BlockGroups;
use super::group::{Allocation, Body, Group};
use super::items::Items;
use crate::disk::{BlockGroupFlags, Flaw, Logical, Place, ZoneOffset};
use crate::space::free::abandoned::Abandoned;
use crate::space::free::on_disk::OnDisk;
use crate::space::free::policy::{Appending, FreeSpace};
use crate::space::free::ranges::{round_down, FreeRanges};
use crate::space::reserve::{Offered, Tally};
use crate::space::write_order::Ending;
use crate::space::Class;
use crate::volume::{Chunk, GroupZones, Volume};
use kernel::sync::Arc;
use latch::prelude::*;

/// The group of the new chunk at `start`, all of it free. In a frame of its own: it is large.
#[inline(never)]
pub(in crate::space) fn new_group(
    groups: &BlockGroups,
    on_disk: &OnDisk,
    start: Logical,
) -> Result<Arc<Group>> {
    let chunk = groups.volume.chunk(start)?;
    let class = class_of(&chunk)?;
    let (first, end) = (
        chunk.logical.get(),
        chunk.logical.saturating_add(chunk.len).get(),
    );
    let zones = groups
        .volume
        .load_group_zones(&chunk, &mut || Ok(ZoneOffset::new(0)))?;
    let mut body = new_body(groups, &chunk, Some(zones), class, 0)?;
    fill(&mut body, first, end)?;
    exclude_superblocks(&groups.volume, &chunk, &mut body)?;
    let items = Items::new(
        first,
        chunk.len,
        chunk.flags,
        0,
        on_disk.new_group(first, end),
    );
    let info = groups.info(class).clone();
    let group = Group::new(chunk, class, info, body, items)?;
    Ok(Arc::new(group, GFP_NOFAIL)?)
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
/// zones there is nothing more to know.
pub(in crate::space) fn new_body(
    groups: &BlockGroups,
    chunk: &Chunk,
    zones: Option<GroupZones>,
    class: Class,
    used: u64,
) -> Result<Body> {
    let tally = Tally {
        total: chunk.len,
        used,
        ..Tally::default()
    };
    let Some(zones) = zones.filter(|zones| zones.sequential) else {
        let (start, sector_size) = (chunk.logical.get(), groups.sector_size);
        let ranges = FreeRanges::new(start, chunk.len, sector_size, GFP_NOFAIL)?;
        let free_space = FreeSpace::Anywhere(ranges);
        return Ok(Body {
            tally,
            free_space,
            allocation: Allocation::Open,
            active: true,
            under_way: 0,
            unwritten: 0,
            ending: Ending::Full,
            in_use_when_tried: u64::MAX,
            offered: Offered::default(),
        });
    };
    let granularity = groups.granularity_of(class);
    let capacity = zones.capacity.min(chunk.len);
    let whole = round_down(capacity, granularity);
    let ending = if whole == zones.capacity {
        Ending::Full
    } else {
        Ending::Short
    };
    let offset = zones.alloc_offset.get().min(whole);
    if used > offset {
        let flaw = Flaw::new("more is used than was written to the zones", used, offset);
        return Err(flaw.at(Place::BlockGroup(chunk.logical)).report());
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
        offered: Offered::default(),
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
