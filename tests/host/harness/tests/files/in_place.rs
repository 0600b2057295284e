// SPDX-License-Identifier: GPL-2.0
//! Preallocated space is written to where it is, piece by piece, until others have it too.

use crate::files::{Files, SECTOR};
use crate::promises::take_all_metadata;
use engine::disk::{Bytes, FileOffset, ObjectId, Uuid};
use engine::fs::{
    InPlace, Inode, MappingKind, NewSubvolume, Placed, WriteKind, WriteReservation, WrittenInPlace,
};
use engine::txn::Units;
use harness::mount::NOW;
use harness::random::Random;
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const SECTORS: u64 = 40;

pub(crate) fn pos(sector: u64) -> FileOffset {
    FileOffset::new(sector * SECTOR)
}

/// A file of so many sectors, all of them given and none written.
pub(crate) fn preallocated(files: &Files, sectors: u64) -> Arc<Inode> {
    let inode = files.file(b"f");
    let space = files.fs.file_space();
    let size = Bytes::new(sectors * SECTOR);
    space
        .preallocate(&inode, pos(0), size, Some(size), NOW)
        .unwrap();
    inode
}

/// Writes sectors in place as far as one piece goes; how many.
pub(crate) fn write(files: &Files, inode: &Inode, sector: u64, bytes: &[u8]) -> Option<u64> {
    let wanted = bytes.len() as u64;
    let place = files
        .fs
        .in_place()
        .find(inode, pos(sector), Bytes::new(wanted))
        .unwrap()?;
    let found = files
        .fs
        .mappings()
        .find(inode, pos(sector), place.len)
        .unwrap();
    assert!(matches!(found.kind, MappingKind::Prealloc { logical: at } if at == place.logical));
    Some(write_to(files, inode, sector, bytes, place, || ()))
}

/// Writes a sector full of `byte` in place, with space that was promised.
fn write_promised(
    files: &Files,
    inode: &Inode,
    sector: u64,
    byte: u8,
    reservation: WriteReservation,
) {
    let (in_place, bytes) = (files.fs.in_place(), [byte; SECTOR as usize]);
    let place = in_place.find(inode, pos(sector), Bytes::new(SECTOR));
    let logical = place.unwrap().unwrap().logical;
    files.mounted.write_data(logical, &bytes).unwrap();
    let written = WrittenInPlace {
        range: pos(sector)..pos(sector + 1),
        logical,
        checksums: files.sums(inode, &bytes).unwrap(),
        new_size: Bytes::ZERO,
        reservation,
    };
    in_place.finish(inode, written).unwrap();
}

/// Writes sectors to `place`; how many. What `before_end` gives lives until that is in the file.
pub(crate) fn write_to<T>(
    files: &Files,
    inode: &Inode,
    sector: u64,
    bytes: &[u8],
    place: InPlace,
    before_end: impl FnOnce() -> T,
) -> u64 {
    let data = files.fs.data();
    let InPlace { logical, len } = place;
    let bytes = &bytes[..len.get() as usize];
    files.mounted.write_data(logical, bytes).unwrap();
    let reservation = data.reserve_in_place(inode, pos(sector), len).unwrap();
    let end = pos(sector).checked_add(len).unwrap();
    let written = WrittenInPlace {
        range: pos(sector)..end,
        logical,
        checksums: files.sums(inode, bytes).unwrap(),
        new_size: end.before(),
        reservation,
    };
    let until_end = before_end();
    files.fs.in_place().finish(inode, written).unwrap();
    drop(until_end);
    let found = files.fs.mappings().find(inode, pos(sector), len).unwrap();
    assert!(matches!(found.kind, MappingKind::Data { logical: at } if at == logical));
    len.get() / SECTOR
}

/// How many items the file has for its first sectors.
pub(crate) fn items(files: &Files, inode: &Inode, sectors: u64) -> usize {
    let (mut at, mut count) = (pos(0), 0);
    while at < pos(sectors) {
        let left = pos(sectors).saturating_since(at);
        at = at.saturating_add(files.fs.mappings().find(inode, at, left).unwrap().len);
        count += 1;
    }
    count
}

/// The runs of equal sectors.
fn runs(written: &[bool]) -> usize {
    1 + written.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

pub(crate) fn used(files: &Files) -> u64 {
    files.txns().commit().unwrap();
    files.txns().space().statistics().data.used.get()
}

fn history(options: &[&str], seed: u64) {
    let files = Files::mount(tools::mkfs(256 * MIB, options));
    let inode = preallocated(&files, SECTORS);
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
        let count = items(&files, &inode, SECTORS);
        assert_eq!(count, runs(&written), "items after step {step}");
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

pub(crate) fn found(files: &Files, name: &[u8]) -> Arc<Inode> {
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

/// Numbers below this, each once.
fn in_any_order(end: u64) -> impl Iterator<Item = u64> {
    let mut order: Vec<u64> = (0..end).collect();
    let mut random = Random::new(1);
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order.into_iter()
}

/// Sectors written in any order, in extents of several lengths: at the end there is an item for each extent, and in between
/// none that could be one with another.
#[test]
fn small_steps_leave_no_more_items_than_extents() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = files.file(b"f");
    let space = files.fs.file_space();
    let lens = [700, 1, 30, 269];
    let mut sectors = 0;
    for len in lens {
        let size = Some(Bytes::new((sectors + len) * SECTOR));
        space
            .preallocate(&inode, pos(sectors), Bytes::new(len * SECTOR), size, NOW)
            .unwrap();
        sectors += len;
    }
    let mut written = vec![false; sectors as usize];
    for (step, sector) in in_any_order(sectors).enumerate() {
        let bytes = [sector as u8; SECTOR as usize];
        assert_eq!(write(&files, &inode, sector, &bytes), Some(1));
        written[sector as usize] = true;
        if step % 100 == 0 {
            let (mut first, mut expected) = (0, 0);
            for len in lens {
                let extent = first as usize..(first + len) as usize;
                expected += runs(&written[extent]);
                first += len;
            }
            assert_eq!(items(&files, &inode, sectors), expected, "step {step}");
        }
    }
    assert_eq!(items(&files, &inode, sectors), lens.len());
    assert_eq!(inode.attributes().nbytes, Bytes::new(sectors * SECTOR));
    drop(inode);
    let files = Files::mount(files.unmount());
    tools::check_with(&files.image(), &["--check-data-csum"]).unwrap();
    let inode = found(&files, b"f");
    let bytes = files.read(&inode, 0, sectors * SECTOR).unwrap();
    let is_right = |(at, byte): (usize, &u8)| *byte == (at / SECTOR as usize) as u8;
    assert!(bytes.iter().enumerate().all(is_right));
}

/// Whatever else takes all there is: what was given before can be written.
#[test]
fn on_a_full_volume_it_is_there() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = preallocated(&files, SECTORS);
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
    let placed = files
        .fs
        .in_place()
        .place(&inode, pos(0), Bytes::new(all))
        .unwrap();
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
        let len = Bytes::new(SECTOR);
        let part = reservation.split_kinds(len, len).unwrap();
        write_promised(&files, &inode, sector, sector as u8, part);
    }
    drop(reservation);
    assert_eq!(files.top.promised(), Bytes::ZERO);
    let placed = files
        .fs
        .in_place()
        .place(&inode, pos(0), Bytes::new(all))
        .unwrap();
    assert_eq!(placed.kind, WriteKind::Cow);
    drop((taken, inode));
    let files = Files::mount(files.unmount());
    tools::check_with(&files.image(), &["--check-data-csum"]).unwrap();
    let inode = found(&files, b"f");
    let bytes = files.read(&inode, 0, all).unwrap();
    let is_right = |(at, byte): (usize, &u8)| *byte == (at / SECTOR as usize) as u8;
    assert!(bytes.iter().enumerate().all(is_right));
}

/// All metadata is promised to others: what was given before can be written in the smallest steps, and removed.
#[test]
fn when_metadata_is_full_it_can_be_written() {
    const MANY: u64 = 600;
    let files = Files::mount(tools::mkfs(128 * MIB, &[]));
    let root = files.root.clone();
    let inode = files.file(b"f");
    let (space, size) = (files.fs.file_space(), Bytes::new(MANY * SECTOR));
    space
        .preallocate(&inode, pos(0), size, Some(size), NOW)
        .unwrap();
    let taken = take_all_metadata(&files);
    for (step, sector) in in_any_order(MANY).enumerate() {
        let refused = files
            .fs
            .data()
            .reserve_write(&inode, pos(sector), Bytes::new(SECTOR));
        assert_eq!(refused.err(), Some(ENOSPC));
        let bytes = [sector as u8; SECTOR as usize];
        assert_eq!(write(&files, &inode, sector, &bytes), Some(1));
        if step % 50 == 0 {
            files.txns().commit().unwrap();
        }
    }
    assert_eq!(items(&files, &inode, MANY), 1);
    files.fs.names().unlink(&root, b"f", &inode, NOW).unwrap();
    files.fs.inodes().evict(&inode).unwrap();
    drop((taken, inode, root));
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

/// All metadata is promised to others, and what the global reserve has for this to many small writes: who comes then is told
/// that they will give it back, and is refused only when none is left that could.
#[test]
fn who_is_refused_hears_of_others_that_will_end() {
    let files = Files::mount(tools::mkfs(128 * MIB, &[]));
    let inode = preallocated(&files, 256);
    let taken = take_all_metadata(&files);
    let data = files.fs.data();
    let ask = |sector| data.reserve_in_place(&inode, pos(sector), Bytes::new(SECTOR));
    let (mut promised, mut sector) = (Vec::new(), 0);
    let refused = loop {
        match ask(sector) {
            Ok(reservation) => promised.push(reservation),
            Err(error) => break error,
        }
        sector += 2;
    };
    assert!(promised.len() > 3 && promised.len() < 64);
    assert_eq!(refused, EBUSY);
    // A part of one that is still there is one as well, and what is left of it for nothing is none.
    let mut spent = promised.pop().unwrap();
    let len = Bytes::new(SECTOR);
    promised.clear();
    let part = spent.split_kinds(len, len).unwrap();
    let mut freed = Vec::new();
    while let Ok(more) = files.txns().reserve_freeing(Units::updates(1)) {
        freed.push(more);
    }
    assert_eq!(ask(0).err(), Some(EBUSY));
    drop(part);
    while let Ok(more) = files.txns().reserve_freeing(Units::updates(1)) {
        freed.push(more);
    }
    assert_eq!(ask(0).err(), Some(ENOSPC));
    drop((spent, freed, taken, inode));
    tools::check(&files.unmount()).unwrap();
}

/// Many tasks write so at once, each a block here and a block there: each has its turn, and none is refused.
#[test]
fn many_at_once_are_not_refused() {
    const TASKS: u64 = 32;
    const EACH: u64 = 20;
    let files = Files::mount(tools::mkfs(128 * MIB, &[]));
    let inode = preallocated(&files, 2 * TASKS * EACH);
    let taken = take_all_metadata(&files);
    let write_next = |sector| {
        let data = files.fs.data();
        let len = Bytes::new(SECTOR);
        let reservation = loop {
            match data.reserve_in_place(&inode, pos(sector), len) {
                Err(error) if error == EBUSY => std::thread::yield_now(),
                reserved => break reserved.unwrap(),
            }
        };
        write_promised(&files, &inode, sector, sector as u8, reservation);
    };
    let write_next = &write_next;
    std::thread::scope(|scope| {
        for task in 0..TASKS {
            scope.spawn(move || {
                for step in 0..EACH {
                    write_next(2 * (task + TASKS * step));
                }
            });
        }
    });
    assert_eq!(
        items(&files, &inode, 2 * TASKS * EACH),
        2 * (TASKS * EACH) as usize
    );
    drop((taken, inode));
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

/// What is promised so keeps snapshots away, and who takes one keeps promises away.
#[test]
fn a_snapshot_waits_for_promises() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = preallocated(&files, SECTORS);
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
    let placed = files
        .fs
        .in_place()
        .place(&inode, pos(8), Bytes::new(SECTOR))
        .unwrap();
    assert_eq!(placed.kind, WriteKind::Cow);
    drop(closed);
    assert!(files
        .fs
        .in_place()
        .is_possible(&inode, pos(0)..pos(SECTORS))
        .unwrap());
    drop(part);
    snapshot().unwrap();
    assert!(!files
        .fs
        .in_place()
        .is_possible(&inode, pos(0)..pos(1))
        .unwrap());
    let placed = files
        .fs
        .in_place()
        .place(&inode, pos(8), Bytes::new(SECTOR))
        .unwrap();
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
    let inode = preallocated(&files, SECTORS);
    assert_eq!(write(&files, &inode, 3, &[7; SECTOR as usize]), Some(1));
    let on_its_way = files.fs.in_place().find(&inode, pos(2), Bytes::new(SECTOR));
    let on_its_way = on_its_way.unwrap().unwrap();
    let place = NewSubvolume {
        dir: &files.root,
        name: b"snapshot",
        uuid: Uuid([7; 16]),
        now: NOW,
    };
    files.fs.subvolumes().snapshot(&files.top, &place).unwrap();
    let in_place = files.fs.in_place().find(&inode, pos(9), Bytes::new(SECTOR));
    assert_eq!(in_place.unwrap(), None, "in the file");
    // What was on its way has arrived, beside what the snapshot has, too: that stays as old as it is.
    assert_eq!(
        write_to(&files, &inode, 2, &[8; SECTOR as usize], on_its_way, || ()),
        1
    );
    assert_eq!(items(&files, &inode, SECTORS), 4);
    let copy = files.fs.subvolumes().get(ObjectId::new(256)).unwrap();
    let theirs = files.fs.inodes().get(&copy, inode.number()).unwrap();
    let in_place = files
        .fs
        .in_place()
        .find(&theirs, pos(9), Bytes::new(SECTOR));
    assert_eq!(in_place.unwrap(), None, "in the snapshot");
    let found: Vec<u8> = files.read(&theirs, 3 * SECTOR, SECTOR).unwrap();
    assert!(found.iter().all(|byte| *byte == 7));
    drop((inode, theirs, copy));
    tools::check(&files.unmount()).unwrap();
}

/// What was promised while the volume might be written goes to its place after it was made read-only by force.
#[test]
fn a_paused_volume_takes_what_was_promised() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = preallocated(&files, SECTORS);
    let data = files.fs.data();
    let len = Bytes::new(SECTOR);
    let reservation = data.reserve_in_place(&inode, pos(3), len).unwrap();
    files.mounted.volume.pause_writing();
    assert_eq!(
        data.reserve_in_place(&inode, pos(4), len).err(),
        Some(EROFS)
    );
    write_promised(&files, &inode, 3, 7, reservation);
    files.txns().commit().unwrap();
    let bytes = [7; SECTOR as usize];
    assert_eq!(files.read(&inode, 3 * SECTOR, SECTOR).unwrap(), bytes);
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}
