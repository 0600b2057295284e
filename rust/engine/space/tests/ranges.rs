// SPDX-License-Identifier: GPL-2.0

use super::{at, numbers, runs};
use crate::disk::Bytes;
use crate::space::free::ranges::{FreeRanges, Wish};
use latch::prelude::*;
use random::Random;
use std::vec;

const UNIT: u64 = 4096;
const BASE: u64 = 1 << 30;
/// Sectors in a window.
const WINDOW: usize = 1 << 15;

/// The ranges of the group at [`BASE`].
fn free_ranges(len: u64) -> FreeRanges {
    FreeRanges::new(at(BASE), Bytes::new(len), Bytes::new(UNIT), GFP_KERNEL).unwrap()
}

/// A group's ranges, and the same as bits.
struct Both {
    ranges: FreeRanges,
    bits: vec::Vec<bool>,
    /// Where the last range taken ended.
    cursor: Option<usize>,
}

impl Both {
    fn new(sectors: usize) -> Self {
        let len = sectors as u64 * UNIT;
        Self {
            ranges: free_ranges(len),
            bits: vec![false; sectors],
            cursor: None,
        }
    }

    /// Somewhere in the group, often near the end of a word, of what is known of words, or of a window.
    fn span(&self, random: &mut Random) -> (usize, usize) {
        let len = self.bits.len();
        let edge = 1 << random.below(17);
        let near = random.below(len as u64) as usize / edge * edge;
        let start = (near + random.below(5) as usize)
            .saturating_sub(2)
            .min(len - 1);
        let most = 1 << random.below(17);
        let most = most.min((len - start) as u64);
        (start, start + 1 + random.below(most) as usize)
    }

    fn agree(&self) {
        let expected = runs(&self.bits, BASE, UNIT);
        assert_eq!(
            self.ranges.iter().map(numbers).collect::<vec::Vec<_>>(),
            expected
        );
        assert_eq!(
            self.ranges.free().get(),
            expected.iter().map(|(s, e)| e - s).sum::<u64>()
        );
        let longest = expected.iter().map(|(s, e)| e - s).max().unwrap_or(0);
        assert_eq!(self.ranges.largest().get(), longest);
    }

    fn step(&mut self, random: &mut Random) {
        let (start, end) = self.span(random);
        let (from, to) = (at(addr(start)), at(addr(end)));
        let bits = &mut self.bits[start..end];
        match random.below(4) {
            0 => {
                let clear = bits.iter().all(|bit| !bit);
                let expected = if clear { Ok(()) } else { Err(EUCLEAN) };
                assert_eq!(self.ranges.insert(from, to), expected);
                if clear {
                    bits.fill(true);
                }
            }
            1 => {
                let set = bits.iter().all(|bit| *bit);
                let expected = if set { Ok(()) } else { Err(EEXIST) };
                assert_eq!(self.ranges.remove(from, to), expected);
                if set {
                    bits.fill(false);
                }
            }
            2 if random.one_in(4) => {
                let free = bits.iter().filter(|bit| **bit).count() as u64;
                assert_eq!(self.ranges.exclude(from, to), Ok(Bytes::new(free * UNIT)));
                bits.fill(false);
            }
            2 => {
                let first = bits.iter().position(|bit| *bit);
                let expected = first.map(|first| {
                    let len = bits[first..].iter().take_while(|bit| **bit).count();
                    (at(addr(start + first)), at(addr(start + first + len)))
                });
                assert_eq!(self.ranges.first_in(from, to), expected);
            }
            _ => self.take(random),
        }
    }

    /// Takes a range and checks that it was free, aligned, as long as any that could be had and, of single sectors, where
    /// it should be.
    fn take(&mut self, random: &mut Random) {
        let align = UNIT << random.below(3);
        let most = 1 << random.below(16);
        let wanted = align * (1 + random.below(most));
        let min = align * (1 + random.below(wanted / align));
        let cluster = if random.one_in(2) { 0 } else { wanted * 2 };
        let free = runs(&self.bits, BASE, UNIT);
        let longest = free.iter().map(|&(start, end)| {
            let start = start.next_multiple_of(align);
            (end - end % align).saturating_sub(start)
        });
        let longest = longest.max().unwrap_or(0);
        let wish = Wish {
            wanted: Bytes::new(wanted),
            min: Bytes::new(min),
            align: Bytes::new(align),
            cluster: Bytes::new(cluster),
        };
        let expected = (align == UNIT).then(|| self.place(&free, wish));
        let Some((start, end)) = self.ranges.take(wish).unwrap().map(numbers) else {
            assert!(longest < min, "{longest} bytes are free, {min} were enough");
            return;
        };
        assert_eq!((start % align, end % align), (0, 0));
        assert_eq!(end - start, wanted.min(longest));
        if let Some(expected) = expected {
            assert_eq!(start, expected, "{wish:?}");
        }
        let (from, to) = (
            ((start - BASE) / UNIT) as usize,
            ((end - BASE) / UNIT) as usize,
        );
        assert!(self.bits[from..to].iter().all(|bit| *bit));
        self.bits[from..to].fill(false);
        self.cursor = Some(to);
    }

    /// Where a range of whole sectors is taken from.
    fn place(&self, free: &[(u64, u64)], wish: Wish) -> u64 {
        let cursor = self.cursor.map_or(0, addr);
        // A range that the cursor is in counts from there on, and as a whole when the search comes round.
        let pieces = |from: u64| {
            let behind = free.iter().filter(move |&&(_, end)| end > from);
            behind.map(move |&(start, end)| (start.max(from), end))
        };
        let first_of = |len: u64| {
            let fits = |&(start, end): &(u64, u64)| end - start >= len;
            Iterator::chain(pieces(cursor), pieces(0)).find(fits)
        };
        let here = pieces(cursor).next().filter(|&(start, end)| {
            self.cursor.is_some() && start == cursor && end - start >= wish.wanted.get()
        });
        let longest = free.iter().map(|(s, e)| e - s).max().unwrap_or(0);
        let place = here
            .or_else(|| first_of(wish.cluster.max(wish.wanted).get()))
            .or_else(|| first_of(wish.wanted.get()))
            .or_else(|| first_of(longest));
        place.map_or(0, |(start, _)| start)
    }
}

fn addr(sector: usize) -> u64 {
    BASE + sector as u64 * UNIT
}

#[test]
fn any_history_agrees_with_a_bitmap() {
    // Less than a window, some windows and a part of one, and so many that pieces stand above pieces above them.
    for (sectors, seeds, steps) in [
        (500, 40, 300),
        (3 * WINDOW + 100, 6, 200),
        (70 * WINDOW, 2, 40),
    ] {
        for seed in 0..seeds {
            let mut random = Random::new(seed);
            let mut both = Both::new(sectors);
            if random.one_in(2) {
                both.ranges.insert(at(BASE), at(addr(sectors))).unwrap();
                both.bits.fill(true);
            }
            for _ in 0..steps {
                both.step(&mut random);
                both.agree();
            }
        }
    }
}

#[test]
fn what_is_not_of_the_group_is_refused() {
    let mut ranges = free_ranges(10 * UNIT + 100);
    for (start, end) in [
        (BASE - UNIT, BASE + UNIT),
        (BASE, BASE + 11 * UNIT),
        (BASE + 512, BASE + UNIT),
        (BASE, BASE + 10 * UNIT + 100),
        (0, u64::MAX),
    ] {
        assert_eq!(ranges.insert(at(start), at(end)), Err(EUCLEAN));
        assert_eq!(ranges.remove(at(start), at(end)), Err(EEXIST));
    }
    assert_eq!(
        (ranges.free(), ranges.largest()),
        (Bytes::ZERO, Bytes::ZERO)
    );
    ranges.insert(at(BASE), at(BASE + 10 * UNIT)).unwrap();
    assert_eq!(ranges.largest().get(), 10 * UNIT);
}

/// A page and a bit for 128 MiB, however small the pieces are, and nothing where all is the same.
#[test]
fn memory_is_bounded_by_the_length_of_the_group() {
    let gib = 8 * WINDOW as u64 * UNIT;
    let mut ranges = free_ranges(gib);
    let empty = ranges.memory();
    for start in (BASE..BASE + gib).step_by(2 * UNIT as usize) {
        ranges.insert(at(start), at(start + UNIT)).unwrap();
    }
    assert!(ranges.memory() < 40 << 10, "{} bytes", ranges.memory());
    for start in (BASE..BASE + gib).step_by(2 * UNIT as usize) {
        ranges
            .insert(at(start + UNIT), at(start + 2 * UNIT))
            .unwrap();
    }
    assert_eq!(ranges.memory(), empty);
    assert!(empty < 1 << 10, "{empty} bytes");
    assert_eq!(ranges.largest().get(), gib);
}

#[test]
fn blocks_of_one_transaction_are_neighbours() {
    let mut ranges = free_ranges(1 << 30);
    // Single free nodes, and behind them a long range.
    for index in 0..64 {
        let start = BASE + index * 65536;
        ranges.insert(at(start), at(start + 16384)).unwrap();
    }
    let long = at(BASE + (1 << 23));
    ranges.insert(long, at(BASE + (1 << 24))).unwrap();
    let wish = Wish {
        wanted: Bytes::new(16384),
        min: Bytes::new(16384),
        align: Bytes::new(16384),
        cluster: Bytes::new(1 << 20),
    };
    let taken: vec::Vec<_> = (0..32)
        .map(|_| ranges.take(wish).unwrap().unwrap())
        .collect();
    assert_eq!(taken[0].0, long);
    assert!(taken.windows(2).all(|pair| pair[0].1 == pair[1].0));
}

#[test]
fn without_memory_nothing_changes() {
    let _failing = kernel::alloc::inject::fail_nth(0);
    let ranges = FreeRanges::new(at(BASE), Bytes::new(1 << 40), Bytes::new(UNIT), GFP_KERNEL);
    assert!(ranges.is_err_and(|error| error == ENOMEM));
}
