// SPDX-License-Identifier: GPL-2.0
//! Space that was promised is there at writeback, and comes back from a write that did not come about.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset};
use engine::fs::{Inode, Time, Times, WriteReservation};
use engine::space::Reservation;
use engine::txn::Units;
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::mount::NOW;
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// Behind what new files have.
const LATER: Time = Time { sec: 9, ..NOW };

/// Zones few of which may be active: one or two with data.
fn narrow_zones(max_active: u32) -> Image {
    let layout = ZoneLayout {
        max_active: Some(max_active),
        ..tools::zone_layout(16 * MIB)
    };
    tools::mkfs_zoned(14, &["-m", "single", "-d", "single"], layout)
}

fn reserved(files: &Files) -> u64 {
    files.txns().space().statistics().data.reserved.get()
}

/// Whatever comes between an address and the end of its write fails: the space is not lost until the next mount.
#[test]
fn an_address_without_a_write_is_given_back() {
    for image in [tools::mkfs(256 * MIB, &[]), narrow_zones(14)] {
        let files = Files::mount(image);
        let inode = files.file(b"f");
        let len = 8 * SECTOR;
        let available = files.txns().space().statistics().available;
        for _ in 0..3 {
            let offset = FileOffset::new(0);
            let mut reservation = files
                .fs
                .data()
                .reserve_write(&inode, offset, Bytes::new(len))
                .unwrap();
            let extent = files
                .fs
                .data()
                .allocate_write(&mut reservation, Bytes::new(len))
                .unwrap();
            assert_eq!(reserved(&files), len);
            drop((extent, reservation));
            assert_eq!(reserved(&files), 0);
        }
        if !files.mounted.volume.rules().writes_in_order() {
            assert_eq!(files.txns().space().statistics().available, available);
        }
        drop(inode);
        tools::check(&files.unmount()).unwrap();
    }
}

/// Space comes back of what is on the device and then cannot be entered, because the transaction was given up.
#[test]
fn a_write_that_cannot_be_finished_is_given_back() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = files.file(b"f");
    files.txns().commit().unwrap();
    let (data, len) = ([7; 4 * SECTOR as usize], 4 * SECTOR);
    let mut reservation = files
        .fs
        .data()
        .reserve_write(&inode, FileOffset::new(0), Bytes::new(len))
        .unwrap();
    let written = files
        .to_device(&inode, 0, &data, len, &mut reservation)
        .unwrap();
    drop(reservation);
    assert_eq!(reserved(&files), len);
    files.txns().abort(EIO);
    assert_eq!(files.fs.data().finish_ordered(&inode, written), Err(EROFS));
    assert_eq!(reserved(&files), 0);
    tools::check(&files.image()).unwrap();
}

/// Metadata is full. What is in the transaction has all that it needs, and becomes durable, with its times.
#[test]
fn fsync_succeeds_when_metadata_is_full() {
    let files = Files::mount(tools::mkfs(128 * MIB, &[]));
    let inode = files.file(b"f");
    files.txns().commit().unwrap();
    let (data, len) = ([7; 4 * SECTOR as usize], 4 * SECTOR);
    let reserved = files
        .fs
        .data()
        .reserve_write(&inode, FileOffset::new(0), Bytes::new(len));
    let mut reservation = reserved.unwrap();
    let written = files.to_device(&inode, 0, &data, len, &mut reservation);
    let entered = files.fs.data().finish_ordered(&inode, written.unwrap());
    entered.unwrap();
    drop(reservation);
    let taken = take_all_metadata(&files);
    note_mtime(&inode, LATER);
    assert_eq!(files.fs.sync(&inode), Ok(()));
    assert!(inode.attributes().transid <= files.txns().committed());
    assert_eq!(stored_mtime(&files, &inode), LATER);
    drop(taken);
    tools::check(&files.image()).unwrap();
}

/// Metadata is full. Times that nobody waits for get nothing of what is kept for removing; they wait, and are not lost.
#[test]
fn times_leave_the_global_reserve_alone() {
    let files = Files::mount(tools::mkfs(128 * MIB, &[]));
    let inode = files.file(b"f");
    files.txns().commit().unwrap();
    let taken = take_all_metadata(&files);
    let before = inode.attributes();
    note_mtime(&inode, LATER);
    let held = || files.txns().space().statistics().global_held;
    let reserve = held();
    assert_eq!(files.fs.inodes().write_attributes(&inode), Err(ENOSPC));
    assert_eq!(held(), reserve);
    assert_eq!(stored_mtime(&files, &inode), before.mtime);
    drop(taken);
    assert_eq!(files.fs.inodes().write_attributes(&inode), Ok(()));
    assert_eq!(stored_mtime(&files, &inode), LATER);
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

/// Not even the global reserve has anything: what an fsync was called for is durable, and its times wait.
#[test]
fn fsync_does_not_fail_for_times() {
    let files = Files::mount(tools::mkfs(128 * MIB, &[]));
    let inode = files.file(b"f");
    let mut taken = take_all_metadata(&files);
    while let Ok(more) = files.txns().reserve_freeing(Units::updates(1)) {
        taken.push(more);
    }
    let before = inode.attributes();
    note_mtime(&inode, LATER);
    assert_eq!(files.fs.sync(&inode), Ok(()));
    assert!(inode.attributes().transid <= files.txns().committed());
    assert_eq!(stored_mtime(&files, &inode), before.mtime);
    drop(taken);
    assert_eq!(files.fs.sync(&inode), Ok(()));
    assert_eq!(stored_mtime(&files, &inode), LATER);
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

/// Promises all metadata there is to nobody.
pub(crate) fn take_all_metadata(files: &Files) -> Vec<Reservation> {
    let mut taken = Vec::new();
    for units in [Units::inserts(64), Units::updates(1)] {
        while let Ok(more) = files.txns().reserve(units) {
            taken.push(more);
        }
    }
    taken
}

fn note_mtime(inode: &Inode, time: Time) {
    inode.note_times(&Times {
        mtime: Some(time),
        ..Times::default()
    });
}

/// The time that the inode's item has.
fn stored_mtime(files: &Files, inode: &Inode) -> Time {
    let inodes = files.fs.inodes();
    let stored = inodes.get(inode.subvolume(), inode.number()).unwrap();
    stored.attributes().mtime
}

/// An abort may have been for free space that was somebody's: no address is given to data from there on.
#[test]
fn after_an_abort_data_gets_no_address() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = files.file(b"f");
    files.txns().commit().unwrap();
    let data = files.fs.data();
    let reserved = data.reserve_write(&inode, FileOffset::new(0), Bytes::new(4 * SECTOR));
    let mut reservation = reserved.unwrap();
    files.txns().abort(EUCLEAN);
    let given = data.allocate_write(&mut reservation, Bytes::new(4 * SECTOR));
    assert_eq!(given.err(), Some(EROFS));
    let given = data.try_allocate_write(&mut reservation, Bytes::new(4 * SECTOR));
    assert_eq!(given.err(), Some(EROFS));
}

/// What is asked for and is not there is refused at once; what is there is given, around what the file has already.
#[test]
fn preallocation_of_more_than_is_free_uses_nothing() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let inode = files.file(b"f");
    files
        .write(&inode, 10 * SECTOR, &[3; SECTOR as usize])
        .unwrap();
    let space = files.fs.file_space();
    let used = || {
        files.txns().commit().unwrap();
        files.txns().space().statistics().data.used
    };
    let preallocate = |len| space.preallocate(&inode, FileOffset::new(0), len, None, NOW);
    let before = used();
    assert_eq!(preallocate(Bytes::new(1024 * MIB)), Err(ENOSPC));
    assert_eq!((used(), reserved(&files)), (before, 0));
    assert_eq!(inode.attributes().nbytes, Bytes::new(SECTOR));
    preallocate(Bytes::new(64 * MIB)).unwrap();
    assert_eq!(used(), Bytes::new(before.get() + 64 * MIB - SECTOR));
    assert_eq!(inode.attributes().nbytes, Bytes::new(64 * MIB));
    assert_eq!(reserved(&files), 0);
    assert_eq!(preallocate(Bytes::new(64 * MIB)), Ok(()));
    assert_eq!(used(), Bytes::new(before.get() + 64 * MIB - SECTOR));
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

/// Reserves for file after file until nothing is left.
fn reserve_all(files: &Files, piece: u64) -> Vec<(Arc<Inode>, WriteReservation)> {
    let mut all = Vec::new();
    loop {
        let inode = files.file(format!("f{}", all.len()).as_bytes());
        let offset = FileOffset::new(0);
        match files
            .fs
            .data()
            .reserve_write(&inode, offset, Bytes::new(piece))
        {
            Ok(reservation) => all.push((inode, reservation)),
            Err(error) => {
                assert_eq!(error, ENOSPC);
                return all;
            }
        }
    }
}

/// Free bytes of data that nobody was promised.
fn spare(files: &Files) -> u64 {
    let data = files.txns().space().statistics().data;
    let taken = [
        data.used,
        data.reserved,
        data.pinned,
        data.read_only,
        data.unusable,
        data.promised,
    ];
    data.total.get() - taken.iter().map(|bytes| bytes.get()).sum::<u64>()
}

/// Reserves all there is, the last bytes for `inode`.
fn reserve_to_the_end(
    files: &Files,
    inode: &Arc<Inode>,
    piece: u64,
) -> Vec<(Arc<Inode>, WriteReservation)> {
    let mut all = reserve_all(files, piece);
    let rest = spare(files);
    if rest > 0 {
        let last = files
            .fs
            .data()
            .reserve_write(inode, FileOffset::new(0), Bytes::new(rest));
        all.push((inode.clone(), last.unwrap()));
    }
    assert!(all.len() > 5 && spare(files) == 0);
    let refused = files
        .fs
        .data()
        .reserve_write(inode, FileOffset::new(0), Bytes::new(SECTOR));
    assert_eq!(refused.err(), Some(ENOSPC));
    all
}

/// An address that is taken back leaves the bytes their promise: on a full volume nobody else gets them, and all that
/// was promised can be written.
#[test]
fn an_address_taken_back_leaves_its_promise() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let other = files.file(b"other");
    let mut all = reserve_to_the_end(&files, &other, 3 * MIB);
    for (_, reservation) in &mut all {
        let all = reservation.data_len();
        for wanted in [SECTOR, all.get(), (5 * SECTOR).min(all.get())] {
            let mut part = reservation.split(Bytes::new(wanted)).unwrap();
            let extent = files
                .fs
                .data()
                .allocate_write(&mut part, Bytes::new(wanted))
                .unwrap();
            assert_eq!(reserved(&files), extent.get().len.get());
            extent.take_back(&mut part).unwrap();
            assert_eq!((reserved(&files), part.data_len().get()), (0, wanted));
            let refused =
                files
                    .fs
                    .data()
                    .reserve_write(&other, FileOffset::new(0), Bytes::new(SECTOR));
            assert_eq!((refused.err(), spare(&files)), (Some(ENOSPC), 0));
            reservation.merge(part);
        }
        assert_eq!(reservation.data_len(), all);
        files.txns().space().audit().unwrap();
    }
    for (inode, reservation) in all {
        let len = reservation.data_len();
        let data = vec![3; len.get() as usize];
        files
            .write_reserved(&inode, 0, &data, len.get(), reservation)
            .unwrap();
    }
    drop(other);
    tools::check(&files.unmount()).unwrap();
}

/// On sequential zones the address itself is gone. Others are promised in its stead while there are any that nobody was
/// promised, and who asks hears when there are none.
#[test]
fn a_zone_takes_no_address_back() {
    let files = Files::mount(narrow_zones(14));
    let inode = files.file(b"f");
    let other = files.file(b"other");
    let space = files.txns().space();
    let offset = FileOffset::new(0);
    let mut reservation = files
        .fs
        .data()
        .reserve_write(&inode, offset, Bytes::new(MIB))
        .unwrap();
    let before = space.statistics().data;
    for _ in 0..3 {
        let extent = files
            .fs
            .data()
            .allocate_write(&mut reservation, Bytes::new(MIB))
            .unwrap();
        extent.take_back(&mut reservation).unwrap();
        assert_eq!((reserved(&files), reservation.data_len().get()), (0, MIB));
    }
    let after = space.statistics().data;
    assert_eq!(after.promised, before.promised);
    assert_eq!(after.unusable, Bytes::new(before.unusable.get() + 3 * MIB));
    // Of files so long data ends before the metadata that is promised with them.
    let all = reserve_to_the_end(&files, &other, 3 * MIB);
    let extent = files
        .fs
        .data()
        .allocate_write(&mut reservation, Bytes::new(MIB))
        .unwrap();
    assert_eq!(extent.take_back(&mut reservation), Err(ENOSPC));
    assert_eq!((reserved(&files), reservation.data_len().get()), (0, 0));
    space.audit().unwrap();
    drop((inode, other, reservation, all));
    tools::check(&files.unmount()).unwrap();
}

/// Who must not wait for a zone gets an address for all of his bytes, or none: of less he would send a part, and be refused the
/// rest. What zones have left that is shorter stays for others.
#[test]
fn who_must_not_wait_gets_all_or_nothing() {
    const PIECE: u64 = 512 << 10;
    let files = Files::mount(narrow_zones(8));
    let inode = files.file(b"f");
    let data = files.fs.data();
    let mut promised = data
        .reserve_write(&inode, FileOffset::new(0), Bytes::new(80 * MIB))
        .unwrap();
    let mut take = |len| {
        let mut part = promised.split(Bytes::new(len)).unwrap();
        let extent = data.try_allocate_write(&mut part, Bytes::new(len));
        extent.map(|extent| {
            assert_eq!(extent.get().len, Bytes::new(len));
            (extent, part)
        })
    };
    // The first zone is left with less than a piece.
    let mut held = vec![take(64 << 10).unwrap()];
    let refused = loop {
        match take(PIECE) {
            Ok(one) => held.push(one),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, EAGAIN);
    let all: u64 = held.iter().map(|(extent, _)| extent.get().len.get()).sum();
    assert_eq!(reserved(&files), all);
    held.push(take(PIECE - (64 << 10)).unwrap());
    drop((held, promised, inode));
    tools::check(&files.unmount()).unwrap();
}

/// Zones are given up in the midst of writes, as tasks do that met a device without active zones to give.
#[test]
fn what_is_promised_is_not_given_up() {
    for max_active in [8, 9, 14] {
        let files = Files::mount(narrow_zones(max_active));
        let piece = 3 * MIB;
        let data = vec![5; piece as usize];
        let all = reserve_all(&files, piece);
        assert!(all.len() > 10, "{} files", all.len());
        let files = &files;
        std::thread::scope(|scope| {
            let mut parts: [Vec<_>; 3] = [Vec::new(), Vec::new(), Vec::new()];
            for (n, file) in all.into_iter().enumerate() {
                parts[n % 3].push(file);
            }
            for part in parts {
                let data = &data;
                scope.spawn(move || {
                    for (inode, reservation) in part {
                        files
                            .write_reserved(&inode, 0, data, piece, reservation)
                            .unwrap_or_else(|error| panic!("{error:?} after a promise"));
                        files.txns().space().relieve_zones().unwrap();
                    }
                });
            }
        });
        assert_eq!(files.mounted.violations(), Vec::<String>::new());
        files.txns().commit().unwrap();
        tools::check_with(&files.image(), &["--check-data-csum"]).unwrap();
    }
}

/// A truncation that was granted is done, whatever becomes of the space meanwhile. One that is refused, or dropped, has
/// changed nothing.
#[test]
fn a_granted_truncation_finds_its_space() {
    let files = Files::mount(tools::mkfs(128 * MIB, &[]));
    let inode = files.file(b"f");
    let data = [7; 40 * SECTOR as usize];
    files.write_sectors(&inode, 0, &data, 40 * SECTOR).unwrap();
    files.txns().commit().unwrap();
    let before = inode.attributes();
    let ask = |size| files.fs.file_space().ask_truncate(&inode, size);
    drop(ask(Bytes::ZERO).unwrap());
    assert_eq!(ask(Bytes::MAX).err(), Some(EFBIG));
    let (shorter, longer) = (ask(Bytes::new(100)).unwrap(), ask(Bytes::new(MIB)).unwrap());
    let mut taken = Vec::new();
    while let Ok(reservation) = files.txns().reserve(Units::inserts(4)) {
        taken.push(reservation);
    }
    assert!(taken.len() > 10);
    assert_eq!(ask(Bytes::new(MIB)).err(), Some(ENOSPC));
    assert_eq!(inode.attributes(), before);
    longer.run(NOW).unwrap();
    assert_eq!(inode.attributes().size, Bytes::new(MIB));
    shorter.run(NOW).unwrap();
    assert_eq!(inode.attributes().size, Bytes::new(100));
    drop(taken);
    let granted = ask(Bytes::new(50)).unwrap();
    let before = inode.attributes();
    files.txns().abort(EIO);
    assert_eq!(granted.run(NOW), Err(EROFS));
    assert_eq!(ask(Bytes::new(50)).err(), Some(EROFS));
    assert_eq!(inode.attributes(), before);
    // What was never committed is told each time.
    assert_eq!(files.fs.sync(&inode), Err(EROFS));
    assert_eq!(files.fs.sync(&inode), Err(EROFS));
    assert_eq!(files.fs.sync(&files.root), Ok(()));
}
