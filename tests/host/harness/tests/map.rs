// SPDX-License-Identifier: GPL-2.0
//! The ordered map does what std's does, and waits for memory.

use engine::map::{insert_in_order, OrdMap, Spare};
use harness::random::Random;
use kernel::alloc::inject;
use kernel::prelude::{KVec, GFP_KERNEL};
use std::collections::BTreeMap;

fn step(random: &mut Random, map: &mut OrdMap<u64, u64>, model: &mut BTreeMap<u64, u64>) {
    let key = random.below(64);
    let value = random.next();
    match random.below(9) {
        0..=2 => assert_eq!(map.insert(key, value).unwrap(), model.insert(key, value)),
        3 => assert_eq!(
            map.insert_spare(Spare::new(GFP_KERNEL).unwrap(), key, value),
            model.insert(key, value)
        ),
        4 => assert_eq!(map.remove(&key), model.remove(&key)),
        5 => assert_eq!(map.pop_first(), model.pop_first()),
        6 => assert_eq!(map.pop_last(), model.pop_last()),
        7 => {
            let ours = map
                .floor_mut(&key)
                .map(|(key, v)| (*key, std::mem::replace(v, value)));
            let theirs = model.range_mut(..=key).next_back();
            assert_eq!(
                ours,
                theirs.map(|(key, v)| (*key, std::mem::replace(v, value)))
            );
        }
        _ => {
            let ours = map
                .ceiling_mut(&key)
                .map(|(key, v)| (*key, std::mem::replace(v, value)));
            let theirs = model.range_mut(key..).next();
            assert_eq!(
                ours,
                theirs.map(|(key, v)| (*key, std::mem::replace(v, value)))
            );
        }
    }
}

fn compare(map: &OrdMap<u64, u64>, model: &BTreeMap<u64, u64>) {
    assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
    assert!(map.iter().eq(model.iter()));
    assert_eq!(map.first(), model.first_key_value());
    assert_eq!(map.last(), model.last_key_value());
    for key in 0..65 {
        assert_eq!(map.get(&key), model.get(&key));
        assert_eq!(map.floor(&key), model.range(..=key).next_back());
        assert_eq!(map.ceiling(&key), model.range(key..).next());
        assert!(map.range_from(&key).eq(model.range(key..)));
    }
}

#[test]
fn behaves_as_std() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (mut map, mut model) = (OrdMap::new(), BTreeMap::new());
        for _ in 0..60 {
            step(&mut random, &mut map, &mut model);
            compare(&map, &model);
        }
    }
}

#[test]
fn insertion_waits_for_memory() {
    let mut map = OrdMap::new();
    let _failing = inject::fail_randomly(1, 1);
    assert!(Spare::<u64, u64>::new(GFP_KERNEL).is_err());
    for key in 0..100u64 {
        assert_eq!(map.insert(key, key), Ok(None));
    }
    assert_eq!(map.len(), 100);
}

#[test]
fn replacing_allocates_nothing() {
    let mut map = OrdMap::new();
    map.insert(1u64, 10u64).unwrap();
    let (old, spent) = inject::counted(|| map.insert(1, 11));
    assert_eq!((old, spent.calls), (Ok(Some(10)), 0));
}

#[test]
fn lists_are_built_in_order() {
    let mut random = Random::new(5);
    for len in 0..40 {
        let (mut list, mut model) = (KVec::new(), Vec::new());
        for _ in 0..len {
            let value = random.below(20);
            insert_in_order(&mut list, value).unwrap();
            model.push(value);
        }
        model.sort_unstable();
        assert_eq!(list.as_slice(), model.as_slice());
    }
}
