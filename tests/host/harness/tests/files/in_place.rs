// SPDX-License-Identifier: GPL-2.0
//! Preallocated space is written to where it is, piece by piece, until others have it too.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset, ObjectId, Uuid};
use engine::fs::{InPlace, Inode, MappingKind, NewSubvolume, Placed, WriteKind, WrittenInPlace};
use harness::mount::NOW;
use harness::random::Random;
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const SECTORS: u64 = 40;

fn pos(sector: u64) -> FileOffset {
    FileOffset::new(sector * SECTOR)
}

fn preallocated(files: &Files) -> Arc<Inode> {
    let inode = files.file(b"f");
    let space = files.fs.file_space();
    let size = Bytes::new(SECTORS * SECTOR);
    space
        .preallocate(&inode, pos(0), size, Some(size), NOW)
        .unwrap();
    inode
}

/// Writes sectors in place as far as one piece goes; how many.
fn write(files: &Files, inode: &Inode, sector: u64, bytes: &[u8]) -> Option<u64> {
    let data = files.fs.data();
    let wanted = bytes.len() as u64;
    let InPlace { logical, len } = data
        .find_in_place(inode, pos(sector), Bytes::new(wanted))
        .unwrap()?;
    let found = data.map(inode, pos(sector), len).unwrap();
    assert!(matches!(found.kind, MappingKind::Prealloc { logical: at } if at == logical));
    let bytes = &bytes[..len.get() as usize];
    files.mounted.write_data(logical, bytes).unwrap();
    let reservation = data.reserve_write(inode, pos(sector), len).unwrap();
    let end = pos(sector).checked_add(len).unwrap();
    let written = WrittenInPlace {
        range: pos(sector)..end,
        logical,
        checksums: files.sums(inode, bytes).unwrap(),
        new_size: end.before(),
        reservation,
    };
    data.finish_in_place(inode, written).unwrap();
    let found = data.map(inode, pos(sector), len).unwrap();
    assert!(matches!(found.kind, MappingKind::Data { logical: at } if at == logical));
    Some(len.get() / SECTOR)
}

fn used(files: &Files) -> u64 {
    files.txns().commit().unwrap();
    files.txns().space().statistics().data.used.get()
}

fn history(options: &[&str], seed: u64) {
    let files = Files::mount(tools::mkfs(256 * MIB, options));
    let inode = preallocated(&files);
    let before = used(&files);
    let mut random = Random::new(seed);
    let mut truth = vec![0u8; (SECTORS * SECTOR) as usize];
    let mut written = [false; SECTORS as usize];
    for step in 0..60u64 {
        let start = random.below(SECTORS);
        let len = 1 + random.below((SECTORS - start).min(7));
        let bytes = vec![1 + step as u8; (len * SECTOR) as usize];
        // What has bytes is not written over.
        let count = write(&files, &inode, start, &bytes);
        let free = (start..start + len)
            .take_while(|&sector| !written[sector as usize])
            .count() as u64;
        assert_eq!(count, (free > 0).then_some(free), "sectors from {start}");
        let range = (start * SECTOR) as usize..((start + free) * SECTOR) as usize;
        truth[range].fill(1 + step as u8);
        written[start as usize..(start + free) as usize].fill(true);
        let found = files.read(&inode, 0, SECTORS * SECTOR).unwrap();
        assert!(found == truth, "after step {step}");
        if random.one_in(10) {
            assert_eq!(used(&files), before);
        }
    }
    assert_eq!(inode.attributes().nbytes, Bytes::new(SECTORS * SECTOR));
    assert_eq!(used(&files), before);
    drop(inode);
    let files = Files::mount(files.unmount());
    tools::check_with(&files.image(), &["--check-data-csum"]).unwrap();
    // Every reference that the pieces have goes with them.
    let root = files.root.clone();
    let inode = found(&files, b"f");
    assert!(files.read(&inode, 0, SECTORS * SECTOR).unwrap() == truth);
    files.fs.names().unlink(&root, b"f", &inode, NOW).unwrap();
    files.fs.inodes().evict(&inode).unwrap();
    assert_eq!(used(&files), before - SECTORS * SECTOR);
    drop((inode, root));
    tools::check(&files.unmount()).unwrap();
}

fn found(files: &Files, name: &[u8]) -> Arc<Inode> {
    match files.fs.names().lookup(&files.root, name).unwrap() {
        Some(engine::fs::Target::Inode(number, _)) => {
            files.fs.inodes().get(&files.top, number).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn pieces_become_written_where_they_are() {
    for seed in 0..6 {
        history(&[], seed);
        history(&["-O", "^no-holes"], seed);
    }
}

/// Whatever else takes all there is: what was given before can be written.
#[test]
fn on_a_full_volume_it_is_there() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = preallocated(&files);
    let data = files.fs.data();
    let mut taken = Vec::new();
    for len in [MIB, SECTOR] {
        while let Ok(reservation) = files.txns().reserve_data(Bytes::new(len)) {
            taken.push(reservation);
        }
    }
    assert!(data
        .reserve_write(&inode, pos(0), Bytes::new(SECTOR))
        .is_err());
    let all = SECTORS * SECTOR;
    let placed = data.place(&inode, pos(0), Bytes::new(all)).unwrap();
    let kind = WriteKind::InPlace;
    assert_eq!(
        placed,
        Placed {
            kind,
            len: Bytes::new(all)
        }
    );
    let mut reservation = data
        .reserve_in_place(&inode, pos(0), Bytes::new(all))
        .unwrap();
    assert_eq!(files.top.promised(), Bytes::new(all));
    for sector in 0..SECTORS {
        let bytes = [sector as u8; SECTOR as usize];
        let at = data
            .find_in_place(&inode, pos(sector), Bytes::new(SECTOR))
            .unwrap();
        let logical = at.unwrap().logical;
        files.mounted.write_data(logical, &bytes).unwrap();
        let written = WrittenInPlace {
            range: pos(sector)..pos(sector + 1),
            logical,
            checksums: files.sums(&inode, &bytes).unwrap(),
            new_size: Bytes::ZERO,
            reservation: reservation
                .split_kinds(Bytes::new(SECTOR), Bytes::new(SECTOR))
                .unwrap(),
        };
        data.finish_in_place(&inode, written).unwrap();
    }
    drop(reservation);
    assert_eq!(files.top.promised(), Bytes::ZERO);
    let placed = data.place(&inode, pos(0), Bytes::new(all)).unwrap();
    assert_eq!(placed.kind, WriteKind::Cow);
    drop((taken, inode));
    let files = Files::mount(files.unmount());
    tools::check_with(&files.image(), &["--check-data-csum"]).unwrap();
    let inode = found(&files, b"f");
    let bytes = files.read(&inode, 0, all).unwrap();
    let is_right = |(at, byte): (usize, &u8)| *byte == (at / SECTOR as usize) as u8;
    assert!(bytes.iter().enumerate().all(is_right));
}

/// What is promised so keeps snapshots away, and who takes one keeps promises away.
#[test]
fn a_snapshot_waits_for_promises() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = preallocated(&files);
    let data = files.fs.data();
    let place = NewSubvolume {
        dir: &files.root,
        name: b"snapshot",
        uuid: Uuid([7; 16]),
        now: NOW,
    };
    let snapshot = || files.fs.subvolumes().snapshot(&files.top, &place);
    let mut promised = data
        .reserve_in_place(&inode, pos(0), Bytes::new(4 * SECTOR))
        .unwrap();
    let part = promised
        .split_kinds(Bytes::new(SECTOR), Bytes::new(SECTOR))
        .unwrap();
    drop(promised);
    assert_eq!(snapshot(), Err(EBUSY));
    let closed = files.top.promise_no_more();
    let refused = data
        .reserve_in_place(&inode, pos(8), Bytes::new(SECTOR))
        .err();
    assert_eq!(refused, Some(EAGAIN));
    let placed = data.place(&inode, pos(8), Bytes::new(SECTOR)).unwrap();
    assert_eq!(placed.kind, WriteKind::Cow);
    drop(closed);
    assert!(data.is_in_place(&inode, pos(0)..pos(SECTORS)).unwrap());
    drop(part);
    snapshot().unwrap();
    assert!(!data.is_in_place(&inode, pos(0)..pos(1)).unwrap());
    let placed = data.place(&inode, pos(8), Bytes::new(SECTOR)).unwrap();
    assert_eq!(placed.kind, WriteKind::Cow);
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

/// A snapshot has the space, too: both write elsewhere from then on, and what was on its way is zeroes in the snapshot.
#[test]
fn a_snapshot_ends_it() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    // Items enough that the leaf is neither the root nor that of the directory, both of which a snapshot copies: then
    // references alone would tell.
    for n in 0..300 {
        files.file(format!("other{n}").as_bytes());
    }
    let inode = preallocated(&files);
    assert_eq!(write(&files, &inode, 3, &[7; SECTOR as usize]), Some(1));
    let place = NewSubvolume {
        dir: &files.root,
        name: b"snapshot",
        uuid: Uuid([7; 16]),
        now: NOW,
    };
    files.fs.subvolumes().snapshot(&files.top, &place).unwrap();
    let in_place = files
        .fs
        .data()
        .find_in_place(&inode, pos(9), Bytes::new(SECTOR));
    assert_eq!(in_place.unwrap(), None, "in the file");
    let copy = files.fs.subvolumes().get(ObjectId::new(256)).unwrap();
    let theirs = files.fs.inodes().get(&copy, inode.number()).unwrap();
    let in_place = files
        .fs
        .data()
        .find_in_place(&theirs, pos(9), Bytes::new(SECTOR));
    assert_eq!(in_place.unwrap(), None, "in the snapshot");
    let found: Vec<u8> = files.read(&theirs, 3 * SECTOR, SECTOR).unwrap();
    assert!(found.iter().all(|byte| *byte == 7));
    drop((inode, theirs, copy));
    tools::check(&files.unmount()).unwrap();
}
