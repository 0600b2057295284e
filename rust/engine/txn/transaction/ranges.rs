// SPDX-License-Identifier: GPL-2.0
//! Ranges of addresses, ascending, neighbours merged.

use crate::disk::{Bytes, Logical};
use crate::map::OrdMap;
use latch::prelude::*;

/// A set of addresses as ranges.
pub(in crate::txn) struct Ranges {
    /// Start to end.
    map: OrdMap<Logical, Logical>,
}

impl Ranges {
    /// Makes a set of no addresses.
    pub(in crate::txn) fn new() -> Self {
        Self { map: OrdMap::new() }
    }

    /// Adds `len` bytes at `start`. What is there already may be added again.
    pub(in crate::txn) fn add(&mut self, start: Logical, len: Bytes) -> Result {
        let end = start.saturating_add(len);
        if let Some((_, last)) = self.map.floor_mut(&start) {
            if *last >= start {
                let end = end.max(*last);
                *last = end;
                self.absorb(start);
                return Ok(());
            }
        }
        self.map.insert(start, end)?;
        self.absorb(start);
        Ok(())
    }

    /// Merges the range that holds `start` with those behind it that it reaches.
    fn absorb(&mut self, start: Logical) {
        while let Some(end) = self.map.floor(&start).map(|(_, end)| *end) {
            let behind = self
                .map
                .ceiling(&start.saturating_add(Bytes::new(1)))
                .map(|(next, last)| (*next, *last));
            let Some((next, last)) = behind.filter(|(next, _)| *next <= end) else {
                return;
            };
            self.map.remove(&next);
            if let Some((_, end)) = self.map.floor_mut(&start) {
                *end = last.max(*end);
            }
        }
    }

    /// The first range that starts at or behind `from`, as start and length.
    pub(in crate::txn) fn first_from(&self, from: Logical) -> Option<(Logical, Bytes)> {
        let (start, end) = self.map.ceiling(&from)?;
        Some((*start, end.checked_since(*start)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_are_the_set_of_their_units() {
        let mut seed = 1u64;
        for _ in 0..300 {
            let (mut ranges, mut model) = (Ranges::new(), BTreeSet::new());
            for _ in 0..60 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                let (start, len) = ((seed >> 33) % 40, 1 + (seed >> 50) % 3);
                ranges.add(Logical::new(start), Bytes::new(len)).unwrap();
                model.extend(start..start + len);
                let mut found = BTreeSet::new();
                let (mut from, mut end) = (Logical::new(0), None);
                while let Some((start, len)) = ranges.first_from(from) {
                    assert!(end < Some(start.get()), "neighbours are merged");
                    found.extend(start.get()..start.get() + len.get());
                    from = start.saturating_add(len);
                    end = Some(from.get());
                }
                assert_eq!(found, model);
            }
        }
    }
}
