// SPDX-License-Identifier: GPL-2.0

use super::runs;
use crate::space::free::ranges::{FreeRanges, Wish};
use latch::prelude::*;
use random::Random;
use std::vec;

const UNIT: u64 = 4096;
const SECTORS: usize = 512;
const BASE: u64 = 1 << 30;

fn span(random: &mut Random) -> (usize, usize) {
    let start = random.below(SECTORS as u64 - 1) as usize;
    let len = 1 + random.below((SECTORS - start).min(40) as u64) as usize;
    (start, start + len)
}

fn addr(sector: usize) -> u64 {
    BASE + sector as u64 * UNIT
}

fn agree(ranges: &FreeRanges, bits: &[bool]) {
    let expected = runs(bits, BASE, UNIT);
    assert_eq!(ranges.iter().collect::<vec::Vec<_>>(), expected);
    assert_eq!(ranges.len(), expected.len());
    assert_eq!(
        ranges.free(),
        expected.iter().map(|(s, e)| e - s).sum::<u64>()
    );
    let longest = expected.iter().map(|(s, e)| e - s).max().unwrap_or(0);
    assert!(ranges.largest_bound() >= longest);
    assert!(ranges.largest_bound() < (longest * 2).max(1));
}

#[test]
fn any_history_agrees_with_a_bitmap() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut ranges = FreeRanges::new();
        let mut bits = vec![false; SECTORS];
        for _ in 0..400 {
            let (start, end) = span(&mut random);
            let (from, to) = (addr(start), addr(end));
            match random.below(4) {
                0 => {
                    let clear = bits[start..end].iter().all(|bit| !bit);
                    let expected = if clear { Ok(()) } else { Err(EUCLEAN) };
                    assert_eq!(ranges.insert(from, to), expected);
                    if clear {
                        bits[start..end].fill(true);
                    }
                }
                1 => {
                    let set = bits[start..end].iter().all(|bit| *bit);
                    assert_eq!(
                        ranges.remove(from, to),
                        if set { Ok(()) } else { Err(EEXIST) }
                    );
                    if set {
                        bits[start..end].fill(false);
                    }
                }
                2 if random.one_in(8) => {
                    let free = bits[start..end].iter().filter(|bit| **bit).count() as u64;
                    assert_eq!(ranges.exclude(from, to), Ok(free * UNIT));
                    bits[start..end].fill(false);
                }
                _ => take(&mut random, &mut ranges, &mut bits),
            }
            agree(&ranges, &bits);
        }
    }
}

/// Takes a range and checks that it was free, aligned, and as long as any that could be had.
fn take(random: &mut Random, ranges: &mut FreeRanges, bits: &mut [bool]) {
    let align = UNIT << random.below(3);
    let wanted = align * (1 + random.below(8));
    let min = align * (1 + random.below(wanted / align));
    let cluster = if random.one_in(2) { 0 } else { wanted * 2 };
    let free = runs(bits, BASE, UNIT);
    let longest = free.iter().map(|&(start, end)| {
        let start = start.next_multiple_of(align);
        (end - end % align).saturating_sub(start)
    });
    let longest = longest.max().unwrap_or(0);
    match ranges
        .take(Wish {
            wanted,
            min,
            align,
            cluster,
        })
        .unwrap()
    {
        None => assert!(longest < min, "{longest} bytes are free, {min} were enough"),
        Some((start, end)) => {
            assert_eq!((start % align, end % align), (0, 0));
            assert_eq!(end - start, wanted.min(longest));
            let (from, to) = (
                ((start - BASE) / UNIT) as usize,
                ((end - BASE) / UNIT) as usize,
            );
            assert!(bits[from..to].iter().all(|bit| *bit));
            bits[from..to].fill(false);
        }
    }
}

#[test]
fn blocks_of_one_transaction_are_neighbours() {
    let mut ranges = FreeRanges::new();
    // Single free nodes, and behind them a long range.
    for index in 0..64 {
        ranges
            .insert(BASE + index * 65536, BASE + index * 65536 + 16384)
            .unwrap();
    }
    ranges.insert(BASE + (1 << 23), BASE + (1 << 24)).unwrap();
    let wish = Wish {
        wanted: 16384,
        min: 16384,
        align: 16384,
        cluster: 1 << 20,
    };
    let taken: vec::Vec<_> = (0..32)
        .map(|_| ranges.take(wish).unwrap().unwrap())
        .collect();
    assert_eq!(taken[0].0, BASE + (1 << 23));
    assert!(taken.windows(2).all(|pair| pair[0].1 == pair[1].0));
}

#[test]
fn without_memory_nothing_changes() {
    let mut random = Random::new(7);
    for round in 0..300 {
        let mut ranges = FreeRanges::new();
        let mut bits = vec![false; SECTORS];
        for _ in 0..30 {
            let (start, end) = span(&mut random);
            if ranges.insert(addr(start), addr(end)).is_ok() {
                bits[start..end].fill(true);
            }
        }
        let (start, end) = span(&mut random);
        let _failing = kernel::alloc::inject::fail_nth(0);
        let (result, value) = match round % 2 {
            0 => (ranges.insert(addr(start), addr(end)), true),
            _ => (ranges.remove(addr(start), addr(end)), false),
        };
        if result.is_ok() {
            bits[start..end].fill(value);
        }
        drop(_failing);
        agree(&ranges, &bits);
    }
}
