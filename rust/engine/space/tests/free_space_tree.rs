// SPDX-License-Identifier: GPL-2.0

use super::trees::{free_space_tree, items, Txn};
use super::{at, numbers, runs};
use crate::disk::{Bytes, FreeSpaceForm, Key, Kind};
use crate::space::free::changes::{SpaceChange, SpaceChanges};
use crate::space::free::tree::{most_bytes, FreeSpaceTree, Recorded};
use latch::prelude::*;
use random::Random;
use std::vec;

const SECTOR: u64 = 4096;
/// Two bitmaps and a piece of a third.
const SECTORS: usize = 2048 * 2 + 600;
const START: u64 = 1 << 30;
const END: u64 = START + SECTORS as u64 * SECTOR;

fn all_free(start: u64, end: u64) -> Recorded {
    Recorded::all_free(at(start), at(end))
}

struct Group {
    txn: Txn,
    tree: FreeSpaceTree,
    recorded: Recorded,
    changes: SpaceChanges,
    /// Free as far as the changes go.
    free: vec::Vec<bool>,
}

impl Group {
    fn new() -> Self {
        let txn = Txn::new();
        let tree = FreeSpaceTree::new(free_space_tree(&txn), SECTOR as u32);
        let recorded = all_free(START, END);
        // Neighbours, which nothing may touch.
        tree.add_group(&txn, &all_free(START - (1 << 20), START))
            .unwrap();
        tree.add_group(&txn, &all_free(END, END + (1 << 20)))
            .unwrap();
        tree.add_group(&txn, &recorded).unwrap();
        Self {
            txn,
            tree,
            recorded,
            changes: SpaceChanges::new(),
            free: vec![true; SECTORS],
        }
    }

    fn toggle(&mut self, start: usize, len: usize) {
        let end = (start + len).min(SECTORS);
        let free = self.free[start];
        if self.free[start..end].iter().any(|&other| other != free) {
            return;
        }
        let change = if free {
            SpaceChange::Allocated
        } else {
            SpaceChange::Freed
        };
        let sector = |sector: usize| at(START + sector as u64 * SECTOR);
        self.changes
            .note(sector(start), sector(end), change)
            .unwrap();
        self.free[start..end].fill(!free);
    }

    fn write(&mut self) {
        self.tree
            .write(&self.txn, &mut self.recorded, &mut self.changes)
            .unwrap();
        assert!(self.changes.is_empty());
        self.agree();
    }

    /// The tree has what the model has, in the form it names, counted right; and the neighbours are as they were.
    fn agree(&self) {
        let expected = runs(&self.free, START, SECTOR);
        let read = |(start, end): (u64, u64)| {
            let mut found: vec::Vec<(u64, u64)> = vec::Vec::new();
            let mut known = None;
            let recorded = *self
                .tree
                .recorded((at(start), at(end)), &mut known)
                .unwrap();
            let read = self.tree.read(&recorded, &mut |start, end| {
                let (start, end) = numbers((start, end));
                match found.last_mut() {
                    Some(last) if last.1 == start => last.1 = end,
                    _ => found.push((start, end)),
                }
                Ok(())
            });
            read.unwrap();
            (recorded, found)
        };
        for span in [(START - (1 << 20), START), (END, END + (1 << 20))] {
            assert_eq!(read(span).1, [span]);
        }
        let (recorded, found) = read((START, END));
        assert_eq!(recorded, self.recorded);
        assert_eq!(found, expected);
        assert_eq!(self.recorded.extent_count as usize, expected.len());
        self.forms();
        self.is_bounded();
    }

    /// Its items take no more than is reserved for a group that is made anew.
    fn is_bounded(&self) {
        let own = items(self.tree.tree())
            .into_iter()
            .filter(|(key, _)| (START..END).contains(&key.objectid.get()));
        let taken: u64 = own.map(|(_, bytes)| 25 + bytes.len() as u64).sum();
        let most = most_bytes(Bytes::new(END - START), Bytes::new(SECTOR)).get();
        assert!(taken <= most, "{taken} bytes, more than {most}");
    }

    fn forms(&self) {
        let mut covered = START;
        for (key, bytes) in items(self.tree.tree()) {
            if key.objectid.get() < START
                || key.objectid.get() >= END
                || key.kind == Kind::FREE_SPACE_INFO
            {
                continue;
            }
            match self.recorded.form {
                FreeSpaceForm::Extents => {
                    assert_eq!((key.kind, bytes.len()), (Kind::FREE_SPACE_EXTENT, 0))
                }
                FreeSpaceForm::Bitmaps => {
                    assert_eq!(key, Key::new(covered, Kind::FREE_SPACE_BITMAP, key.offset));
                    assert_eq!(bytes.len() as u64, (key.offset / SECTOR).div_ceil(8));
                    covered += key.offset;
                    assert!(key.offset == 2048 * SECTOR || covered == END);
                }
            }
        }
        assert!(self.recorded.form == FreeSpaceForm::Extents || covered == END);
    }
}

#[test]
fn any_history_agrees_with_a_bitmap() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let mut group = Group::new();
        for _ in 0..60 {
            for _ in 0..random.below(30) {
                let start = random.below(SECTORS as u64) as usize;
                let len = if random.one_in(10) {
                    1 + random.below(3000)
                } else {
                    1 + random.below(20)
                };
                group.toggle(start, len as usize);
            }
            group.write();
        }
    }
}

/// The threshold is 3 bitmaps * (25 + 256) / 25 = 33 ranges; below nothing it turns back.
#[test]
fn forms_change_at_the_thresholds_of_c() {
    let mut group = Group::new();
    for index in 0..32 {
        group.toggle(index * 100 + 50, 1);
    }
    group.write();
    assert_eq!(
        (group.recorded.extent_count, group.recorded.form),
        (33, FreeSpaceForm::Extents)
    );
    group.toggle(3300, 1);
    group.write();
    assert_eq!(
        (group.recorded.extent_count, group.recorded.form),
        (34, FreeSpaceForm::Bitmaps)
    );
    group.toggle(0, 50);
    group.write();
    assert_eq!(group.recorded.form, FreeSpaceForm::Bitmaps);
}

/// A group so long that the lower threshold is not zero.
#[test]
fn bitmaps_become_extents_again() {
    let txn = Txn::new();
    let tree = FreeSpaceTree::new(free_space_tree(&txn), SECTOR as u32);
    let end = START + (256 << 20);
    let mut recorded = all_free(START, end);
    tree.add_group(&txn, &recorded).unwrap();
    // 32 bitmaps * 281 / 25 = 359 ranges.
    let mut changes = SpaceChanges::new();
    for index in 0..360 {
        let start = START + index * 16 * SECTOR + SECTOR;
        changes
            .note(at(start), at(start + SECTOR), SpaceChange::Allocated)
            .unwrap();
    }
    tree.write(&txn, &mut recorded, &mut changes).unwrap();
    assert_eq!(
        (recorded.extent_count, recorded.form),
        (361, FreeSpaceForm::Bitmaps)
    );
    for index in 0..102 {
        let start = START + index * 16 * SECTOR + SECTOR;
        changes
            .note(at(start), at(start + SECTOR), SpaceChange::Freed)
            .unwrap();
    }
    tree.write(&txn, &mut recorded, &mut changes).unwrap();
    assert_eq!(
        (recorded.extent_count, recorded.form),
        (259, FreeSpaceForm::Bitmaps)
    );
    let start = START + 102 * 16 * SECTOR + SECTOR;
    changes
        .note(at(start), at(start + SECTOR), SpaceChange::Freed)
        .unwrap();
    tree.write(&txn, &mut recorded, &mut changes).unwrap();
    assert_eq!(
        (recorded.extent_count, recorded.form),
        (258, FreeSpaceForm::Extents)
    );
    assert_eq!(items(tree.tree()).len(), 259);
    tree.remove_group(&txn, &recorded).unwrap();
    assert!(items(tree.tree()).is_empty());
}

#[test]
fn what_contradicts_the_tree_is_refused() {
    for bitmaps in [false, true] {
        let mut group = Group::new();
        if bitmaps {
            (0..40).for_each(|index| group.toggle(index * 100 + 50, 1));
        }
        group.toggle(10, 5);
        group.write();
        for (start, change) in [(12, SpaceChange::Allocated), (30, SpaceChange::Freed)] {
            let start = START + start * SECTOR;
            let mut changes = SpaceChanges::new();
            changes
                .note(at(start), at(start + 4 * SECTOR), change)
                .unwrap();
            let mut recorded = group.recorded;
            let _quiet = kernel::print::Capture::new();
            assert_eq!(
                group.tree.write(&group.txn, &mut recorded, &mut changes),
                Err(EUCLEAN)
            );
        }
    }
}
