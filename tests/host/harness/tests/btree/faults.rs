// SPDX-License-Identifier: GPL-2.0
//! Allocations that fail in the middle of an operation.

use crate::fixture::Fixture;
use crate::items::operate;
use crate::shape::walk;
use engine::disk::{Key, Kind, ObjectId};
use kernel::alloc::inject;
use kernel::prelude::{ENOMEM, EUCLEAN};
use kernel::print::Capture;
use std::collections::BTreeMap;

/// Free space has a block that is in use: a copy of it must not take its place.
#[test]
fn a_copy_is_not_put_where_the_block_is() {
    let mut fixture = Fixture::new(4096, ObjectId::UUID_TREE, 0);
    for _ in 0..200 {
        operate(&mut fixture, 3000, 200);
    }
    fixture.commit();
    fixture.write_back();
    let log = Capture::new();
    let key = Key::new(u64::from(u32::MAX), Kind::STRING_ITEM, 0);
    fixture.ledger.lie_once();
    let inserted = fixture.tree.insert(&fixture.ledger, &key, b"item");
    assert_eq!(inserted, Err(EUCLEAN));
    assert!(fixture.ledger.is_poisoned());
    let line = "free space has a tree block that is in use";
    assert!(log.contains(line), "{:?}", log.lines());
    assert!(walk(&fixture.tree).items == fixture.model);
}

/// Each allocation of an insertion or a removal fails once. What comes back says what happened: after an error the
/// tree is as it was, or as it would be, and whole; the references are right, or the transaction is poisoned.
#[test]
fn every_allocation_may_fail() {
    let mut poisoned = 0;
    for seed in 0..30u64 {
        let mut fixture = Fixture::new(4096, ObjectId::UUID_TREE, seed);
        for _ in 0..2000 {
            operate(&mut fixture, 3000, 200);
        }
        fixture.commit();
        for round in 0..40 {
            fixture.write_back();
            let key = fixture.key(3000);
            let bytes = fixture.bytes(2000);
            let Fixture {
                tree,
                ledger,
                model,
                ..
            } = &mut fixture;
            for nth in 0.. {
                let failing = inject::fail_nth(nth);
                let before = inject::counters().failed;
                let result = match model.contains_key(&key) {
                    true if round % 3 == 0 => tree.replace(ledger, &key, &bytes),
                    true => tree.remove(ledger, &key),
                    false => tree.insert(ledger, &key, &bytes),
                };
                let failed = inject::counters().failed > before;
                drop(failing);
                if result == Err(ENOMEM) {
                    assert!(failed);
                    let found = walk(tree).items;
                    assert!(
                        same(&found, model),
                        "seed {seed} round {round} allocation {nth}: items were lost"
                    );
                    poisoned += u32::from(ledger.is_poisoned());
                    if ledger.is_poisoned() {
                        break;
                    }
                    continue;
                }
                result.unwrap();
                if model.remove(&key).is_none() || round % 3 == 0 {
                    model.insert(key, bytes);
                }
                break;
            }
            if fixture.ledger.is_poisoned() {
                break;
            }
            fixture.check();
        }
        if !fixture.ledger.is_poisoned() {
            fixture.commit();
        }
    }
    assert!(poisoned < 30, "a transaction should seldom be lost");
}

fn same(found: &BTreeMap<Key, Vec<u8>>, model: &BTreeMap<Key, Vec<u8>>) -> bool {
    found == model
}

/// Failures all the time, while many operations run.
#[test]
fn memory_is_short() {
    for seed in 0..10u64 {
        let mut fixture = Fixture::new(4096, ObjectId::UUID_TREE, seed);
        for n in 0..3000u64 {
            let key = Key::new(n * 7919 % 3001, Kind::STRING_ITEM, 0);
            fixture
                .tree
                .insert(&fixture.ledger, &key, &[1; 100])
                .unwrap();
            fixture.model.insert(key, vec![1; 100]);
        }
        fixture.commit();
        let failing = inject::fail_randomly(seed, 10);
        for n in 0..3000u64 {
            let key = Key::new(n * 7919 % 3001, Kind::STRING_ITEM, 0);
            match fixture.tree.remove(&fixture.ledger, &key) {
                Ok(()) => drop(fixture.model.remove(&key)),
                Err(error) => assert_eq!(error, ENOMEM),
            }
            let key = Key::new(n * 104_729 % 5003, Kind::STRING_ITEM, 1);
            match fixture.tree.insert(&fixture.ledger, &key, &[2; 200]) {
                Ok(()) => drop(fixture.model.insert(key, vec![2; 200])),
                Err(error) => assert_eq!(error, ENOMEM),
            }
        }
        drop(failing);
        assert!(walk(&fixture.tree).items == fixture.model);
        if !fixture.ledger.is_poisoned() {
            fixture.commit();
        }
    }
}
