// SPDX-License-Identifier: GPL-2.0

use super::{at, numbers};
use crate::space::free::changes::{SpaceChange, SpaceChanges};
use latch::prelude::*;
use random::Random;
use std::vec;

const SECTORS: usize = 128;

/// Alternates what happens to each sector, as it must: allocated, freed, allocated and so on.
#[test]
fn what_is_left_to_tell_is_the_difference() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut changes = SpaceChanges::new();
        let before: vec::Vec<bool> = (0..SECTORS).map(|_| random.one_in(2)).collect();
        let mut now = before.clone();
        for _ in 0..random.below(200) {
            let start = random.below(SECTORS as u64) as usize;
            let end = (start + 1 + random.below(16) as usize).min(SECTORS);
            let change = if now[start] {
                SpaceChange::Freed
            } else {
                SpaceChange::Allocated
            };
            if now[start..end].iter().any(|&used| used != now[start]) {
                continue;
            }
            changes
                .note(at(start as u64), at(end as u64), change)
                .unwrap();
            now[start..end].fill(change == SpaceChange::Allocated);
        }
        let mut told = before.clone();
        let mut last = None;
        while let Some((start, end, change)) = changes.pop_first() {
            let (start, end) = numbers((start, end));
            assert!(last.is_none_or(|(last_end, last_change)| {
                last_end < start || last_end == start && last_change != change
            }));
            last = Some((end, change));
            for sector in start..end {
                let used = change == SpaceChange::Allocated;
                assert_ne!(
                    told[sector as usize], used,
                    "sector {sector} is told what it knows"
                );
                told[sector as usize] = used;
            }
        }
        assert_eq!(told, now);
    }
}

#[test]
fn the_same_twice_is_an_error() {
    let mut changes = SpaceChanges::new();
    changes
        .note(at(10), at(20), SpaceChange::Allocated)
        .unwrap();
    assert_eq!(
        changes.note(at(19), at(21), SpaceChange::Allocated),
        Err(EUCLEAN)
    );
    assert_eq!(
        changes.note(at(5), at(11), SpaceChange::Allocated),
        Err(EUCLEAN)
    );
    changes.note(at(12), at(14), SpaceChange::Freed).unwrap();
    changes
        .note(at(12), at(14), SpaceChange::Allocated)
        .unwrap();
    assert_eq!(
        changes.pop_first(),
        Some((at(10), at(20), SpaceChange::Allocated))
    );
    assert!(changes.is_empty());
}
