// SPDX-License-Identifier: GPL-2.0
//! Many tasks on one tree, with the lock checker watching.

use crate::fixture::Fixture;
use core::ops::ControlFlow;
use engine::btree::{Cursor, Sought, Writer};
use engine::disk::{Key, Kind, ObjectId};
use harness::random::Random;
use kernel::prelude::{EEXIST, ENOENT};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const WRITERS: u64 = 4;
const SPAN: u64 = 2000;

/// The keys of one writer, spread among those of the others.
fn key(writer: u64, n: u64) -> Key {
    Key::new(1000 + n * WRITERS + writer, Kind::STRING_ITEM, 7)
}

/// A value that tells whose it is and cannot be half written without being seen.
fn value(random: &mut Random, key: &Key) -> Vec<u8> {
    let len = 16 + random.below(150) as usize / 8 * 8;
    key.objectid
        .get()
        .to_le_bytes()
        .iter()
        .copied()
        .cycle()
        .take(len)
        .collect()
}

fn check_value(key: &Key, bytes: &[u8]) {
    assert!(
        bytes
            .chunks(8)
            .all(|chunk| chunk == key.objectid.get().to_le_bytes()),
        "torn: {key:?}"
    );
}

fn write(
    fixture: &Fixture,
    writer: u64,
    seed: u64,
    model: &mut BTreeMap<Key, Vec<u8>>,
    steps: u32,
) {
    let mut random = Random::new(seed + writer);
    let (tree, ledger) = (&fixture.tree, &fixture.ledger);
    for _ in 0..steps {
        let key = key(writer, random.below(SPAN));
        let bytes = value(&mut random, &key);
        match random.below(6) {
            0..=2 => match tree.insert(ledger, &key, &bytes) {
                Ok(()) => assert_eq!(model.insert(key, bytes), None),
                Err(error) => assert!(error == EEXIST && model.contains_key(&key)),
            },
            3 => match tree.remove(ledger, &key) {
                Ok(()) => assert!(model.remove(&key).is_some()),
                Err(error) => assert!(error == ENOENT && !model.contains_key(&key)),
            },
            4 => match tree.replace(ledger, &key, &bytes) {
                Ok(()) => assert!(model.insert(key, bytes).is_some()),
                Err(error) => assert!(error == ENOENT && !model.contains_key(&key)),
            },
            _ => batch(fixture, writer, &mut random, model),
        }
    }
}

/// Replaces and inserts own items in a row; passes over those of others.
fn batch(fixture: &Fixture, writer: u64, random: &mut Random, model: &mut BTreeMap<Key, Vec<u8>>) {
    let mut place = Writer::new(&fixture.tree, &fixture.ledger);
    let start = random.below(SPAN);
    for n in start..(start + 10).min(SPAN) {
        let key = key(writer, n);
        let bytes = value(random, &key);
        let exact = place.seek(&key).unwrap();
        assert_eq!(exact == Sought::Found, model.contains_key(&key));
        let result = match exact {
            Sought::Found if n % 3 == 0 => {
                place.remove_here().unwrap();
                model.remove(&key);
                continue;
            }
            Sought::Found => place.resize_here(bytes.len()),
            Sought::Missing => place.insert_here(&key, bytes.len()),
        };
        result.unwrap().copy_from_slice(&bytes);
        model.insert(key, bytes);
    }
}

fn read(fixture: &Fixture, fixed: &[Key], stop: &AtomicBool, seed: u64) {
    let mut random = Random::new(seed);
    let tree = &fixture.tree;
    while !stop.load(Ordering::Relaxed) {
        let key = key(random.below(WRITERS), random.below(SPAN));
        tree.get(&key, |bytes| check_value(&key, bytes)).unwrap();
        tree.floor(&key, |found, bytes| {
            assert!(found <= key);
            check_value(&found, bytes);
        })
        .unwrap();
        // Items that nobody touches are seen once each, in order, whatever happens around them.
        let mut seen = vec![];
        let mut last = None;
        tree.scan(Key::MIN..=Key::MAX, |key, bytes| {
            check_value(&key, bytes);
            assert!(last < Some(key));
            last = Some(key);
            if key.offset == 8 {
                seen.push(key);
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert!(seen == fixed);
        let mut cursor = Cursor::new(tree);
        let mut back = vec![];
        let mut behind = Some(Key::MAX);
        while let Some(key) = behind {
            cursor.seek_floor(&key).unwrap();
            let found = cursor.item().map(|(key, _)| key);
            back.extend(found.filter(|key| key.offset == 8));
            behind = found.and_then(Key::predecessor);
        }
        assert!(back.iter().rev().eq(fixed));
    }
}

fn run(node_size: u32, seed: u64, steps: u32) {
    let mut fixture = Fixture::new(node_size, ObjectId::FREE_SPACE_TREE, seed);
    let mut fixed = vec![];
    for n in 0..SPAN / 10 {
        let key = Key {
            offset: 8,
            ..key(n % WRITERS, n * 10)
        };
        let bytes = value(&mut fixture.random, &key);
        fixture.tree.insert(&fixture.ledger, &key, &bytes).unwrap();
        fixture.model.insert(key, bytes);
        fixed.push(key);
    }
    for round in 0..4 {
        fixture.commit();
        let stop = AtomicBool::new(false);
        let models: Vec<_> = std::thread::scope(|scope| {
            let (fixture, fixed, stop) = (&fixture, &fixed[..], &stop);
            for reader in 0..2 {
                scope.spawn(move || read(fixture, fixed, stop, seed * 10 + reader));
            }
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    fixture.write_back();
                    std::thread::sleep(std::time::Duration::from_millis(3));
                }
            });
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let own = |key: &Key| key.objectid.get() % WRITERS == writer && key.offset == 7;
                    let mut model: BTreeMap<_, _> = fixture
                        .model
                        .iter()
                        .filter(|(key, _)| own(key))
                        .map(|(k, v)| (*k, v.clone()))
                        .collect();
                    scope.spawn(move || {
                        write(fixture, writer, seed * 100 + round * 10, &mut model, steps);
                        assert_eq!(latch::lockdep::held(), 0);
                        model
                    })
                })
                .collect();
            let models = writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect();
            stop.store(true, Ordering::Relaxed);
            models
        });
        fixture.model.retain(|key, _| key.offset == 8);
        for model in models {
            fixture.model.extend(model);
        }
        fixture.check();
    }
}

#[test]
fn writers_and_readers_share_a_tree() {
    for seed in 0..3 {
        run(4096, seed, 1500);
    }
}
