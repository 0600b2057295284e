// SPDX-License-Identifier: GPL-2.0
//! Long lists of ranges in small allocations, and the ranges that wait for a commit.

use crate::disk::{Bug, Generation, Logical};
use crate::map::OrdMap;
use latch::prelude::*;

/// A chunk of the list is made where the last is full, and a list where a transaction has none.
const NO_ROOM: Bug = Bug::new("a pinned range has no place");

/// Ranges in one allocation: a page of them.
const CHUNK: usize = 256;

/// A list of ranges `(start, end)` in the order they came. Grows without copying and without large allocations.
pub(in crate::space) struct Spans {
    chunks: OrdMap<usize, KVec<(Logical, Logical)>>,
    count: usize,
}

impl Spans {
    pub(in crate::space) fn new() -> Self {
        Self {
            chunks: OrdMap::new(),
            count: 0,
        }
    }

    /// Adds a range; one that continues the last is joined with it.
    pub(in crate::space) fn push(&mut self, start: Logical, end: Logical) -> Result {
        if let Some(last) = self.last_chunk().and_then(|chunk| chunk.last_mut()) {
            if last.1 == start {
                last.1 = end;
                return Ok(());
            }
        }
        if self.last_chunk().is_none_or(|chunk| chunk.len() >= CHUNK) {
            let number = self
                .chunks
                .last()
                .map_or(0, |(last, _)| last.saturating_add(1));
            let chunk = KVec::with_capacity(CHUNK, GFP_NOFAIL)?;
            self.chunks.insert(number, chunk)?;
        }
        let chunk = self.last_chunk().ok_or(NO_ROOM)?;
        let pushed = chunk.push_within_capacity((start, end));
        pushed.map_err(|_| NO_ROOM)?;
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    fn last_chunk(&mut self) -> Option<&mut KVec<(Logical, Logical)>> {
        self.chunks.floor_mut(&usize::MAX).map(|(_, chunk)| chunk)
    }

    /// Takes the range that came last.
    pub(in crate::space) fn pop(&mut self) -> Option<(Logical, Logical)> {
        loop {
            let chunk = self.last_chunk()?;
            if let Some(span) = chunk.pop() {
                self.count = self.count.saturating_sub(1);
                return Some(span);
            }
            self.chunks.pop_last();
        }
    }

    /// How many there are.
    pub(in crate::space) fn len(&self) -> usize {
        self.count
    }

    pub(in crate::space) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(in crate::space) fn iter(&self) -> impl Iterator<Item = (Logical, Logical)> + '_ {
        self.chunks.values().flat_map(|chunk| chunk.iter().copied())
    }
}

/// What transactions freed that are not durable yet: the committing one and the running one, rarely more.
pub(in crate::space) struct Pins {
    sets: OrdMap<Generation, Spans>,
}

impl Pins {
    pub(in crate::space) fn new() -> Self {
        Self {
            sets: OrdMap::new(),
        }
    }

    /// Remembers a range that `generation` freed.
    pub(in crate::space) fn push(
        &mut self,
        generation: Generation,
        start: Logical,
        end: Logical,
    ) -> Result {
        if !self.sets.contains_key(&generation) {
            self.sets.insert(generation, Spans::new())?;
        }
        self.sets
            .get_mut(&generation)
            .ok_or(NO_ROOM)?
            .push(start, end)
    }

    /// Takes out the ranges of a transaction up to and with `generation`; `None` when there are no more. Its place is
    /// kept, so that [`Self::put_back`] needs no memory.
    pub(in crate::space) fn pop(&mut self, generation: Generation) -> Option<(Generation, Spans)> {
        loop {
            let (&of, _) = self.sets.first().filter(|(of, _)| **of <= generation)?;
            let spans = core::mem::replace(self.sets.get_mut(&of)?, Spans::new());
            if !spans.is_empty() {
                return Some((of, spans));
            }
            self.sets.remove(&of);
        }
    }

    /// Puts back what could not be freed.
    pub(in crate::space) fn put_back(&mut self, (of, spans): (Generation, Spans)) {
        if let Some(place) = self.sets.get_mut(&of) {
            *place = spans;
        }
    }
}
