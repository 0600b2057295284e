// SPDX-License-Identifier: GPL-2.0
//! The state that a group begins with: at mount, or when its chunk was made.

use super::activity::Activity;
use super::block_groups::BlockGroups;
use super::group::{Allocation, Body, Group};
use super::items::Items;
use crate::disk::{BlockGroupFlags, Bytes, Flaw, Logical, Site, ZoneOffset};
use crate::space::free::abandoned::Abandoned;
use crate::space::free::changes::SpaceChanges;
use crate::space::free::on_disk::OnDisk;
use crate::space::free::policy::{Appending, FreeSpace};
use crate::space::free::ranges::FreeRanges;
use crate::space::free::tree::Recorded;
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
    let (first, end) = (chunk.logical, chunk.end());
    let zones = groups
        .volume
        .zones()
        .load(&chunk, &mut || Ok(ZoneOffset::new(0)))?;
    let mut body = new_body(groups, &chunk, Some(zones), class, Bytes::ZERO)?;
    if let FreeSpace::Unread(_) = body.free_space {
        let mut ranges = FreeRanges::new(first, chunk.len, groups.sector_size, GFP_NOFAIL)?;
        ranges.insert(first, end)?;
        use_ranges(&groups.volume, &chunk, &mut body, ranges)?;
    }
    let span = (first, end);
    let free_space = match &body.free_space {
        FreeSpace::Anywhere(ranges) if on_disk.keeper().is_some() => {
            on_disk.cached(span, groups.sector_size, ranges, body.superblocks)?
        }
        _ => on_disk.group(span, Some(Recorded::all_free(first, end))),
    };
    let items = Items::new(first, chunk.len, chunk.flags, Bytes::ZERO, free_space);
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
            Err(flaw.at(Site::Chunk(chunk.logical)).report())
        }
    }
}

/// The state of a group of which `used` bytes have extent items. Its free ranges are not known yet; on sequential
/// zones there is nothing more to know, nor where nothing can be written.
pub(in crate::space) fn new_body(
    groups: &BlockGroups,
    chunk: &Chunk,
    zones: Option<GroupZones>,
    class: Class,
    used: Bytes,
) -> Result<Body> {
    let tally = Tally {
        total: chunk.len,
        used,
        ..Tally::default()
    };
    if zones.is_some_and(|zones| zones.unusable) {
        return lost_body(chunk, tally);
    }
    match zones.filter(|zones| zones.sequential) {
        Some(zones) => appending_body(groups, chunk, &zones, class, tally),
        None => Ok(open_body(tally, FreeSpace::Unread(SpaceChanges::new()))),
    }
}

/// The state of a group that can be allocated from, whose zones, if it has some, are active and end where it does.
fn open_body(tally: Tally, free_space: FreeSpace) -> Body {
    Body {
        tally,
        free_space,
        allocation: Allocation::Open,
        activity: Activity::Awake,
        under_way: Bytes::ZERO,
        unwritten: Bytes::ZERO,
        ending: Ending::Full,
        tried: None,
        resets: 0,
        superblocks: Bytes::ZERO,
        offered: Offered::default(),
    }
}

/// The state of a group on sequential zones.
fn appending_body(
    groups: &BlockGroups,
    chunk: &Chunk,
    zones: &GroupZones,
    class: Class,
    tally: Tally,
) -> Result<Body> {
    let granularity = groups.granularity_of(class);
    let capacity = zones.capacity.min(chunk.len);
    let whole = capacity.round_down(granularity);
    let ending = if whole == zones.capacity {
        Ending::Full
    } else {
        Ending::Short
    };
    let written = zones.alloc_offset.before().min(whole);
    let used = tally.used;
    if used > written {
        let flaw = Flaw::new(
            "more is used than was written to the zones",
            used.get(),
            written.get(),
        );
        return Err(flaw.at(Site::BlockGroup(chunk.logical)).report());
    }
    let lost = chunk.len.saturating_sub(whole);
    let unusable = lost.saturating_add(written.saturating_sub(used));
    let appending = Appending {
        start: chunk.logical,
        offset: ZoneOffset::after(written),
        capacity: whole,
        abandoned: Abandoned::new(class, whole, granularity)?,
    };
    let tally = Tally { unusable, ..tally };
    Ok(Body {
        activity: match zones.active {
            true => Activity::Awake,
            false => Activity::Asleep,
        },
        ending,
        ..open_body(tally, FreeSpace::Append(appending))
    })
}

/// The state of a group with a zone that takes neither writes nor commands: it is not allocated from, and never reset. What
/// is in it stays there until it is freed.
fn lost_body(chunk: &Chunk, tally: Tally) -> Result<Body> {
    if tally.used > tally.total {
        let (used, total) = (tally.used.get(), tally.total.get());
        let flaw = Flaw::new("more is used than the block group holds", used, total);
        return Err(flaw.at(Site::BlockGroup(chunk.logical)).report());
    }
    let read_only = tally.free();
    Ok(Body {
        activity: Activity::Asleep,
        ..open_body(Tally { read_only, ..tally }, FreeSpace::GivenUp)
    })
}

/// Begins to use the free ranges of a group, all but superblock copies, which are kept from the allocator. Before the
/// group is counted.
pub(in crate::space) fn use_ranges(
    volume: &Volume,
    chunk: &Chunk,
    body: &mut Body,
    mut ranges: FreeRanges,
) -> Result {
    body.superblocks = exclude_superblocks(volume, chunk, &mut ranges)?;
    body.tally.read_only = body.superblocks;
    body.free_space = FreeSpace::Anywhere(ranges);
    Ok(())
}

/// Takes superblock copies out of free ranges; how many bytes that were.
pub(in crate::space) fn exclude_superblocks(
    volume: &Volume,
    chunk: &Chunk,
    ranges: &mut FreeRanges,
) -> Result<Bytes> {
    let mut excluded = Bytes::ZERO;
    for &(start, len) in volume.superblock_ranges(chunk)?.iter() {
        let of_this = ranges.exclude(start, start.saturating_add(len))?;
        excluded = excluded.saturating_add(of_this);
    }
    Ok(excluded)
}

/// Leaves for later to read where the unused bytes of a group are free. What superblock copies take of them is a guess.
pub(in crate::space) fn leave_unread(volume: &Volume, chunk: &Chunk, body: &mut Body) -> Result {
    let unused = body.tally.free();
    let end = chunk.end();
    for &(start, len) in volume.superblock_ranges(chunk)?.iter() {
        let copy = start.saturating_add(len).min(end).saturating_since(start);
        body.superblocks = body.superblocks.saturating_add(copy);
    }
    body.superblocks = body.superblocks.min(unused);
    body.tally.read_only = body.superblocks;
    body.tally.unread = unused.saturating_sub(body.superblocks);
    Ok(())
}
