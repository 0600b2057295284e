// SPDX-License-Identifier: GPL-2.0
//! A device that has only some of what was written: the rest is sent again in parts, and what it has is entered.

use crate::files::{Files, SECTOR};
use crate::in_place::{pos, preallocated};
use crate::promises::take_all_metadata;
use engine::disk::{Bytes, InodeFlags};
use engine::fs::{
    Failure, InPlace, Inode, MappingKind, OrderedExtent, Parts, PropertyChange, Run,
    WriteReservation, WrittenInPlace,
};
use harness::mount::NOW;
use harness::random::Random;
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::ops::Range;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const SECTORS: u64 = 40;

/// The sectors of a part.
fn sectors(part: &Range<Bytes>) -> Range<u64> {
    part.start.get() / SECTOR..part.end.get() / SECTOR
}

/// Has the parts of a write of so many sectors sent, where a part fails that has one of `bad`: the runs, and how many were sent.
fn send(count: u64, bad: &[u64]) -> (Vec<(u64, bool)>, usize) {
    let (mut runs, mut sent) = (Vec::new(), 0);
    let mut parts = Parts::of(Bytes::new(count * SECTOR), Bytes::new(SECTOR));
    while let Some(Run { len, result }) = parts.next_run(&mut |part| {
        sent += 1;
        match bad.iter().any(|at| sectors(&part).contains(at)) {
            true => Err(Failure::Part(EIO)),
            false => Ok(()),
        }
    }) {
        runs.push((len.get() / SECTOR, result.is_ok()));
    }
    (runs, sent)
}

/// Lost are the sectors whose own write fails, and no others; each run ends where the fate does.
#[test]
fn no_more_is_lost_than_what_fails_alone() {
    let mut random = Random::new(1);
    for round in 0..2000 {
        let count = 1 + random.below(1100);
        let mut bad: Vec<u64> = (0..random.below(6)).map(|_| random.below(count)).collect();
        if round % 3 == 0 {
            let first = random.below(count);
            bad.extend(first..count.min(first + 1 + random.below(400)));
        }
        bad.sort_unstable();
        bad.dedup();
        let (runs, sent) = send(count, &bad);
        let mut at = 0;
        for (index, (len, is_written)) in runs.iter().enumerate() {
            for sector in at..at + len {
                assert_eq!(
                    bad.contains(&sector),
                    !is_written,
                    "{bad:?} of {count}: {runs:?}"
                );
            }
            assert!(index == 0 || runs[index - 1].1 != *is_written);
            at += len;
        }
        assert_eq!(at, count);
        let log = 64 - count.leading_zeros() as usize;
        assert!(
            sent <= 3 * log * (bad.len() + 1),
            "{sent} for {bad:?} of {count}"
        );
    }
}

/// Neighbours that fail cost a request each, and the way to them.
#[test]
fn a_range_that_fails_costs_a_request_for_each_sector() {
    let bad: Vec<u64> = (100..300).collect();
    let (runs, sent) = send(1024, &bad);
    assert_eq!(runs, [(100, true), (200, false), (724, true)]);
    assert!(sent < 200 + 40, "{sent}");
}

/// A long range that fails is no device that fails: what is behind is not lost with it.
#[test]
fn behind_a_long_range_that_fails_nothing_is_lost() {
    for (count, bad) in [(1024, 300..600), (32768, 0..900), (32768, 30000..30700)] {
        let (first, len) = (bad.start, bad.end - bad.start);
        let (runs, sent) = send(count, &bad.clone().collect::<Vec<_>>());
        let expected = [(first, true), (len, false), (count - bad.end, true)];
        assert_eq!(
            runs,
            expected
                .into_iter()
                .filter(|run| run.0 > 0)
                .collect::<Vec<_>>()
        );
        assert!(sent < len as usize + 100, "{sent}");
    }
}

/// A device that fails everything is not asked for ever, nor where there is no use in it.
#[test]
fn what_it_costs_has_a_bound() {
    let bad: Vec<u64> = (0..32768).collect();
    let (runs, sent) = send(32768, &bad);
    assert_eq!(runs, [(32768, false)]);
    assert!(sent <= 290, "{sent}");

    let mut parts = Parts::of(Bytes::new(64 * SECTOR), Bytes::new(SECTOR));
    let mut sent = 0;
    let run = parts.next_run(&mut |_| {
        sent += 1;
        Err(Failure::All(ENOSPC))
    });
    let (len, result) = (Bytes::new(64 * SECTOR), Err(ENOSPC));
    assert_eq!(run, Some(Run { len, result }));
    assert_eq!((sent, parts.next_run(&mut |_| Ok(()))), (1, None));
}

/// What fails once and not again is not lost.
#[test]
fn an_error_that_passes_costs_nothing() {
    let mut parts = Parts::of(Bytes::new(64 * SECTOR), Bytes::new(SECTOR));
    let mut sent = 0;
    let run = parts.next_run(&mut |_| {
        sent += 1;
        Ok(())
    });
    let (len, result) = (Bytes::new(64 * SECTOR), Ok(()));
    assert_eq!(run, Some(Run { len, result }));
    assert!(sent <= 7, "{sent}");
}

/// Runs of sectors of which every second one is lost.
fn runs(random: &mut Random) -> Vec<(u64, bool)> {
    let (mut left, mut is_written) = (SECTORS, random.below(2) == 0);
    let mut runs = Vec::new();
    while left > 0 {
        let len = 1 + random.below(left.min(12));
        runs.push((len, is_written));
        left -= len;
        is_written = !is_written;
    }
    runs
}

fn numbered() -> Vec<u8> {
    (0..SECTORS * SECTOR)
        .map(|at| 1 + (at / SECTOR) as u8)
        .collect()
}

/// What is lost has the old bytes, what is not the new ones, with checksums that are right; and space comes back to the byte.
fn judge(files: &Files, inode: &Inode, old: &[u8], runs: &[(u64, bool)]) {
    let (new, mut wanted, mut at) = (numbered(), old.to_vec(), 0);
    for (len, is_written) in runs {
        let range = (at * SECTOR) as usize..((at + len) * SECTOR) as usize;
        if *is_written {
            wanted[range.clone()].copy_from_slice(&new[range]);
        }
        at += len;
    }
    files.txns().commit().unwrap();
    let found = files.read(inode, 0, SECTORS * SECTOR).unwrap();
    assert!(found == wanted, "{runs:?}");
    assert_eq!(files.txns().space().statistics().data.reserved, Bytes::ZERO);
}

fn ordered(files: &Files, inode: &Inode) -> OrderedExtent {
    let (bytes, len) = (numbered(), SECTORS * SECTOR);
    let promised = files
        .fs
        .data()
        .reserve_write(inode, pos(0), Bytes::new(len));
    let mut reservation = promised.unwrap();
    let ordered = files
        .to_device(inode, 0, &bytes, len, &mut reservation)
        .unwrap();
    assert_eq!(ordered.ram_len, Bytes::new(len));
    ordered
}

/// Enters the sectors at the front, or loses them.
fn settle_front(
    files: &Files,
    inode: &Inode,
    ordered: &mut OrderedExtent,
    (sectors, is_written): (u64, bool),
) {
    let len = Bytes::new(sectors * SECTOR);
    let settled = match is_written {
        true => files.fs.data().finish_front(inode, ordered, len),
        false => ordered.lose_front(len),
    };
    settled.unwrap();
}

fn file(files: &Files, flags: InodeFlags) -> Arc<Inode> {
    let inode = files.file(b"f");
    let none = InodeFlags::NONE;
    let set = files
        .fs
        .inodes()
        .set_flags(&inode, none, flags, PropertyChange::Kept, NOW);
    set.unwrap();
    inode
}

/// Of a new extent parts are entered, with checksums and without; over data and over a hole.
#[test]
fn an_extent_is_entered_in_parts() {
    let mut random = Random::new(2);
    for round in 0..24 {
        let flags = [InodeFlags::NONE, InodeFlags::NODATASUM][round % 2];
        let files = Files::mount(tools::mkfs(128 * MIB, &[]));
        let inode = file(&files, flags);
        let mut old = vec![0; (SECTORS * SECTOR) as usize];
        if round % 4 > 1 {
            old.fill(0xee);
            files
                .write_sectors(&inode, 0, &old, SECTORS * SECTOR)
                .unwrap();
        }
        let runs = runs(&mut random);
        let mut ordered = ordered(&files, &inode);
        for run in &runs {
            settle_front(&files, &inode, &mut ordered, *run);
        }
        assert_eq!(ordered.lose_front(Bytes::new(SECTOR)), Err(EIO));
        drop(ordered);
        judge(&files, &inode, &old, &runs);
        drop(inode);
        tools::check(&files.unmount()).unwrap();
    }
}

/// Of space that the file was given parts are entered: the others stay unwritten, and are the file's.
#[test]
fn preallocated_space_is_entered_in_parts() {
    let mut random = Random::new(3);
    for _ in 0..12 {
        let files = Files::mount(tools::mkfs(128 * MIB, &[]));
        let inode = preallocated(&files, SECTORS);
        let len = Bytes::new(SECTORS * SECTOR);
        let promised = files.fs.data().reserve_in_place(&inode, pos(0), len);
        let mut written = in_place(&files, &inode, promised.unwrap());
        let runs = runs(&mut random);
        for (len, is_written) in &runs {
            let len = Bytes::new(len * SECTOR);
            match is_written {
                true => files
                    .fs
                    .in_place()
                    .finish_front(&inode, &mut written, len)
                    .unwrap(),
                false => written.lose_front(len).unwrap(),
            }
        }
        assert_eq!(inode.subvolume().promised(), Bytes::ZERO);
        drop(written);
        judge(&files, &inode, &vec![0; len.get() as usize], &runs);
        let mut at = 0;
        for (len, is_written) in runs {
            let found = files
                .fs
                .mappings()
                .find(&inode, pos(at), Bytes::new(len * SECTOR))
                .unwrap();
            assert_eq!(found.len, Bytes::new(len * SECTOR));
            let is_unwritten = matches!(found.kind, MappingKind::Prealloc { .. });
            assert_eq!(is_unwritten, !is_written);
            at += len;
        }
        drop(inode);
        tools::check(&files.unmount()).unwrap();
    }
}

/// Metadata is full, and each part costs a way through the trees of its own: what was promised for the whole pays for it.
#[test]
fn parts_leave_the_global_reserve_alone() {
    let files = Files::mount(tools::mkfs(128 * MIB, &[]));
    let inode = files.file(b"f");
    let mut ordered = ordered(&files, &inode);
    let taken = take_all_metadata(&files);
    let held = || files.txns().space().statistics().global_held;
    let reserve = held();
    let runs = [(1, true), (1, false)].repeat(SECTORS as usize / 2);
    for run in &runs {
        settle_front(&files, &inode, &mut ordered, *run);
        assert_eq!(held(), reserve);
    }
    drop((ordered, taken));
    judge(&files, &inode, &vec![0; (SECTORS * SECTOR) as usize], &runs);
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

fn in_place(files: &Files, inode: &Inode, reservation: WriteReservation) -> WrittenInPlace {
    let bytes = numbered();
    let found = files
        .fs
        .in_place()
        .find(inode, pos(0), Bytes::from(bytes.len()));
    let InPlace { logical, len } = found.unwrap().unwrap();
    assert_eq!(len, Bytes::from(bytes.len()));
    files.mounted.write_data(logical, &bytes).unwrap();
    WrittenInPlace {
        range: pos(0)..pos(SECTORS),
        logical,
        checksums: files.sums(inode, &bytes).unwrap(),
        new_size: len,
        reservation,
    }
}
