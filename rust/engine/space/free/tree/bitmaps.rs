// SPDX-License-Identifier: GPL-2.0
//! Free space as one bit for each sector.

use super::Recorded;
use crate::btree::{Sought, Writer};
use crate::disk::{Bug, Bytes, Flaw, Key, Kind, Logical};
use crate::space::free::changes::SpaceChange;
use latch::prelude::*;

/// A bitmap item: the bytes of the volume it covers, and how many each of its bits stands for.
#[derive(Clone, Copy)]
pub(super) struct Bitmap {
    pub(super) start: Logical,
    pub(super) end: Logical,
    pub(super) sector_size: Bytes,
}

impl Bitmap {
    /// What an item with this key covers; `None` if that makes no sense.
    pub(super) fn of(key: Key, sector_size: Bytes) -> Option<Self> {
        let start = Logical::new(key.objectid.get());
        let end = start.checked_add(Bytes::new(key.offset))?;
        (key.kind == Kind::FREE_SPACE_BITMAP && start < end).then_some(Self {
            start,
            end,
            sector_size,
        })
    }

    /// Bits in use.
    pub(super) fn bits(&self) -> u64 {
        self.end
            .saturating_since(self.start)
            .count(self.sector_size)
    }

    /// Bytes of the item.
    pub(super) fn size(&self) -> u64 {
        self.bits().div_ceil(8)
    }

    /// Checks that an item has the bytes of this bitmap.
    pub(super) fn check_size(&self, bytes: &[u8]) -> Result<(), Flaw> {
        let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if found == self.size() {
            return Ok(());
        }
        Err(Flaw::new(
            "free space bitmap has a wrong size",
            found,
            self.size(),
        ))
    }

    /// The address that a bit stands for.
    fn address(&self, bit: u64) -> Logical {
        self.start
            .saturating_add(self.sector_size.saturating_mul(bit))
    }

    fn bit(&self, at: Logical) -> u64 {
        at.saturating_since(self.start).count(self.sector_size)
    }

    fn is_set(&self, bytes: &[u8], at: Logical) -> bool {
        is_set(bytes, self.bit(at))
    }

    /// Sets or clears the bits of `[start, end)`, which may reach beyond the bitmap; an error if one was so already.
    fn change(
        &self,
        bytes: &mut [u8],
        start: Logical,
        end: Logical,
        change: SpaceChange,
    ) -> Result<(), Flaw> {
        self.check_size(bytes)?;
        let first = self.bit(start.max(self.start));
        let last = self.bit(end.min(self.end));
        for bit in first..last {
            let (index, mask) = place(bit);
            let Some(byte) = bytes.get_mut(index) else {
                break;
            };
            let was_free = *byte & mask != 0;
            if was_free == (change == SpaceChange::Freed) {
                return Err(change.contradicted(self.address(bit)));
            }
            *byte ^= mask;
        }
        Ok(())
    }

    /// Marks `[start, end)` free in a bitmap that is being built.
    pub(super) fn fill(&self, bytes: &mut [u8], start: Logical, end: Logical) -> Result<(), Flaw> {
        self.change(bytes, start, end, SpaceChange::Freed)
    }

    /// Gives each free range of the bitmap, ascending.
    pub(super) fn each_free(
        &self,
        bytes: &[u8],
        each: &mut dyn FnMut(Logical, Logical) -> Result,
    ) -> Result {
        let mut first = None;
        for bit in 0..self.bits() {
            match (is_set(bytes, bit), first) {
                (true, None) => first = Some(bit),
                (false, Some(start)) => {
                    each(self.address(start), self.address(bit))?;
                    first = None;
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
        match first {
            Some(start) => each(self.address(start), self.end),
            None => Ok(()),
        }
    }
}

/// The byte that a bit is in, and its place there; the lowest bit comes first.
fn place(bit: u64) -> (usize, u8) {
    let index = usize::try_from(bit / 8).unwrap_or(usize::MAX);
    (index, 1u8.wrapping_shl(u32::try_from(bit % 8).unwrap_or(0)))
}

fn is_set(bytes: &[u8], bit: u64) -> bool {
    let (index, mask) = place(bit);
    bytes.get(index).is_some_and(|byte| byte & mask != 0)
}

/// Moves to the bitmap that covers `at`.
fn seek(
    writer: &mut Writer<'_>,
    group: &Recorded,
    sector_size: Bytes,
    at: Logical,
) -> Result<Bitmap> {
    let found = writer.seek_floor(&Key::new(at.get(), Kind::FREE_SPACE_BITMAP, u64::MAX))?;
    let key = writer
        .item()?
        .map(|(key, _)| key)
        .filter(|_| found == Sought::Found);
    let bitmap = key.and_then(|key| Bitmap::of(key, sector_size));
    let covers = |bitmap: &Bitmap| {
        bitmap.start >= group.start
            && bitmap.start <= at
            && at < bitmap.end
            && bitmap.end <= group.end
    };
    bitmap
        .filter(covers)
        .ok_or_else(|| group.broken(Flaw::missing("free space bitmap is missing")))
}

/// The item that a writer was moved to is not there.
#[cold]
fn lost() -> Error {
    Bug::new("a writer lost the item that it was moved to").report()
}

/// Changes the bits of a range. Gives by how much the number of free ranges grew.
pub(super) fn change(
    writer: &mut Writer<'_>,
    group: &Recorded,
    sector_size: Bytes,
    (start, end): (Logical, Logical),
    change: SpaceChange,
) -> Result<i32> {
    let free_before = group.start < start
        && is_free(
            writer,
            group,
            sector_size,
            start.saturating_sub(sector_size),
        )?;
    let mut at = start;
    while at < end {
        let bitmap = seek(writer, group, sector_size, at)?;
        let (_, bytes) = writer.item_mut()?.ok_or_else(lost)?;
        bitmap
            .change(bytes, at, end, change)
            .map_err(|flaw| group.broken(flaw))?;
        at = bitmap.end;
    }
    let free_after = end < group.end && is_free(writer, group, sector_size, end)?;
    let neighbours = i32::from(free_before).wrapping_add(i32::from(free_after));
    Ok(match change {
        SpaceChange::Allocated => neighbours.wrapping_sub(1),
        SpaceChange::Freed => 1i32.wrapping_sub(neighbours),
    })
}

fn is_free(
    writer: &mut Writer<'_>,
    group: &Recorded,
    sector_size: Bytes,
    at: Logical,
) -> Result<bool> {
    let bitmap = seek(writer, group, sector_size, at)?;
    let (_, bytes) = writer.item()?.ok_or_else(lost)?;
    Ok(bitmap.is_set(bytes, at))
}
