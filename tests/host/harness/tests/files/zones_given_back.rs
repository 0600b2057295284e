// SPDX-License-Identifier: GPL-2.0
//! The device lets few zones be active: who needs another waits until one is finished, and one that cannot be finished costs
//! nobody's bytes.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset};
use engine::fs::{Inode, OrderedExtent};
use engine::space::Relief;
use engine::txn::Units;
use engine::volume::device::ZoneCondition;
use harness::device::faults::{Extent, Request};
use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::mount::NOW;
use harness::tools;
use kernel::prelude::*;
use kernel::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::time::Duration;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
/// What a zone holds.
const ZONE: u64 = 16 * MIB;

/// Zones of which eight may be active, some of them with data.
fn zones() -> Image {
    let layout = ZoneLayout {
        max_active: Some(8),
        ..tools::zone_layout(ZONE)
    };
    tools::mkfs_zoned(14, &["-m", "single", "-d", "single"], layout)
}

/// Has zones of data begun, in which nothing is on its way to the device, until no more may be active; how many those are.
fn begin_zones(files: &Files, inode: &Inode) -> usize {
    // Of no zone are twice as many to be had.
    let (data, len) = (files.fs.data(), Bytes::new(10 * MIB));
    let begin = || {
        let mut promised = data.reserve_write(inode, FileOffset::new(0), len).unwrap();
        data.try_allocate_write(&mut promised, len).map(drop)
    };
    let mut count = 0;
    loop {
        match begin() {
            Ok(()) => count += 1,
            Err(error) => {
                assert_eq!(error, EAGAIN);
                return count;
            }
        }
    }
}

/// What has the device finish a zone.
type Finish<'a> = std::boxed::Box<dyn FnOnce() + Send + 'a>;

/// Asks for an address while the device works at finishing all zones of data.
fn ask_meanwhile(files: &Files, finishes: Vec<Finish<'_>>) {
    let other = files.file(b"other");
    let (data, len) = (files.fs.data(), Bytes::new(SECTOR));
    let mut reservation = data.reserve_write(&other, FileOffset::new(0), len).unwrap();
    let gate = std::sync::Arc::new(Mutex::new(()));
    let (begun, has_begun) = channel();
    let closed = gate.lock().unwrap();
    let opens = gate.clone();
    files.mounted.device().before_zone_commands(move || {
        // Nobody asks any more at the unmount.
        let _ = begun.send(());
        drop(opens.lock());
    });
    std::thread::scope(|scope| {
        for finish in finishes {
            scope.spawn(finish);
            has_begun.recv().unwrap();
        }
        let (answer, answered) = channel();
        scope.spawn(move || {
            let given = data.allocate_write(&mut reservation, len);
            answer.send(given.map(drop)).unwrap();
        });
        let early = answered.recv_timeout(Duration::from_millis(200)).ok();
        drop(closed);
        assert_eq!(early, None, "before a zone was finished");
        assert_eq!(answered.recv().unwrap(), Ok(()));
    });
}

/// Somebody gives up what a zone of data has left.
fn give_up(files: &Files) -> Finish<'_> {
    std::boxed::Box::new(|| {
        let given = files.txns().space().give_up_data_zone();
        assert_eq!(given, Ok(Relief::Given));
    })
}

/// A zone written full, in pieces that are in no tree yet, but for one that was given up.
fn fill(files: &Files, inode: &Inode) -> Vec<OrderedExtent> {
    let data = files.fs.data();
    let (start, all) = (FileOffset::new(0), Bytes::new(ZONE));
    let mut promised = data.reserve_write(inode, start, all).unwrap();
    let mut lost = promised.split(Bytes::new(MIB)).unwrap();
    let given_up = data.allocate_write(&mut lost, Bytes::new(MIB)).unwrap();
    let group = given_up.get().logical;
    let mut pieces = Vec::new();
    let mut done = MIB;
    while done < ZONE {
        let bytes = vec![7; (ZONE - done).min(MIB) as usize];
        let piece = files
            .to_device(inode, done, &bytes, ZONE, &mut promised)
            .unwrap();
        let at = piece.extent.get().logical;
        assert!(at.saturating_since(group) < Bytes::new(ZONE));
        done += piece.ram_len.get();
        pieces.push(piece);
    }
    drop(given_up);
    pieces
}

fn enter(files: &Files, inode: &Inode, pieces: impl IntoIterator<Item = OrderedExtent>) {
    for piece in pieces {
        assert_eq!(files.fs.data().finish_ordered(inode, piece), Ok(()));
    }
}

/// Somebody gives up what zones have left, and the device takes its time: that is no reason to say that there are none.
#[test]
fn zones_that_are_given_up_are_waited_for() {
    let files = Files::mount(zones());
    let inode = files.file(b"f");
    let zones = begin_zones(&files, &inode);
    assert!(zones > 0);
    let finishes = (0..zones).map(|_| give_up(&files));
    ask_meanwhile(&files, finishes.collect());
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

/// The last write of a zone has ended, and the zone is finished, as less was written than it holds.
#[test]
fn a_zone_that_was_not_written_full_is_waited_for() {
    let files = Files::mount(zones());
    let inode = files.file(b"f");
    let mut pieces = fill(&files, &inode);
    let last = pieces.pop();
    enter(&files, &inode, pieces);
    let zones = begin_zones(&files, &inode);
    let finishes = (0..zones).map(|_| give_up(&files));
    let end: Finish<'_> = std::boxed::Box::new(|| enter(&files, &inode, last));
    ask_meanwhile(&files, Iterator::chain(finishes, [end]).collect());
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

/// A device that has all that was written and does not finish the zone has all that was written.
#[test]
fn a_zone_that_cannot_be_finished_costs_no_bytes() {
    let files = Files::mount(zones());
    let inode = files.file(b"f");
    let pieces = fill(&files, &inode);
    let device = files.mounted.device();
    device.faults(|faults| faults.fail_nth(Request::Manage, 0, Extent::Once));
    let before = device.faults(|faults| faults.seen(Request::Manage));
    enter(&files, &inode, pieces);
    assert_eq!(
        device.faults(|faults| faults.seen(Request::Manage)),
        before + 1
    );
    let kept = files.read(&inode, MIB, ZONE - MIB).unwrap();
    assert!(kept.iter().all(|byte| *byte == 7));
    // Another zone takes what follows.
    let other = files.file(b"other");
    files
        .write_sectors(&other, 0, &[8; 16 * SECTOR as usize], 16 * SECTOR)
        .unwrap();
    drop((inode, other));
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

/// Says that somebody has come somewhere, and waits for others to.
#[derive(Default)]
struct Milestone(AtomicBool);

impl Milestone {
    fn reach(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_reached(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn wait_until(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A volume with a file of most of a zone, all of it durable.
fn with_most_of_a_zone() -> (Files, Arc<Inode>) {
    let files = Files::mount(zones());
    let inode = files.file(b"f");
    let most = 12 * MIB;
    files
        .write_sectors(&inode, 0, &vec![1; most as usize], most)
        .unwrap();
    files.txns().commit().unwrap();
    (files, inode)
}

/// While the device empties the zone of a group in which nothing is left, others look for zones that are held for nothing: this
/// is none of them, or it would be full behind its reset, and all that is written there lost.
#[test]
fn a_zone_that_is_being_reset_is_not_finished() {
    let (files, inode) = with_most_of_a_zone();
    let group = files.address(&inode, 0);
    let space = files.fs.file_space();
    space.truncate(&inode, Bytes::ZERO, NOW).unwrap();

    let [reset, another, committed] = [(); 3].map(|()| std::sync::Arc::<Milestone>::default());
    let relieving = std::sync::Arc::new(Mutex::new(None));
    {
        let (space, relieving) = (files.txns().space().clone(), relieving.clone());
        let committed = committed.clone();
        files.mounted.device().before_zone_commands(move || {
            if reset.is_reached() {
                another.reach();
                return wait_until(|| committed.is_reached());
            }
            reset.reach();
            let space = space.clone();
            let other = std::thread::spawn(move || space.relieve_zones());
            // Until another command is on its way, or none will be.
            wait_until(|| another.is_reached() || other.is_finished());
            *relieving.lock().unwrap() = Some(other);
        });
    }
    files.txns().commit().unwrap();
    committed.reach();
    let relieved = relieving.lock().unwrap().take().expect("a zone is reset");
    assert_eq!(relieved.join().unwrap(), Ok(Relief::None));
    files.mounted.device().before_zone_commands(|| ());

    files
        .write_sectors(&inode, 0, &vec![2; ZONE as usize], ZONE)
        .unwrap();
    assert_eq!(files.address(&inode, 0), group);
    let kept = files.read(&inode, 0, ZONE).unwrap();
    assert!(kept.iter().all(|byte| *byte == 2));
    drop((inode, space));
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

/// While the superblock was written the next transaction aborted, perhaps as the trees take for free what is in use: by what
/// they say no zone is emptied.
#[test]
fn after_an_abort_no_zone_is_reset() {
    let (files, inode) = with_most_of_a_zone();
    let group = files
        .mounted
        .volume
        .chunk(files.address(&inode, 0))
        .unwrap();
    let space = files.fs.file_space();
    space.truncate(&inode, Bytes::ZERO, NOW).unwrap();

    let txns = files.mounted.txns.clone();
    let logs = 0..2 * tools::ZONE_SIZE;
    files.mounted.device().before_write(vec![logs], move || {
        let other = std::thread::spawn(move || {
            let handle = txns.start(Units::updates(1)).unwrap();
            handle.abort(EIO);
        });
        other.join().unwrap();
    });
    assert_eq!(files.txns().commit(), Ok(()), "it is durable");
    assert_eq!(files.txns().is_aborted(), Some(EIO));
    let image = files.image();
    let zone = image.zones.as_ref().unwrap().at(group.stripes[0].at.get());
    assert_eq!(zone.condition, ZoneCondition::Active);
    drop((inode, space));
    drop(files);
    tools::check(&image).unwrap();
}
