// SPDX-License-Identifier: GPL-2.0
//! Bytes are taken out of a file, and the space that it was given stays.

use crate::files::{Files, SECTOR};
use crate::in_place::{found, items, pos, preallocated, used, write, write_to};
use engine::disk::Bytes;
use engine::fs::{Inode, MappingKind};
use harness::mount::NOW;
use harness::punch::PunchHole;
use harness::random::Random;
use harness::tools;
use kernel::alloc::inject;
use kernel::prelude::*;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const SECTORS: u64 = 60;

/// What a file has at each of its sectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Has {
    Hole,
    Unwritten,
    Bytes(u8),
}

fn look(files: &Files, inode: &Inode) -> Vec<Has> {
    let bytes = files.read(inode, 0, SECTORS * SECTOR).unwrap();
    let at = |sector: u64| {
        let found = files
            .fs
            .mappings()
            .find(inode, pos(sector), Bytes::new(1))
            .unwrap();
        let sector = &bytes[(sector * SECTOR) as usize..][..SECTOR as usize];
        assert!(sector.iter().all(|byte| *byte == sector[0]));
        match found.kind {
            MappingKind::Hole => Has::Hole,
            MappingKind::Prealloc { .. } => Has::Unwritten,
            _ => Has::Bytes(sector[0]),
        }
    };
    (0..SECTORS).map(at).collect()
}

/// One step of a history on the file and on what it should have.
fn step(files: &Files, inode: &Inode, truth: &mut [Has], random: &mut Random) {
    let space = files.fs.file_space();
    let start = random.below(SECTORS);
    let end = start + 1 + random.below(SECTORS - start);
    let range = start as usize..end as usize;
    let (from, len) = (pos(start), Bytes::new((end - start) * SECTOR));
    let byte = 1 + random.below(250) as u8;
    match random.below(5) {
        0 => {
            let data = std::vec![byte; len.get() as usize];
            files.write_sectors(inode, from.get(), &data, 0).unwrap();
            truth[range].fill(Has::Bytes(byte));
        }
        1 => {
            space.preallocate(inode, from, len, None, NOW).unwrap();
            for has in truth[range].iter_mut().filter(|has| **has == Has::Hole) {
                *has = Has::Unwritten;
            }
        }
        2 => {
            space.punch_hole(inode, from, len, NOW).unwrap();
            truth[range].fill(Has::Hole);
        }
        3 => {
            // Blocks that are zeroed in part keep what they have, but for holes.
            let whole = from.saturating_add(Bytes::new(SECTOR)).min(pos(end))..pos(end);
            let zeroing = space.ask_zero(inode, whole.clone(), from..pos(end));
            zeroing.unwrap().run(NOW).unwrap();
            let is_hole = truth[start as usize] == Has::Hole;
            truth[range.start + 1..range.end].fill(Has::Unwritten);
            if is_hole {
                truth[start as usize] = Has::Unwritten;
            }
        }
        _ => {
            let written = write(files, inode, start, &std::vec![byte; len.get() as usize]);
            let run = truth[range.clone()]
                .iter()
                .take_while(|has| **has == Has::Unwritten);
            let written = written.unwrap_or(0) as usize;
            assert!(written <= run.count());
            truth[range.start..range.start + written].fill(Has::Bytes(byte));
        }
    }
}

fn history(options: &[&str], seed: u64) {
    let files = Files::mount(tools::mkfs(256 * MIB, options));
    let inode = files.file(b"f");
    let size = Bytes::new(SECTORS * SECTOR);
    files.fs.file_space().truncate(&inode, size, NOW).unwrap();
    let empty = used(&files);
    let mut random = Random::new(seed);
    let mut truth = std::vec![Has::Hole; SECTORS as usize];
    for n in 0..60 {
        step(&files, &inode, &mut truth, &mut random);
        assert_eq!(look(&files, &inode), truth, "after step {n}");
        assert_eq!(inode.attributes().size, size);
        let filled = truth.iter().filter(|has| **has != Has::Hole).count() as u64;
        assert_eq!(inode.attributes().nbytes, Bytes::new(filled * SECTOR));
    }
    drop(inode);
    let files = Files::mount(files.unmount());
    tools::check_with(&files.image(), &["--check-data-csum"]).unwrap();
    let inode = found(&files, b"f");
    assert_eq!(look(&files, &inode), truth);
    files
        .fs
        .file_space()
        .truncate(&inode, Bytes::ZERO, NOW)
        .unwrap();
    assert_eq!(used(&files), empty);
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

#[test]
fn ranges_are_zeroed_and_keep_their_space() {
    for seed in 0..8 {
        history(&[], seed);
        history(&["-O", "^no-holes"], seed);
    }
}

/// What has all its space needs no other. Where some of it needs other, and there is none, nothing is changed.
#[test]
fn zeroing_on_a_full_volume() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = preallocated(&files, SECTORS);
    let space = files.fs.file_space();
    write(&files, &inode, 9, &[7; SECTOR as usize]).unwrap();
    let mut taken = Vec::new();
    for len in [MIB, SECTOR].map(Bytes::new) {
        while let Ok(reservation) = files.txns().reserve_data(len) {
            taken.push(reservation);
        }
    }
    let before = (look(&files, &inode), items(&files, &inode, SECTORS));
    let zero = |range: core::ops::Range<u64>| {
        let range = pos(range.start)..pos(range.end);
        let asked = space.ask_zero(&inode, range.clone(), range);
        asked.and_then(|zeroing| zeroing.run(NOW))
    };
    assert_eq!(zero(0..9), Ok(()));
    assert_eq!(zero(10..SECTORS), Ok(()));
    assert_eq!(zero(0..SECTORS), Err(ENOSPC));
    assert_eq!(
        (look(&files, &inode), items(&files, &inode, SECTORS)),
        before
    );
    drop(taken);
    assert_eq!(zero(0..SECTORS), Ok(()));
    assert!(look(&files, &inode)
        .iter()
        .all(|has| *has == Has::Unwritten));
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

/// A write that failed made the file longer: what it wrote goes, what the file was given behind its end stays.
#[test]
fn growth_is_forgotten_and_what_was_given_is_not() {
    for options in [&[][..], &["-O", "^no-holes"]] {
        let files = Files::mount(tools::mkfs(256 * MIB, options));
        let inode = files.file(b"f");
        let space = files.fs.file_space();
        files
            .write_sectors(&inode, 0, &[3; 2 * SECTOR as usize], SECTOR + 100)
            .unwrap();
        space
            .preallocate(&inode, pos(4), Bytes::new(20 * SECTOR), None, NOW)
            .unwrap();
        for (sector, byte) in [(2, 5), (3, 6), (8, 7), (30, 8)] {
            let end = (sector + 1) * SECTOR;
            let data = [byte; SECTOR as usize];
            if write(&files, &inode, sector, &data).is_none() {
                files
                    .write_sectors(&inode, sector * SECTOR, &data, end)
                    .unwrap();
            }
        }
        assert_eq!(inode.attributes().size, Bytes::new(31 * SECTOR));
        space
            .forget_growth(&inode, Bytes::new(SECTOR + 100), NOW)
            .unwrap();
        assert_eq!(inode.attributes().size, Bytes::new(SECTOR + 100));
        let mut expected = std::vec![Has::Hole; SECTORS as usize];
        expected[4..24].fill(Has::Unwritten);
        expected[8] = Has::Hole;
        expected[..2].fill(Has::Bytes(3));
        assert_eq!(look(&files, &inode), expected);
        drop(inode);
        tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
    }
}

/// Memory that runs out: each call is done, or refused and goes on where it was when it is called again. No byte becomes
/// another, and the volume stays in use.
#[test]
fn without_memory_no_byte_changes() {
    let files = Files::mount(tools::mkfs(256 * MIB, &["-n", "4096"]));
    let space = files.fs.file_space();
    for n in 0..6_u64 {
        let inode = files.file(format!("f{n}").as_bytes());
        let run = |what: &str, expected: &[Has], call: &mut dyn FnMut() -> Result| {
            for nth in 0.. {
                files.mounted.store.shrink();
                let injection = inject::fail_nth(nth);
                let result = call();
                drop(injection);
                assert_eq!(files.txns().is_aborted(), None, "{what} {nth}: {result:?}");
                if result.is_ok() {
                    break;
                }
                assert_eq!(result, Err(ENOMEM), "{what} {nth}");
            }
            assert_eq!(look(&files, &inode)[..10], *expected, "{what}");
        };
        let mut truth = std::vec![Has::Unwritten; 10];
        let size = Bytes::new(10 * SECTOR);
        run("preallocate", &truth, &mut || {
            space.preallocate(&inode, pos(0), size, Some(size), NOW)
        });
        for sector in [n, n + 2, n + 1] {
            truth[sector as usize] = Has::Bytes(9);
            let place = files
                .fs
                .in_place()
                .find(&inode, pos(sector), Bytes::new(SECTOR));
            let place = place.unwrap().unwrap();
            files.mounted.store.shrink();
            // What the device has finds its way into the file without any memory.
            write_to(&files, &inode, sector, &[9; SECTOR as usize], place, || {
                Some(inject::fail_randomly(n, 1))
            });
            assert_eq!(look(&files, &inode)[..10], truth);
        }
        truth[..n as usize + 2].fill(Has::Unwritten);
        run("zero", &truth, &mut || {
            let range = pos(0)..pos(n + 2);
            space.ask_zero(&inode, range.clone(), range)?.run(NOW)
        });
        truth[n as usize + 2] = Has::Hole;
        run("forget", &truth, &mut || {
            space.forget_growth(&inode, Bytes::new(SECTOR), NOW)
        });
        assert_eq!(inode.attributes().size, Bytes::new(SECTOR));
    }
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}
