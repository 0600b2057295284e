// SPDX-License-Identifier: GPL-2.0
//! The free space cache against a bit for each sector, and against everything that a disk could have instead.

use super::{at, numbers, runs};
use crate::disk::{
    Bytes, CacheBounds, CacheHeader, ChecksumKind, Checksums, Digest, Generation, Logical, ObjectId,
};
use crate::space::free::cache::{self, Known};
use crate::space::free::doubt::Doubt;
use crate::space::free::ranges::FreeRanges;
use latch::prelude::*;
use random::Random;
use std::vec;
use std::vec::Vec;

const SECTOR: u64 = 4096;
const PAGE: usize = 4096;
const MIB: u64 = 1 << 20;
/// Bytes of an entry.
const ENTRY: usize = 17;
const START: u64 = 13 * MIB;
const GENERATION: u64 = 77;
/// Where the only superblock copy of these groups is, from the group's start.
const COPY: u64 = 3 * MIB;
const COPY_LEN: u64 = 65536;

/// What the format needs: crc32c, which the trait brings.
struct Crc32c;

impl Checksums for Crc32c {
    fn digest(&self, _: ChecksumKind, _: &[u8]) -> Digest {
        panic!("a cache has no other checksum");
    }
}

/// A group, which sectors of it have no extent item, and its cache.
#[derive(Clone)]
struct Group {
    start: u64,
    len: u64,
    free: Vec<bool>,
    header: CacheHeader,
    bytes: Vec<u8>,
}

fn bounds(start: u64, len: u64) -> CacheBounds {
    CacheBounds::new(Logical::new(start), len, 4096).unwrap()
}

fn free_ranges(start: u64, len: u64) -> FreeRanges {
    FreeRanges::new(at(start), Bytes::new(len), Bytes::new(SECTOR), GFP_KERNEL).unwrap()
}

fn sectors_of_copy() -> core::ops::Range<usize> {
    (COPY / SECTOR) as usize..((COPY + COPY_LEN) / SECTOR) as usize
}

impl Group {
    fn new(random: &mut Random, start: u64, len: u64, generation: u64) -> Self {
        let mut group = Self {
            start,
            len,
            free: free_sectors(random, (len / SECTOR) as usize),
            header: header(0, 0, 0),
            bytes: vec![0xa5; bounds(start, len).file_len() as usize],
        };
        group.write(generation);
        group
    }

    fn copies(&self) -> [(Logical, Bytes); 1] {
        [(Logical::new(self.start + COPY), Bytes::new(COPY_LEN))]
    }

    fn write(&mut self, generation: u64) {
        let mut ranges = free_ranges(self.start, self.len);
        for (start, end) in runs(&self.free, self.start, SECTOR) {
            ranges.insert(at(start), at(end)).unwrap();
        }
        for (start, len) in self.copies() {
            ranges.remove(start, start.saturating_add(len)).unwrap();
        }
        let by = (ObjectId::new(300), Generation::new(generation));
        let of = bounds(self.start, self.len);
        self.header = cache::write(of, by, &ranges, &mut self.bytes, &Crc32c).unwrap();
    }

    fn unused(&self) -> u64 {
        self.free.iter().filter(|&&free| free).count() as u64 * SECTOR
    }

    /// What is read from the cache: the sectors that have no extent item, or nothing.
    fn read(&self) -> Option<Vec<bool>> {
        let mut ranges = free_ranges(self.start, self.len);
        let copies = self.copies();
        let known = Known {
            unused: Bytes::new(self.unused()),
            superblocks: &copies,
        };
        let of = bounds(self.start, self.len);
        let (header, bytes) = (&self.header, &self.bytes[..]);
        match cache::read(of, header, bytes, known, &Crc32c, &mut ranges) {
            Ok(()) => {}
            Err(Doubt::Flaw(_)) => return None,
            Err(Doubt::Failed(error)) => panic!("{error:?}"),
        }
        let mut free = vec![false; self.free.len()];
        for (start, end) in ranges.iter().map(numbers) {
            let sector = |at: u64| ((at - self.start) / SECTOR) as usize;
            free[sector(start)..sector(end)].fill(true);
        }
        Some(free)
    }

    fn pages(&self) -> usize {
        self.bytes.len() / PAGE
    }

    /// Makes all checksums right.
    fn seal(&mut self) {
        let sums = self.pages() * 4;
        for page in 0..self.pages() {
            let skip = if page == 0 { sums } else { 0 };
            let sum = !Crc32c.crc32c(!0, &self.bytes[page * PAGE + skip..(page + 1) * PAGE]);
            self.bytes[page * 4..page * 4 + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }

    /// Where each entry is that the file has room for.
    fn places(&self) -> impl Iterator<Item = usize> {
        let (first, pages) = (self.pages() * 4 + 8, self.pages());
        (0..pages).flat_map(move |page| {
            let from = if page == 0 { first } else { 0 };
            (0..(PAGE - from) / ENTRY).map(move |i| page * PAGE + from + i * ENTRY)
        })
    }

    fn number(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    fn has_right_sum(&self, page: usize) -> bool {
        let skip = if page == 0 { self.pages() * 4 } else { 0 };
        let sum = !Crc32c.crc32c(!0, &self.bytes[page * PAGE + skip..(page + 1) * PAGE]);
        self.bytes[page * 4..page * 4 + 4] == sum.to_le_bytes()
    }

    /// Says what the bitmap in a page has free of the window that begins with the sector `first`. Gives how much that is.
    fn say_window(&self, said: &mut [bool], first: u64, page: usize) -> Option<u64> {
        let mut set = 0;
        for bit in 0..32768u64 {
            if self.bytes[page * PAGE + bit as usize / 8] >> (bit % 8) & 1 == 1 {
                say(said, (first + bit) as usize)?;
                set += 1;
            }
        }
        Some(set)
    }

    /// Reads the cache as simply as can be: a second opinion.
    fn opinion(&self) -> Option<Vec<bool>> {
        let CacheHeader {
            generation,
            entries,
            bitmaps,
            ..
        } = self.header;
        let stored = self.number(self.pages() * 4);
        if generation.get() == 0 || generation.get() != stored || entries == 0 {
            return None;
        }
        let most = self.places().count() as u64;
        if entries > most || bitmaps > entries {
            return None;
        }
        let places: Vec<usize> = self.places().take(entries as usize).collect();
        let mut page = places.last().unwrap() / PAGE + 1;
        let used = page + bitmaps as usize;
        if used > self.pages() {
            return None;
        }
        if !(0..used).all(|page| self.has_right_sum(page)) {
            return None;
        }
        let mut said = vec![false; self.free.len()];
        let mut windows = Vec::new();
        for at in places {
            let (offset, bytes) = (self.number(at), self.number(at + 8));
            let first = offset.checked_sub(self.start)?;
            if first % SECTOR != 0 || bytes % SECTOR != 0 || bytes == 0 || bytes > self.len {
                return None;
            }
            let (first, count) = (first / SECTOR, bytes / SECTOR);
            match self.bytes[at + 16] {
                1 => {
                    for sector in first..first.checked_add(count)? {
                        say(&mut said, usize::try_from(sector).ok()?)?;
                    }
                }
                2 => {
                    let right = first % 32768 == 0 && first < said.len() as u64;
                    (right && !windows.contains(&first) && page < used).then_some(())?;
                    windows.push(first);
                    (self.say_window(&mut said, first, page)? == count).then_some(())?;
                    page += 1;
                }
                _ => return None,
            }
        }
        for sector in sectors_of_copy() {
            say(&mut said, sector)?;
        }
        let count = said.iter().filter(|&&said| said).count();
        let right = windows.len() as u64 == bitmaps && count as u64 * SECTOR == self.unused();
        right.then_some(said)
    }
}

/// Says that a sector is free, which was not said before.
fn say(said: &mut [bool], sector: usize) -> Option<()> {
    let said = said.get_mut(sector)?;
    (!core::mem::replace(said, true)).then_some(())
}

fn header(generation: u64, entries: u64, bitmaps: u64) -> CacheHeader {
    CacheHeader {
        inode: ObjectId::new(300),
        generation: Generation::new(generation),
        entries,
        bitmaps,
    }
}

/// Some sectors, in runs that are long in some windows and short in others.
fn free_sectors(random: &mut Random, count: usize) -> Vec<bool> {
    let mut free = vec![false; count];
    let mut at = random.below(3) as usize;
    let mut longest = 1 << random.below(14);
    while at < count {
        if random.one_in(300) {
            longest = 1 << random.below(14);
        }
        let end = (at + 1 + random.below(longest) as usize).min(count);
        free[at..end].fill(true);
        at = end + 1 + random.below(longest) as usize;
    }
    free[sectors_of_copy()].fill(true);
    free
}

/// Lengths around what changes: windows, and steps of the file's length.
const LENGTHS: [u64; 8] = [
    4 * MIB,
    128 * MIB - SECTOR,
    128 * MIB,
    128 * MIB + SECTOR,
    511 * MIB,
    512 * MIB,
    513 * MIB,
    1024 * MIB,
];

fn group(random: &mut Random) -> Group {
    let len = LENGTHS[..5][random.below(5) as usize];
    Group::new(random, START, len, GENERATION)
}

#[test]
fn what_is_written_is_read() {
    let mut bitmaps = 0;
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let len = *random.choose(&LENGTHS);
        let mut group = Group::new(&mut random, START, len, GENERATION);
        bitmaps += group.header.bitmaps;
        assert_eq!(group.read().as_ref(), Some(&group.free), "seed {seed}");
        assert_eq!(group.opinion().as_ref(), Some(&group.free), "seed {seed}");
        // Every second sector, which no entries would hold, and all.
        for every in [2, 1] {
            for (sector, free) in group.free.iter_mut().enumerate() {
                *free = sector % every == 0;
            }
            group.free[sectors_of_copy()].fill(true);
            group.write(GENERATION);
            assert_eq!(group.read().as_ref(), Some(&group.free), "seed {seed}");
        }
    }
    assert!(bitmaps > 10);
}

/// The bytes themselves, of what C writes for the same.
#[test]
fn the_file_has_its_bytes_where_the_format_says() {
    let (start, len) = (START, 256 * MIB);
    let mut random = Random::new(0);
    let mut group = Group::new(&mut random, start, len, GENERATION);
    group.free.fill(false);
    group.free[5] = true;
    group.free[32767..32770].fill(true);
    group.free[sectors_of_copy()].fill(true);
    for sector in (32770 + 2..32768 + 1200).step_by(2) {
        group.free[sector] = true;
    }
    group.write(GENERATION);
    assert_eq!((group.header.entries, group.header.bitmaps), (3, 1));
    assert_eq!(group.bytes.len(), 16 * PAGE);
    let entry = |offset: u64, bytes: u64, kind: u8| {
        [&offset.to_le_bytes()[..], &bytes.to_le_bytes(), &[kind]].concat()
    };
    let in_window = (2 + (1200 - 4) / 2) * SECTOR;
    let expected = [
        GENERATION.to_le_bytes().to_vec(),
        entry(start + 5 * SECTOR, SECTOR, 1),
        entry(start + 32767 * SECTOR, SECTOR, 1),
        entry(start + 32768 * SECTOR, in_window, 2),
    ];
    let expected = expected.concat();
    assert_eq!(group.bytes[64..64 + expected.len()], expected[..]);
    assert_eq!(
        group.bytes[PAGE..PAGE + 3],
        [0b0101_0011, 0b0101_0101, 0b0101_0101]
    );
    let sum = |bytes: &[u8]| (!Crc32c.crc32c(!0, bytes)).to_le_bytes();
    assert_eq!(group.bytes[..4], sum(&group.bytes[64..PAGE]));
    assert_eq!(group.bytes[4..8], sum(&group.bytes[PAGE..2 * PAGE]));
}

#[test]
fn groups_that_are_too_long_have_none() {
    let bounds = |len| CacheBounds::new(Logical::new(START), len, 4096);
    assert_eq!(bounds(16 << 30), None);
    assert_eq!(bounds(u64::MAX), None);
    assert_eq!(bounds(0), None);
    assert_eq!(bounds(MIB + 1), None);
    assert_eq!(CacheBounds::new(Logical::new(START), MIB, 16384), None);
    let longest = bounds((16 << 30) - SECTOR).unwrap();
    assert_eq!(longest.file_len(), 63 * 16 * 4096);
    assert!(!bounds(100 * MIB - SECTOR).unwrap().is_worth_it());
    assert!(bounds(100 * MIB).unwrap().is_worth_it());
}

/// Numbers at which something ends.
fn number(random: &mut Random, group: &Group, before: u64) -> u64 {
    let any = group.places().nth(random.below(40) as usize).unwrap();
    let limits = [
        0,
        1,
        2,
        before.wrapping_add(1),
        before.wrapping_sub(1),
        before.wrapping_add(SECTOR),
        before.wrapping_sub(SECTOR),
        before << 1,
        group.start,
        group.start + COPY,
        group.start.wrapping_sub(SECTOR),
        group.start + 128 * MIB,
        group.start + group.len,
        group.start + group.len - SECTOR,
        group.len,
        u64::from(u32::MAX),
        1 << 63,
        u64::MAX,
        u64::MAX - SECTOR + 1,
        group.number(any),
        group.number(any + 8),
        random.next(),
    ];
    *random.choose(&limits)
}

/// Changes a field of an entry that counts.
fn change_entry(random: &mut Random, group: &mut Group) {
    let entry = random.below(group.header.entries.min(600)) as usize;
    let at = group.places().nth(entry).unwrap();
    match random.below(5) {
        0 => group.bytes[at + 16] = *random.choose(&[0, 1, 2, 3, 255]),
        1 | 2 => {
            let value = number(random, group, group.number(at));
            group.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        _ => {
            let value = number(random, group, group.number(at + 8));
            group.bytes[at + 8..at + 16].copy_from_slice(&value.to_le_bytes());
        }
    }
}

fn change_header(random: &mut Random, group: &mut Group) {
    let CacheHeader {
        generation,
        entries,
        bitmaps,
        ..
    } = group.header;
    group.header = match random.below(3) {
        0 => header(number(random, group, generation.get()), entries, bitmaps),
        1 => header(generation.get(), number(random, group, entries), bitmaps),
        _ => header(generation.get(), entries, number(random, group, bitmaps)),
    };
}

/// Changes bits anywhere, or of the bitmap pages if there are some.
fn change_bits(random: &mut Random, group: &mut Group) {
    let at = random.below(group.bytes.len() as u64) as usize;
    group.bytes[at] ^= 1 << random.below(8);
}

/// What nobody wrote with right checksums is either what was written or nothing; what somebody did is judged as the
/// second opinion judges it.
#[test]
fn a_hundred_thousand_wrong_caches() {
    let (mut believed, mut tried) = (0, 0);
    for seed in 0..110 {
        let mut random = Random::new(seed);
        let right = group(&mut random);
        for _ in 0..1000 {
            let mut wrong = right.clone();
            let mut sealed = true;
            for _ in 0..1 + random.below(3) {
                match random.below(6) {
                    0 => change_header(&mut random, &mut wrong),
                    1..=3 => change_entry(&mut random, &mut wrong),
                    _ => change_bits(&mut random, &mut wrong),
                }
            }
            if random.one_in(3) {
                sealed = false;
            } else {
                wrong.seal();
            }
            tried += 1;
            let read = wrong.read();
            if sealed {
                assert!(read == wrong.opinion(), "seed {seed} try {tried}");
            }
            if let Some(read) = read {
                believed += 1;
                assert!(sealed || read == right.free, "seed {seed} try {tried}");
            }
        }
    }
    assert!(tried >= 100_000);
    // Some change what does not count, and some are lies that hold together.
    assert!(believed > 100 && believed < tried / 2, "{believed}");
}

#[test]
fn torn_at_every_page_is_no_cache() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let old = group(&mut random);
        let mut new = Group::new(&mut random, old.start, old.len, GENERATION + 1);
        for tear in 0..=new.pages() {
            for (of, other) in [(&old, &new), (&new, &old)] {
                let mut torn = of.clone();
                torn.bytes[tear * PAGE..].copy_from_slice(&other.bytes[tear * PAGE..]);
                let read = torn.read();
                assert!(
                    read.is_none_or(|read| read == of.free),
                    "seed {seed} page {tear}"
                );
                // And sectors of a page, of the same generation.
                let mut torn = of.clone();
                let at = (tear * PAGE + 512 * random.below(8) as usize).min(torn.bytes.len());
                torn.bytes[at..].copy_from_slice(&other.bytes[at..]);
                assert!(torn.read().is_none_or(|read| read == of.free));
            }
        }
        // The item of one and the file of the other.
        new.header = old.header;
        assert_eq!(new.read(), None);
    }
}

#[test]
fn the_cache_of_another_group_is_none() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut one = group(&mut random);
        let other = Group::new(&mut random, one.start + one.len, one.len, GENERATION);
        (one.header, one.bytes) = (other.header, other.bytes);
        assert_eq!(one.read(), None);
    }
}

#[test]
fn what_was_not_written_to_its_end_is_no_cache() {
    let mut random = Random::new(0);
    let mut group = group(&mut random);
    group.header.generation = Generation::new(0);
    let at = group.pages() * 4;
    group.bytes[at..at + 8].fill(0);
    group.seal();
    assert_eq!(group.read(), None);
}
