// SPDX-License-Identifier: GPL-2.0
//! Where in a block group bytes are free: the two policies, chosen for each group when it is loaded.

use super::abandoned::Abandoned;
use super::changes::{SpaceChange, SpaceChanges};
use super::ranges::{FreeRanges, Wish};
use crate::disk::{Bytes, Flaw, Logical, Site, ZoneOffset};
use latch::prelude::*;

/// The free bytes of one block group.
pub(in crate::space) enum FreeSpace {
    /// Bytes are free anywhere: on regular devices and conventional zones.
    Anywhere(FreeRanges),
    /// Bytes are free anywhere, and where was not read yet: in what the disk has, less what this holds. Nothing can be
    /// allocated.
    Unread(SpaceChanges),
    /// Bytes are free anywhere, and where cannot be told: nothing is allocated before the next mount.
    GivenUp,
    /// Bytes are free behind the last allocation only: on sequential zones.
    Append(Appending),
}

/// The allocation state of a block group on sequential zones (C: `alloc_offset`, `zone_capacity`).
pub(in crate::space) struct Appending {
    /// The group's address.
    pub(in crate::space) start: Logical,
    /// Where the next allocation starts.
    pub(in crate::space) offset: ZoneOffset,
    /// What the zones hold; at most the group's length.
    pub(in crate::space) capacity: Bytes,
    /// What was allocated and will not be written, but by the write order.
    pub(in crate::space) abandoned: Abandoned,
}

impl Appending {
    /// Where the next allocation starts.
    pub(in crate::space) fn end_of_allocated(&self) -> Logical {
        self.start.saturating_add(self.offset.before())
    }

    /// Where the last block ends that will be written: there is none in what was allocated behind it.
    pub(in crate::space) fn end_of_blocks(&self) -> Logical {
        self.start
            .saturating_add(self.abandoned.trim(self.offset).before())
    }

    /// No block will stand at `addr`.
    pub(in crate::space) fn abandon(&mut self, addr: Logical) {
        if let Some(offset) = addr.checked_since(self.start) {
            self.abandoned.note(ZoneOffset::after(offset));
        }
    }

    /// Whether [`Self::abandon`] was told so.
    pub(in crate::space) fn is_abandoned(&self, addr: Logical) -> bool {
        addr.checked_since(self.start)
            .is_some_and(|offset| self.abandoned.contains(ZoneOffset::after(offset)))
    }

    /// The zones are empty.
    pub(in crate::space) fn restart(&mut self) {
        self.offset = ZoneOffset::new(0);
        self.abandoned.clear();
    }

    /// Bytes that can still be allocated.
    pub(in crate::space) fn free(&self) -> Bytes {
        self.capacity.saturating_sub(self.offset.before())
    }

    fn take(&mut self, wish: Wish) -> Option<(Logical, Logical)> {
        let len = self.free().min(wish.wanted);
        let len = len.round_down(wish.align);
        if len.is_zero() || len < wish.min {
            return None;
        }
        let start = self.end_of_allocated();
        self.offset = self.offset.saturating_add(len);
        Some((start, self.end_of_allocated()))
    }
}

/// What bytes that belong to nothing are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum Idle {
    /// The bytes can be allocated.
    Free,
    /// The bytes can be allocated when it was read where they are.
    Unread,
    /// The bytes are not allocated before the next mount.
    Lost,
    /// The bytes wait for the reset of their zone.
    Unusable,
}

impl FreeSpace {
    /// Bytes that can be allocated now.
    pub(in crate::space) fn free(&self) -> Bytes {
        match self {
            FreeSpace::Anywhere(ranges) => ranges.free(),
            FreeSpace::Unread(_) | FreeSpace::GivenUp => Bytes::ZERO,
            FreeSpace::Append(appending) => appending.free(),
        }
    }

    /// What fits into a group of `len` bytes: less, where zones hold less than they are long.
    pub(in crate::space) fn capacity(&self, len: Bytes) -> Bytes {
        match self {
            FreeSpace::Anywhere(_) | FreeSpace::Unread(_) | FreeSpace::GivenUp => len,
            FreeSpace::Append(appending) => appending.capacity,
        }
    }

    /// No allocation can be longer than this.
    pub(in crate::space) fn largest(&self) -> Bytes {
        match self {
            FreeSpace::Anywhere(ranges) => ranges.largest(),
            FreeSpace::Unread(_) | FreeSpace::GivenUp => Bytes::ZERO,
            FreeSpace::Append(appending) => appending.free(),
        }
    }

    /// Takes a range; `None` if nothing fits.
    pub(in crate::space) fn take(&mut self, wish: Wish) -> Result<Option<(Logical, Logical)>> {
        match self {
            FreeSpace::Anywhere(ranges) => ranges.take(wish),
            FreeSpace::Unread(_) | FreeSpace::GivenUp => Ok(None),
            FreeSpace::Append(appending) => Ok(appending.take(wish)),
        }
    }

    /// Takes `[start, end)` and tells what it was; `EEXIST` if it is not idle. On sequential zones that is a range
    /// before the write pointer, written by the mount that crashed: it belongs to whoever finds it referenced.
    pub(in crate::space) fn take_at(&mut self, start: Logical, end: Logical) -> Result<Idle> {
        match self {
            FreeSpace::Anywhere(ranges) => ranges.remove(start, end).map(|()| Idle::Free),
            FreeSpace::Unread(_) | FreeSpace::GivenUp => Err(EEXIST),
            FreeSpace::Append(appending) if end <= appending.end_of_allocated() => {
                Ok(Idle::Unusable)
            }
            FreeSpace::Append(_) => Err(EEXIST),
        }
    }

    /// Keeps `[start, end)`, which has no extent item any more, from being free until it is given back.
    pub(in crate::space) fn keep(&mut self, start: Logical, end: Logical) -> Result {
        match self {
            FreeSpace::Unread(kept) => kept.note(start, end, SpaceChange::Allocated),
            FreeSpace::Anywhere(_) | FreeSpace::GivenUp | FreeSpace::Append(_) => Ok(()),
        }
    }

    /// Gives `[start, end)` back and tells what it is now. `EUCLEAN` if it was free.
    pub(in crate::space) fn give_back(&mut self, start: Logical, end: Logical) -> Result<Idle> {
        match self {
            FreeSpace::Anywhere(ranges) => ranges.insert(start, end).map(|()| Idle::Free),
            FreeSpace::Unread(kept) => kept
                .note(start, end, SpaceChange::Freed)
                .map(|()| Idle::Unread),
            FreeSpace::GivenUp => Ok(Idle::Lost),
            FreeSpace::Append(appending) if end <= appending.end_of_allocated() => {
                Ok(Idle::Unusable)
            }
            FreeSpace::Append(appending) => {
                let allocated = appending.end_of_allocated();
                let what = "range becomes free that was not allocated";
                let flaw = Flaw::new(what, end.get(), allocated.get());
                Err(flaw.at(Site::Extent(start)).report())
            }
        }
    }
}
