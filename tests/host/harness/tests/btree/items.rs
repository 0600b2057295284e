// SPDX-License-Identifier: GPL-2.0
//! Random operations on one tree.

use crate::fixture::Fixture;
use core::ops::ControlFlow;
use engine::btree::{Cursor, Sought, Writer};
use engine::disk::{Key, Kind, ObjectId};
use kernel::prelude::{EEXIST, EIO, ENOENT, EOVERFLOW};

/// One random operation, on the tree and on the model.
pub(crate) fn operate(fixture: &mut Fixture, span: u64, most: usize) {
    match fixture.random.below(12) {
        0..=4 => insert(fixture, span, most),
        5 => update(fixture, span),
        6 => replace(fixture, span, most),
        7 | 8 => remove(fixture, span),
        9 => remove_range(fixture, span),
        10 => batch(fixture, span, most),
        _ => look_up(fixture, span),
    }
}

pub(crate) fn insert(fixture: &mut Fixture, span: u64, most: usize) {
    let (key, bytes) = (fixture.key(span), fixture.bytes(most));
    let result = fixture.tree.insert(&fixture.ledger, &key, &bytes);
    match fixture.model.entry(key) {
        std::collections::btree_map::Entry::Occupied(_) => assert_eq!(result, Err(EEXIST)),
        std::collections::btree_map::Entry::Vacant(entry) => {
            assert_eq!(result, Ok(()));
            entry.insert(bytes);
        }
    }
}

fn update(fixture: &mut Fixture, span: u64) {
    let key = fixture.key(span);
    let mask = fixture.random.next() as u8;
    let change = |bytes: &mut [u8]| bytes.iter_mut().for_each(|byte| *byte ^= mask);
    let result = fixture.tree.update(&fixture.ledger, &key, change);
    match fixture.model.get_mut(&key) {
        Some(bytes) => {
            change(bytes);
            assert_eq!(result, Ok(()));
        }
        None => assert_eq!(result, Err(ENOENT)),
    }
}

fn replace(fixture: &mut Fixture, span: u64, most: usize) {
    let (key, new) = (fixture.key(span), fixture.bytes(most));
    let result = fixture.tree.replace(&fixture.ledger, &key, &new);
    match fixture.model.get_mut(&key) {
        Some(bytes) => {
            *bytes = new;
            assert_eq!(result, Ok(()));
        }
        None => assert_eq!(result, Err(ENOENT)),
    }
}

fn remove(fixture: &mut Fixture, span: u64) {
    let key = fixture.key(span);
    let result = fixture.tree.remove(&fixture.ledger, &key);
    let expected = fixture.model.remove(&key).map(drop).ok_or(ENOENT);
    assert_eq!(result, expected);
}

fn remove_range(fixture: &mut Fixture, span: u64) {
    let first = fixture.key(span);
    let last = Key {
        objectid: ObjectId::new(first.objectid.get() + fixture.random.below(3)),
        ..first
    };
    let limit = fixture.random.below(60) as usize;
    let removed = fixture
        .tree
        .remove_range(&fixture.ledger, &first, &last, limit)
        .unwrap();
    let doomed: Vec<Key> = fixture
        .model
        .range(first..=last)
        .map(|(key, _)| *key)
        .take(limit)
        .collect();
    assert_eq!(removed, doomed.len());
    for key in doomed {
        fixture.model.remove(&key);
    }
}

/// A writer does several things near each other.
fn batch(fixture: &mut Fixture, span: u64, most: usize) {
    let start = fixture.key(span);
    let tree = fixture.tree.clone();
    let mut at = start;
    let steps = fixture.random.below(20);
    let plan: Vec<(u64, Key, Vec<u8>)> = (0..steps)
        .map(|_| {
            (
                fixture.random.below(7),
                fixture.key(span),
                fixture.bytes(most),
            )
        })
        .collect();
    let mut writer = Writer::new(&tree, &fixture.ledger);
    let exact = writer.seek(&at).unwrap() == Sought::Found;
    assert_eq!(exact, fixture.model.contains_key(&at));
    for (action, mut key, bytes) in plan {
        let here = fixture
            .model
            .range(at..)
            .next()
            .map(|(key, bytes)| (*key, bytes.clone()));
        if action < 4 || fixture.model.len() % 3 == 0 {
            assert_eq!(
                writer.item().unwrap(),
                here.as_ref().map(|(key, bytes)| (*key, &bytes[..]))
            );
        }
        match action {
            0 => {
                assert_eq!(writer.remove_here(), here.as_ref().map(drop).ok_or(ENOENT));
                if let Some((key, _)) = here {
                    fixture.model.remove(&key);
                    at = key;
                }
            }
            1 => {
                let result = writer
                    .resize_here(bytes.len())
                    .map(|item| item.copy_from_slice(&bytes));
                assert_eq!(result, here.as_ref().map(drop).ok_or(ENOENT));
                if let Some((key, _)) = here {
                    fixture.model.insert(key, bytes);
                    at = key;
                }
            }
            2 => {
                if let Some((key, item)) = writer.item_mut().unwrap() {
                    item.fill(9);
                    fixture.model.get_mut(&key).unwrap().fill(9);
                }
            }
            3 => {
                writer.next().unwrap();
                let next = here.and_then(|(key, _)| key.successor());
                let next = next
                    .and_then(|key| fixture.model.range(key..).next())
                    .map(|(key, _)| *key);
                assert_eq!(writer.item().unwrap().map(|(key, _)| key), next);
                match next {
                    Some(next) => at = next,
                    None => return,
                }
            }
            4 => {
                assert_eq!(
                    writer.seek_floor(&key).unwrap() == Sought::Found,
                    fixture.model.range(..=key).next().is_some()
                );
                match fixture.model.range(..=key).next_back() {
                    Some((floor, _)) => at = *floor,
                    None => return,
                }
            }
            5 => rekey(&mut writer, &mut fixture.model, &mut at),
            _ => {
                // Near the place or anywhere.
                if bytes.len() % 2 == 0 {
                    key = Key {
                        offset: at.offset + bytes.len() as u64 % 1000,
                        ..at
                    };
                }
                match (
                    writer.insert_here(&key, bytes.len()),
                    fixture.model.contains_key(&key),
                ) {
                    (Ok(item), false) => {
                        assert!(item.iter().all(|byte| *byte == 0));
                        item.copy_from_slice(&bytes);
                        fixture.model.insert(key, bytes);
                    }
                    (result, taken) => assert!(taken && result == Err(EEXIST)),
                }
                at = key;
            }
        }
    }
}

type Model = std::collections::BTreeMap<Key, Vec<u8>>;

/// Moves an item between its neighbours, and tries to move it past one.
fn rekey(writer: &mut Writer<'_>, model: &mut Model, at: &mut Key) {
    let Some(old) = model.range(*at..).next().map(|(key, _)| *key) else {
        assert_eq!(writer.rekey_here(at), Err(ENOENT));
        return;
    };
    let before = model.range(..old).next_back().map(|(key, _)| *key);
    if let Some(before) = before {
        assert_eq!(writer.item().unwrap().map(|(key, _)| key), Some(old));
        assert_eq!(writer.rekey_here(&before), Err(EIO));
    }
    let lower = Key {
        offset: old.offset.saturating_sub(1),
        ..old
    };
    let new = if before.is_some_and(|before| lower <= before) {
        old
    } else {
        lower
    };
    assert_eq!(writer.rekey_here(&new), Ok(()));
    let bytes = model.remove(&old).unwrap();
    model.insert(new, bytes);
    *at = new;
}

fn look_up(fixture: &mut Fixture, span: u64) {
    let key = fixture.key(span);
    let tree = &fixture.tree;
    let model = &fixture.model;
    let got = tree.get(&key, <[u8]>::to_vec).unwrap();
    assert_eq!(got.as_ref(), model.get(&key));
    let pair = |key: Key, bytes: &[u8]| (key, bytes.to_vec());
    let floor = model
        .range(..=key)
        .next_back()
        .map(|(key, bytes)| (*key, bytes.clone()));
    assert_eq!(tree.floor(&key, pair).unwrap(), floor);
    let ceiling = model
        .range(key..)
        .next()
        .map(|(key, bytes)| (*key, bytes.clone()));
    assert_eq!(tree.ceiling(&key, pair).unwrap(), ceiling);
    let last = Key {
        objectid: ObjectId::new(key.objectid.get() + 2),
        ..key
    };
    let mut seen = vec![];
    tree.scan(key..=last, |key, bytes| {
        seen.push((key, bytes.to_vec()));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert!(seen
        .iter()
        .map(|(key, bytes)| (key, bytes))
        .eq(model.range(key..=last)));
    let mut cursor = Cursor::new(tree);
    let mut back = vec![];
    let mut behind = Some(key);
    while let Some(key) = behind.filter(|_| back.len() < 100) {
        cursor.seek_floor(&key).unwrap();
        let Some((key, _)) = cursor.item() else { break };
        back.push(key);
        behind = key.predecessor();
    }
    assert!(back
        .iter()
        .eq(model.range(..=key).rev().take(100).map(|(key, _)| key)));
}

fn run(node_size: u32, seed: u64, rounds: u32, span: u64, most: usize) {
    let mut fixture = Fixture::new(node_size, ObjectId::UUID_TREE, seed);
    for round in 0..rounds {
        for _ in 0..100 {
            operate(&mut fixture, span, most);
            if fixture.random.one_in(30) {
                fixture.write_and_watch();
            }
        }
        if round % 4 == 3 {
            fixture.commit();
        } else {
            fixture.check();
        }
        assert_eq!(latch::lockdep::held(), 0);
    }
}

#[test]
fn small_items_in_small_nodes() {
    for seed in 0..4 {
        run(4096, seed, 60, 3000, 60);
    }
}

#[test]
fn long_items_in_small_nodes() {
    for seed in 0..4 {
        run(4096, 100 + seed, 60, 600, 4096 - 101 - 25);
    }
}

#[test]
fn few_long_items() {
    for seed in 0..4 {
        run(4096, 200 + seed, 40, 12, 4096 - 101 - 25);
    }
}

#[test]
fn nodes_of_16_kib() {
    run(16384, 300, 60, 20000, 300);
    run(16384, 301, 40, 1000, 16384 - 101 - 25);
}

#[test]
fn nodes_of_64_kib() {
    run(65536, 400, 30, 20000, 200);
    run(65536, 401, 20, 200, 65536 - 101 - 25);
}

#[test]
fn too_long_an_item_is_refused() {
    let fixture = Fixture::new(4096, ObjectId::UUID_TREE, 1);
    let key = Key::new(1, Kind::STRING_ITEM, 1);
    let ledger = &fixture.ledger;
    assert_eq!(
        fixture.tree.insert(ledger, &key, &[0; 4096 - 101 - 24]),
        Err(EOVERFLOW)
    );
    fixture
        .tree
        .insert(ledger, &key, &[0; 4096 - 101 - 25])
        .unwrap();
    assert_eq!(
        fixture.tree.replace(ledger, &key, &[0; 4096 - 101 - 24]),
        Err(EOVERFLOW)
    );
    let mut writer = Writer::new(&fixture.tree, ledger);
    assert_eq!(writer.insert_here(&Key::MAX, usize::MAX), Err(EOVERFLOW));
    writer.seek(&key).unwrap();
    assert_eq!(writer.resize_here(usize::MAX), Err(EOVERFLOW));
}

/// Three levels and more, filled in order, against it and at random, then emptied in all ways.
#[test]
fn deep_trees_grow_and_shrink() {
    for pattern in 0..6u64 {
        let mut fixture = Fixture::new(4096, ObjectId::UUID_TREE, pattern);
        let count = 40_000u64;
        let key = |n: u64| Key::new(256 + n / 100, Kind::STRING_ITEM, n % 100);
        let order = |n: u64, by: u64| match by {
            0 => n,
            1 => count - 1 - n,
            _ => n * 7919 % count,
        };
        for n in 0..count {
            let key = key(order(n, pattern % 3));
            fixture
                .tree
                .insert(&fixture.ledger, &key, &n.to_le_bytes())
                .unwrap();
            fixture.model.insert(key, n.to_le_bytes().to_vec());
        }
        let found = fixture.check();
        assert!(fixture.tree.root_pointer().level >= 2);
        if pattern % 3 == 0 {
            // Keys that come in order leave full leaves.
            assert!(
                found.used * 100 > found.leaves * (4096 - 101) * 97,
                "{} in {}",
                found.used,
                found.leaves
            );
        }
        fixture.commit();
        for n in 0..count {
            let key = key(order(n, (pattern + pattern / 3) % 3));
            fixture.tree.remove(&fixture.ledger, &key).unwrap();
            fixture.model.remove(&key);
            if n % 10_000 == 9_999 {
                fixture.check();
            }
        }
        fixture.check();
        assert_eq!(fixture.tree.root_pointer().level, 0, "pattern {pattern}");
        fixture.commit();
    }
}

#[test]
fn a_range_goes_at_once() {
    let mut fixture = Fixture::new(4096, ObjectId::UUID_TREE, 5);
    for n in 0..30_000u64 {
        let key = Key::new(n / 100, Kind::STRING_ITEM, n % 100);
        fixture
            .tree
            .insert(&fixture.ledger, &key, &[1; 30])
            .unwrap();
        fixture.model.insert(key, vec![1; 30]);
    }
    fixture.commit();
    let (first, last) = (
        Key::new(10, Kind::STRING_ITEM, 50),
        Key::new(290, Kind::STRING_ITEM, 49),
    );
    assert_eq!(
        fixture
            .tree
            .remove_range(&fixture.ledger, &first, &last, 5000),
        Ok(5000)
    );
    assert_eq!(
        fixture
            .tree
            .remove_range(&fixture.ledger, &first, &last, usize::MAX),
        Ok(23_000)
    );
    assert_eq!(
        fixture
            .tree
            .remove_range(&fixture.ledger, &first, &last, usize::MAX),
        Ok(0)
    );
    fixture.model.retain(|key, _| !(first..=last).contains(key));
    fixture.check();
    assert_eq!(
        fixture
            .tree
            .remove_range(&fixture.ledger, &Key::MIN, &Key::MAX, usize::MAX),
        Ok(2000)
    );
    fixture.model.clear();
    let found = fixture.check();
    assert_eq!(found.blocks, 1);
}

/// What an operation costs, for the eye: `cargo test --release -p harness --test btree -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost() {
    let mut fixture = Fixture::new(16384, ObjectId::UUID_TREE, 1);
    let count = 200_000u64;
    let key = |n: u64| Key::new(256 + n / 10, Kind::STRING_ITEM, n % 10);
    let time = |what: &str, fixture: &Fixture, each: &dyn Fn(&Fixture, u64)| {
        let start = std::time::Instant::now();
        for n in 0..count {
            each(fixture, n);
        }
        println!(
            "{what}: {} ns",
            start.elapsed().as_nanos() / u128::from(count)
        );
    };
    let shuffled = |n: u64| n * 7919 % count;
    time("insert at random", &fixture, &|fixture, n| {
        fixture
            .tree
            .insert(&fixture.ledger, &key(shuffled(n)), &[7; 100])
            .unwrap();
    });
    time("get at random", &fixture, &|fixture, n| {
        fixture
            .tree
            .get(&key(shuffled(n)), |bytes| assert_eq!(bytes.len(), 100))
            .unwrap();
    });
    time("update at random", &fixture, &|fixture, n| {
        fixture
            .tree
            .update(&fixture.ledger, &key(shuffled(n)), |bytes| bytes[0] = 1)
            .unwrap();
    });
    time("remove at random", &fixture, &|fixture, n| {
        fixture
            .tree
            .remove(&fixture.ledger, &key(shuffled(n)))
            .unwrap();
    });
    let mut writer = Writer::new(&fixture.tree, &fixture.ledger);
    let start = std::time::Instant::now();
    for n in 0..count {
        writer.insert_here(&key(n), 100).unwrap();
    }
    println!(
        "insert in order, one writer: {} ns",
        start.elapsed().as_nanos() / u128::from(count)
    );
    writer.release();
    fixture.reopen();
}
