// SPDX-License-Identifier: GPL-2.0
//! Free space as one item for each range: cutting a range and joining ranges by changing keys in place.

use super::Recorded;
use crate::btree::{Sought, Writer};
use crate::disk::{Bytes, Flaw, Key, Kind, Logical};
use crate::space::free::changes::SpaceChange;
use latch::prelude::*;

fn key(start: Logical, end: Logical) -> Key {
    let len = end.saturating_since(start);
    Key::new(start.get(), Kind::FREE_SPACE_EXTENT, len.get())
}

/// The free range that starts at or before `at`, which the writer then stands at.
fn at_or_before(
    writer: &mut Writer<'_>,
    group: &Recorded,
    at: Logical,
) -> Result<Option<(Logical, Logical)>> {
    let last = Key::new(at.get(), Kind::FREE_SPACE_EXTENT, u64::MAX);
    if writer.seek_floor(&last)? == Sought::Missing {
        return Ok(None);
    }
    let Some((found, _)) = writer.item()? else {
        return Ok(None);
    };
    let start = Logical::new(found.objectid.get());
    if found.kind != Kind::FREE_SPACE_EXTENT || start < group.start {
        return Ok(None);
    }
    let end = start
        .checked_add(Bytes::new(found.offset))
        .filter(|&end| start < end && end <= group.end);
    let end = end.ok_or_else(|| leaves(group, &found))?;
    Ok(Some((start, end)))
}

/// `[start, end)` is not free any more. Gives by how much the number of ranges grew.
pub(super) fn remove(
    writer: &mut Writer<'_>,
    group: &Recorded,
    start: Logical,
    end: Logical,
) -> Result<i32> {
    let found = at_or_before(writer, group, start)?.filter(|&(_, last)| end <= last);
    let (first, last) =
        found.ok_or_else(|| group.broken(SpaceChange::Allocated.contradicted(start)))?;
    match (first < start, end < last) {
        (false, false) => writer.remove_here().map(|()| -1),
        (false, true) => writer.rekey_here(&key(end, last)).map(|()| 0),
        (true, false) => writer.rekey_here(&key(first, start)).map(|()| 0),
        (true, true) => {
            writer.rekey_here(&key(first, start))?;
            writer.insert_here(&key(end, last), 0)?;
            Ok(1)
        }
    }
}

/// `[start, end)` is free now. Gives by how much the number of ranges grew.
pub(super) fn add(
    writer: &mut Writer<'_>,
    group: &Recorded,
    start: Logical,
    end: Logical,
) -> Result<i32> {
    let left = at_or_before(writer, group, start)?;
    if left.is_some_and(|(_, left_end)| left_end > start) {
        return Err(group.broken(SpaceChange::Freed.contradicted(start)));
    }
    let left = left.filter(|&(_, left_end)| left_end == start);
    let right = following(writer, group, start, end)?;
    match (left, right) {
        (None, None) => writer.insert_here(&key(start, end), 0).map(|_| 1),
        (None, Some(right_end)) => writer.rekey_here(&key(start, right_end)).map(|()| 0),
        (Some((left_start, _)), None) => {
            at_or_before(writer, group, start)?;
            writer.rekey_here(&key(left_start, end)).map(|()| 0)
        }
        (Some((left_start, _)), Some(right_end)) => {
            writer.remove_here()?;
            at_or_before(writer, group, start)?;
            writer.rekey_here(&key(left_start, right_end)).map(|()| -1)
        }
    }
}

/// The end of the free range that starts at `end`; the writer then stands at it.
fn following(
    writer: &mut Writer<'_>,
    group: &Recorded,
    start: Logical,
    end: Logical,
) -> Result<Option<Logical>> {
    writer.seek(&Key::new(start.get(), Kind::FREE_SPACE_EXTENT, 0))?;
    let Some((found, _)) = writer.item()? else {
        return Ok(None);
    };
    let next = Logical::new(found.objectid.get());
    if found.kind != Kind::FREE_SPACE_EXTENT || next > end || next >= group.end {
        return Ok(None);
    }
    if next < end {
        return Err(group.broken(SpaceChange::Freed.contradicted(start)));
    }
    let next_end = next
        .checked_add(Bytes::new(found.offset))
        .filter(|&next_end| next_end <= group.end);
    next_end.map(Some).ok_or_else(|| leaves(group, &found))
}

/// The free range of an item does not lie in its group.
#[cold]
fn leaves(group: &Recorded, key: &Key) -> Error {
    let end = key.objectid.get().saturating_add(key.offset);
    group.broken(Flaw::new(
        "free space leaves its block group",
        end,
        group.end.get(),
    ))
}
