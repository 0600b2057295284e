// SPDX-License-Identifier: GPL-2.0
//! Reading what the tree says of a group.

use super::bitmaps::Bitmap;
use super::{FreeSpaceTree, Recorded};
use crate::disk::{Bytes, Flaw, FreeSpaceForm, FreeSpaceInfo, Key, Kind, Logical};
use core::ops::ControlFlow;
use latch::prelude::*;

/// Why it cannot be told where a group is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum Unreadable {
    /// What is said of the group contradicts itself, which was reported. Others can be read.
    Group(Error),
    /// The tree cannot be read.
    Tree(Error),
}

impl From<Error> for Unreadable {
    fn from(error: Error) -> Self {
        Self::Tree(error)
    }
}

impl From<Unreadable> for Error {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Group(error) | Unreadable::Tree(error) => error,
        }
    }
}

impl FreeSpaceTree {
    /// What the tree says of the group `[start, end)`, read if it is not known.
    pub(in crate::space) fn recorded<'a>(
        &self,
        (start, end): (Logical, Logical),
        known: &'a mut Option<Recorded>,
    ) -> Result<&'a mut Recorded, Unreadable> {
        let recorded = match known.take() {
            Some(recorded) => recorded,
            None => self.read_info(Recorded::all_free(start, end))?,
        };
        Ok(known.insert(recorded))
    }

    fn read_info(&self, group: Recorded) -> Result<Recorded, Unreadable> {
        let key = group.info_key();
        let info = self.tree().get(&key, FreeSpaceInfo::parse)?;
        let info = info.ok_or_else(|| {
            let flaw = Flaw::missing("block group is not in the free space tree");
            Unreadable::Group(group.broken(flaw))
        })?;
        let broken = |flaw: Flaw| Unreadable::Group(flaw.in_item(self.tree().id(), &key).report());
        let info = info.map_err(broken)?;
        Ok(Recorded {
            form: info.form,
            extent_count: info.extent_count,
            ..group
        })
    }

    /// Gives the free ranges of a group to `each`, ascending; two may touch where bitmaps meet.
    pub(in crate::space) fn read(
        &self,
        group: &Recorded,
        each: &mut dyn FnMut(Logical, Logical) -> Result,
    ) -> Result<(), Unreadable> {
        let (first, last) = group.range_keys();
        let mut contradiction = None;
        let (mut count, mut seen_to) = (0u32, Logical::new(u64::MAX));
        let mut one = |start: Logical, end: Logical| {
            count = count.saturating_add(u32::from(start != seen_to));
            seen_to = end;
            each(start, end)
        };
        self.tree().scan(first..=last, |key, bytes| {
            contradiction = self.give(group, (key, bytes), &mut one).err();
            Ok(match contradiction {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            })
        })?;
        if let Some(error) = contradiction {
            return Err(Unreadable::Group(error));
        }
        if count != group.extent_count {
            let (found, expected) = (group.extent_count.into(), count.into());
            let flaw = Flaw::new("free ranges are counted wrongly", found, expected);
            return Err(Unreadable::Group(group.broken(flaw)));
        }
        Ok(())
    }

    /// Gives what an item says is free to `each`.
    fn give(
        &self,
        group: &Recorded,
        (key, bytes): (Key, &[u8]),
        each: &mut dyn FnMut(Logical, Logical) -> Result,
    ) -> Result {
        let stray = |flaw: Flaw| flaw.in_item(self.tree().id(), &key).report();
        match free(group, key, bytes, self.sector_size()).map_err(stray)? {
            Free::Extent(start, end) => each(start, end),
            Free::Bitmap(bitmap) => bitmap.each_free(bytes, each),
        }
    }
}

/// An item with free ranges of a group.
enum Free {
    /// A range that is free.
    Extent(Logical, Logical),
    /// A bit for each sector.
    Bitmap(Bitmap),
}

/// What an item of `group` says, if it belongs there.
fn free(group: &Recorded, key: Key, bytes: &[u8], sector_size: Bytes) -> Result<Free, Flaw> {
    let start = Logical::new(key.objectid.get());
    let end = start.saturating_add(Bytes::new(key.offset));
    if start >= end || start < group.start || end > group.end {
        return Err(Flaw::new(
            "free space leaves its block group",
            end.get(),
            group.end.get(),
        ));
    }
    match (key.kind, group.form) {
        (Kind::FREE_SPACE_EXTENT, FreeSpaceForm::Extents) => Ok(Free::Extent(start, end)),
        (Kind::FREE_SPACE_BITMAP, FreeSpaceForm::Bitmaps) => {
            let bitmap = Bitmap {
                start,
                end,
                sector_size,
            };
            bitmap.check_size(bytes)?;
            Ok(Free::Bitmap(bitmap))
        }
        (kind, form) => {
            let expected = match form {
                FreeSpaceForm::Extents => Kind::FREE_SPACE_EXTENT,
                FreeSpaceForm::Bitmaps => Kind::FREE_SPACE_BITMAP,
            };
            Err(Flaw::new(
                "free space is not of its info's kind",
                kind.get().into(),
                expected.get().into(),
            ))
        }
    }
}
