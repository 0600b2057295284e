// SPDX-License-Identifier: GPL-2.0
//! What the free space tree has yet to be told about a block group.

use crate::disk::{Flaw, Logical, Site};
use crate::map::OrdMap;
use latch::prelude::*;

/// What happened to a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum SpaceChange {
    /// The range's extent item was inserted: it is not free any more.
    Allocated,
    /// The range's extent item was removed: it is free.
    Freed,
}

impl SpaceChange {
    /// The flaw of a change to a range that was so already, at `addr`.
    #[cold]
    pub(in crate::space) fn contradicted(self, addr: Logical) -> Flaw {
        match self {
            SpaceChange::Allocated => Flaw::new("extent takes what is not free", addr.get(), 0),
            SpaceChange::Freed => Flaw::new("extent frees what is free", addr.get(), 0),
        }
    }
}

/// Ranges that changed since the free space tree was written; disjoint.
///
/// The tree is told once for each commit and not once for each extent: neighbours become one change, and what was
/// allocated and freed in the same transaction becomes none.
pub(in crate::space) struct SpaceChanges {
    by_start: OrdMap<Logical, (Logical, SpaceChange)>,
}

impl SpaceChanges {
    pub(in crate::space) fn new() -> Self {
        Self {
            by_start: OrdMap::new(),
        }
    }

    pub(in crate::space) fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// How many changes there are.
    pub(in crate::space) fn len(&self) -> usize {
        self.by_start.len()
    }

    /// The changes, ascending.
    pub(in crate::space) fn iter(
        &self,
    ) -> impl Iterator<Item = (Logical, Logical, SpaceChange)> + '_ {
        self.by_start
            .iter()
            .map(|(&start, &(end, change))| (start, end, change))
    }

    /// The first change by address.
    pub(in crate::space) fn pop_first(&mut self) -> Option<(Logical, Logical, SpaceChange)> {
        self.by_start
            .pop_first()
            .map(|(start, (end, change))| (start, end, change))
    }

    /// Notes a change of `[start, end)`. A change back cancels. `EUCLEAN` if the same change is noted already for a
    /// part of it: an extent was allocated or freed twice.
    pub(in crate::space) fn note(
        &mut self,
        start: Logical,
        end: Logical,
        change: SpaceChange,
    ) -> Result {
        let mut at = start;
        while let Some((other_start, other_end, other)) = self.next_overlap(at, end) {
            if other == change {
                let place = Site::Extent(start);
                return Err(change.contradicted(other_start).at(place).report());
            }
            self.cut(
                other_start,
                other_end,
                at.max(other_start),
                end.min(other_end),
                other,
            )?;
            if at < other_start {
                self.add(at, other_start, change)?;
            }
            at = end.min(other_end);
        }
        if at < end {
            self.add(at, end, change)?;
        }
        Ok(())
    }

    /// The first noted range that ends behind `at` and starts before `end`.
    fn next_overlap(&self, at: Logical, end: Logical) -> Option<(Logical, Logical, SpaceChange)> {
        let before = self
            .by_start
            .floor(&at)
            .filter(|(_, (other_end, _))| *other_end > at);
        let (&start, &(other_end, other)) = before.or_else(|| self.by_start.ceiling(&at))?;
        (start < end).then_some((start, other_end, other))
    }

    /// Takes `[from, to)` out of the noted range `[start, end)`.
    fn cut(
        &mut self,
        start: Logical,
        end: Logical,
        from: Logical,
        to: Logical,
        change: SpaceChange,
    ) -> Result {
        if to < end {
            self.by_start.insert(to, (end, change))?;
        }
        match self.by_start.get_mut(&start) {
            Some(value) if start < from => value.0 = from,
            _ => drop(self.by_start.remove(&start)),
        }
        Ok(())
    }

    /// Adds a range that overlaps none, joined with its neighbours of the same kind.
    fn add(&mut self, start: Logical, end: Logical, change: SpaceChange) -> Result {
        let mut end = end;
        if let Some(&(next_end, next)) = self.by_start.get(&end) {
            if next == change {
                self.by_start.remove(&end);
                end = next_end;
            }
        }
        if let Some((_, value)) = self.by_start.floor_mut(&start) {
            if *value == (start, change) {
                value.0 = end;
                return Ok(());
            }
        }
        self.by_start.insert(start, (end, change))?;
        Ok(())
    }
}
