// SPDX-License-Identifier: GPL-2.0
//! Data that others refer to as well moves out of a zone for all of them, or stays.

use crate::files::{Files, SECTOR};
use engine::btree::{Allocate, DataRef, Holder};
use engine::disk::{
    Bytes, Compression, ExtentState, FileExtent, FileOffset, Key, Kind, ObjectId, RegularExtent,
    Uuid,
};
use engine::fs::{self, Inode, NewSubvolume, Relocated, Target, Times};
use engine::space::Reclaim;
use engine::txn::Units;
use harness::device::Image;
use harness::mount::NOW;
use harness::punch::PunchHole;
use harness::random::Random;
use harness::tools;
use kernel::sync::Arc;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// Bytes that a zone holds.
const ZONE: u64 = 4 * MIB;

fn mount() -> Files {
    Files::mount(tools::mkfs_zoned(
        20,
        &["-m", "single"],
        tools::zone_layout(ZONE),
    ))
}

/// Empty files, so that others are not in one leaf with what else there is.
fn make_files(files: &Files, name: &str, count: u32) {
    for n in 0..count {
        files.file(format!("{name}{n}").as_bytes());
    }
}

/// A file with more than a zone of noise, every second MiB of which, an extent, was punched out again; and its contents.
fn file_with_holes(files: &Files) -> (Arc<Inode>, Vec<u8>) {
    let inode = files.file(b"f");
    let mut bytes = std::vec![0; (ZONE + MIB) as usize];
    Random::new(9).fill(&mut bytes);
    files.write(&inode, 0, &bytes).unwrap();
    for at in (0..ZONE + MIB).step_by(2 * MIB as usize) {
        punch(files, &inode, at, MIB);
        bytes[at as usize..(at + MIB) as usize].fill(0);
    }
    files.txns().commit().unwrap();
    (inode, bytes)
}

fn punch(files: &Files, inode: &Inode, at: u64, len: u64) {
    let space = files.fs.file_space();
    let (start, len) = (FileOffset::new(at), Bytes::new(len));
    space.punch_hole(inode, start, len, NOW).unwrap();
}

fn relocate(files: &Files) -> Relocated {
    let relocation = files.fs.relocation();
    let done = relocation.go_on(Reclaim::Now, &|| true).unwrap();
    files.txns().commit().unwrap();
    files.txns().space().audit().unwrap();
    done
}

fn snapshot(files: &Files) -> ObjectId {
    let place = NewSubvolume {
        dir: &files.root,
        name: b"snapshot",
        uuid: Uuid([7; 16]),
        now: NOW,
    };
    files.fs.subvolumes().snapshot(&files.top, &place).unwrap()
}

/// The file as a snapshot has it.
fn in_snapshot(files: &Files, id: ObjectId, inode: &Inode) -> Arc<Inode> {
    let copy = files.fs.subvolumes().get(id).unwrap();
    files.fs.inodes().get(&copy, inode.number()).unwrap()
}

/// Both have leaves of their own, and one extent: it moves once.
#[test]
fn a_snapshot_with_leaves_of_its_own_moves_along() {
    let files = mount();
    let (inode, bytes) = file_with_holes(&files);
    let id = snapshot(&files);
    let theirs = in_snapshot(&files, id, &inode);
    let used = files.txns().space().statistics().data.used;
    let (size, at) = (bytes.len() as u64, MIB);
    let was = files.address(&inode, at);
    assert_eq!(relocate(&files), Relocated::Emptied);
    let is = files.address(&inode, at);
    assert_ne!(was, is);
    assert_eq!(files.address(&theirs, at), is);
    assert_eq!(files.txns().space().statistics().data.used, used);
    for inode in [&inode, &theirs] {
        assert!(files.read(inode, 0, size).unwrap() == bytes);
    }
    drop((inode, theirs));
    let image = files.unmount();
    tools::check_with(&image, &["--check-data-csum"]).unwrap();
}

/// A file and its copy in a snapshot that has leaves of its own, in trees of more than one block; and the contents of both.
fn file_and_copy() -> (Image, ObjectId, Vec<u8>) {
    let files = mount();
    make_files(&files, "other", 120);
    let (inode, bytes) = file_with_holes(&files);
    let id = snapshot(&files);
    let theirs = in_snapshot(&files, id, &inode);
    touch(&files, &theirs);
    drop((inode, theirs));
    (files.unmount(), id, bytes)
}

/// Changes the leaf of a file: its tree has one of its own then.
fn touch(files: &Files, inode: &Inode) {
    inode.note_times(&Times {
        mtime: Some(NOW),
        ..Times::default()
    });
    files.fs.inodes().write_attributes(inode).unwrap();
}

/// Whenever the tree of one looks for a block, the other's data are written over and the references are counted: what moved for
/// one alone stays, and so do the references of the other.
#[test]
fn who_writes_over_it_in_between_loses_nothing() {
    let (image, id, bytes) = file_and_copy();
    for looks_first in [0, 1] {
        for n in 0.. {
            if ends_after_overwriting(&image, (id, looks_first, n), &bytes) {
                assert!(n > 4, "{n}");
                break;
            }
        }
    }
}

/// Whether the relocation ended before the `n`th look of that tree.
fn ends_after_overwriting(
    image: &Image,
    (id, looks_first, n): (ObjectId, usize, u64),
    bytes: &[u8],
) -> bool {
    let files = std::sync::Arc::new(Files::mount(image.clone()));
    let found = files.fs.names().lookup(&files.root, b"f").unwrap();
    let Some(Target::Inode(number, _)) = found else {
        panic!("{found:?}");
    };
    let ours = files.fs.inodes().get(&files.top, number).unwrap();
    let both = [&ours, &in_snapshot(&files, id, &ours)].map(Arc::clone);
    let (looks, written) = (&both[looks_first], &both[1 - looks_first]);
    let changed = std::vec![n as u8; MIB as usize];
    let work = {
        let (files, written, changed) = (files.clone(), written.clone(), changed.clone());
        move || {
            files.write(&written, MIB, &changed).unwrap();
            files.txns().run_references().unwrap();
        }
    };
    files.mounted.store.hook(looks.subvolume().id(), n, work);
    relocate(&files);
    let has_ended = files.mounted.store.unhook();
    let size = bytes.len() as u64;
    assert!(files.read(looks, 0, size).unwrap() == bytes, "{n}");
    let mut expected = bytes.to_vec();
    if !has_ended {
        expected[MIB as usize..2 * MIB as usize].copy_from_slice(&changed);
    }
    assert!(files.read(written, 0, size).unwrap() == expected, "{n}");
    drop((ours, both));
    let image = std::sync::Arc::into_inner(files).unwrap().unmount();
    tools::check_with(&image, &["--check-data-csum"]).unwrap();
    has_ended
}

/// The leaves are one for both: the group keeps its zone, and all stays where it is.
#[test]
fn what_is_in_a_shared_leaf_stays() {
    let files = mount();
    make_files(&files, "other", 300);
    let (inode, bytes) = file_with_holes(&files);
    let id = snapshot(&files);
    let at = MIB;
    let was = files.address(&inode, at);
    assert_eq!(relocate(&files), Relocated::Nothing);
    assert_eq!(relocate(&files), Relocated::Nothing);
    assert_eq!(files.address(&inode, at), was);
    assert_eq!(files.fs.relocation().moved().bytes, Bytes::ZERO);
    let theirs = in_snapshot(&files, id, &inode);
    assert!(files.read(&theirs, 0, bytes.len() as u64).unwrap() == bytes);
    drop((inode, theirs));
    tools::check(&files.unmount()).unwrap();
}

/// What kept a group may be over with as much of it in use: it is looked at again, but not at each call.
#[test]
fn what_is_shared_no_more_moves_some_commits_later() {
    let files = mount();
    make_files(&files, "other", 120);
    let (inode, bytes) = file_with_holes(&files);
    let id = snapshot(&files);
    assert_eq!(relocate(&files), Relocated::Nothing);
    let theirs = in_snapshot(&files, id, &inode);
    touch(&files, &theirs);
    files.txns().commit().unwrap();
    assert_eq!(relocate(&files), Relocated::Nothing);
    for _ in 0..64 {
        touch(&files, &theirs);
        files.txns().commit().unwrap();
    }
    assert_eq!(relocate(&files), Relocated::Emptied);
    for inode in [&inode, &theirs] {
        assert!(files.read(inode, 0, bytes.len() as u64).unwrap() == bytes);
    }
    drop((inode, theirs));
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

/// Who is refused looks at so many groups that stay, and the next who is goes on behind them.
#[test]
fn one_that_can_be_emptied_is_found_behind_many_that_cannot() {
    const GROUPS: u64 = 40;
    let files = Files::mount(tools::mkfs_zoned(
        64,
        &["-m", "single"],
        tools::zone_layout(ZONE),
    ));
    make_files(&files, "first", 300);
    let stays = files.file(b"stays");
    let noise = std::vec![7; ZONE as usize];
    for group in 0..GROUPS {
        files.write(&stays, group * ZONE, &noise).unwrap();
    }
    for group in 0..GROUPS {
        punch(&files, &stays, group * ZONE, ZONE / 2);
    }
    files.txns().commit().unwrap();
    snapshot(&files);
    // In a leaf of its own, and with less that is dead.
    make_files(&files, "other", 120);
    let moves = files.file(b"moves");
    files.write(&moves, 0, &noise).unwrap();
    punch(&files, &moves, 0, ZONE / 4);
    files.txns().commit().unwrap();
    let mut looked = std::vec![];
    let ends = std::iter::repeat_with(|| {
        let groups = std::cell::Cell::new(0);
        let look = || {
            groups.set(groups.get() + 1);
            true
        };
        let done = files.fs.relocation().go_on(Reclaim::Now, &look).unwrap();
        looked.push(groups.get());
        done
    });
    let ends: Vec<_> = ends.take(3).collect();
    let (nothing, emptied) = (Relocated::Nothing, Relocated::Emptied);
    assert_eq!(ends, [nothing, nothing, emptied]);
    assert_eq!(looked[..2], [16, 16]);
    drop((stays, moves));
    tools::check(&files.unmount()).unwrap();
}

/// Who reads needs to read again only what may be another's by now.
#[test]
fn on_zones_addresses_are_used_again_behind_a_reset_alone() {
    let files = mount();
    let (inode, _) = file_with_holes(&files);
    let reuses = files.txns().space().reuses();
    files.write(&inode, MIB, &[1; SECTOR as usize]).unwrap();
    files.txns().commit().unwrap();
    assert_eq!(files.txns().space().reuses(), reuses);
    assert_eq!(relocate(&files), Relocated::Emptied);
    assert!(files.txns().space().reuses() > reuses);
    // However many zones a commit resets, who reads meanwhile reads once more.
    let reuses = files.txns().space().reuses();
    let space = files.fs.file_space();
    space.truncate(&inode, Bytes::ZERO, NOW).unwrap();
    files.txns().commit().unwrap();
    assert_eq!(files.txns().space().reuses(), reuses + 1);
    drop(inode);
    tools::check(&files.unmount()).unwrap();
}

/// What an item of the file says at `at`, and the reference it makes.
fn item_at(files: &Files, inode: &Inode, at: u64) -> (Key, RegularExtent) {
    let key = Key::new(inode.number().get(), Kind::EXTENT_DATA, at);
    let parse = |bytes: &[u8]| match FileExtent::parse(bytes).unwrap() {
        FileExtent::Regular(piece) => piece,
        other => panic!("{other:?}"),
    };
    (key, files.top.tree().get(&key, parse).unwrap().unwrap())
}

/// Clones that begin before the extent does, in the middle of it, and twice in one file, as others make them.
#[test]
fn clones_move_along() {
    let files = mount();
    let (inode, bytes) = file_with_holes(&files);
    let at = MIB;
    let (_, piece) = item_at(&files, &inode, at);
    let mut made = Vec::new();
    for n in 0..40 {
        let other = files.file(format!("clone{n}").as_bytes());
        // Of twenty clones on the references have items of their own.
        let skip = SECTOR * (n % 4);
        let places: &[u64] = if n % 2 == 0 { &[0] } else { &[0, 5 * MIB] };
        let handle = files.txns().start(Units::inserts(4)).unwrap();
        for start in places {
            let cloned = RegularExtent {
                offset: piece.offset.saturating_add(Bytes::new(skip)),
                len: piece.len.saturating_sub(Bytes::new(skip)),
                ..piece
            };
            let key = Key::new(other.number().get(), Kind::EXTENT_DATA, *start);
            let tree = files.top.tree();
            let fill = |item: &mut [u8]| cloned.write_to(item);
            tree.insert_with(&handle, &key, RegularExtent::SIZE, fill)
                .unwrap()
                .unwrap();
            let reference = DataRef {
                addr: cloned.disk_addr,
                len: cloned.disk_len,
                holder: Holder::Tree(files.top.id()),
                root: files.top.id(),
                inode: other.number(),
                offset: cloned.extent_start(FileOffset::new(*start)),
            };
            handle.share_data(&reference).unwrap();
        }
        drop(handle);
        made.push((other, places.len() as u64, skip));
    }
    files.txns().commit().unwrap();
    let was = files.address(&inode, at);
    assert_eq!(relocate(&files), Relocated::Emptied);
    let is = files.address(&inode, at);
    assert_ne!(was, is);
    for (other, places, skip) in &made {
        let last = (*places - 1) * 5 * MIB;
        for start in [0, last] {
            assert_eq!(
                files.address(other, start),
                is.saturating_add(Bytes::new(*skip))
            );
        }
    }
    assert!(files.read(&inode, 0, bytes.len() as u64).unwrap() == bytes);
}

/// Puts pieces in place of the one at the front of a file. All are of its extent, as seen from where the file begins.
fn replace_piece(files: &Files, inode: &Inode, pieces: &[(u64, RegularExtent)]) {
    let (first, whole) = item_at(files, inode, 0);
    let tree = files.top.tree();
    let handle = files.txns().start(Units::inserts(4)).unwrap();
    tree.remove(&handle, &first).unwrap();
    for (n, (at, piece)) in pieces.iter().enumerate() {
        let key = Key::new(inode.number().get(), Kind::EXTENT_DATA, *at);
        let fill = |item: &mut [u8]| piece.write_to(item);
        tree.insert_with(&handle, &key, RegularExtent::SIZE, fill)
            .unwrap()
            .unwrap();
        if n > 0 {
            let reference = DataRef {
                addr: whole.disk_addr,
                len: whole.disk_len,
                holder: Holder::Tree(files.top.id()),
                root: files.top.id(),
                inode: inode.number(),
                offset: 0,
            };
            handle.share_data(&reference).unwrap();
        }
    }
}

/// What others make: packed pieces, behind what the extent is long on the disk, and preallocated space. The bytes move as they are,
/// and so do the items.
#[test]
fn packed_and_preallocated_pieces_move_as_they_are() {
    const LEN: u64 = 8 * SECTOR;
    let files = mount();
    let mut noise = [0; LEN as usize];
    Random::new(4).fill(&mut noise);
    let packed = files.file(b"packed");
    files.write_sectors(&packed, 0, &noise, LEN).unwrap();
    let mut options = fs::Options::new();
    options.checksums = false;
    files.fs.set_options(&options);
    let reserved = files.file(b"reserved");
    files.write_sectors(&reserved, 0, &noise, LEN).unwrap();
    files.fs.set_options(&fs::Options::new());
    let (file, bytes) = file_with_holes(&files);

    let granted = files.fs.file_space().ask_truncate(&packed, Bytes::new(MIB));
    granted.unwrap().run(NOW).unwrap();
    let (_, whole) = item_at(&files, &packed, 0);
    assert_eq!(whole.disk_len, Bytes::new(LEN));
    let starts = [16 * SECTOR, 24 * SECTOR];
    let pieces = starts.map(|at| {
        let piece = RegularExtent {
            compression: Compression::Zstd,
            ram_bytes: Bytes::new(32 * SECTOR),
            offset: Bytes::new(at),
            len: Bytes::new(LEN / 2),
            ..whole
        };
        (at, piece)
    });
    replace_piece(&files, &packed, &pieces);
    let (_, whole) = item_at(&files, &reserved, 0);
    assert_eq!(whole.disk_len, Bytes::new(LEN));
    let space = RegularExtent {
        state: ExtentState::Preallocated,
        ..whole
    };
    replace_piece(&files, &reserved, &[(0, space)]);
    files.txns().commit().unwrap();

    while relocate(&files) == Relocated::Emptied {}
    let moved = |inode: &Inode, at: u64, was: RegularExtent| {
        let (_, is) = item_at(&files, inode, at);
        assert_ne!(is.disk_addr, was.disk_addr);
        let as_it_was = RegularExtent {
            disk_addr: was.disk_addr,
            ..is
        };
        assert_eq!(as_it_was, was);
        let mut found = [0; LEN as usize];
        files.mounted.read_data(is.disk_addr, &mut found).unwrap();
        assert!(found == noise);
    };
    for (at, piece) in pieces {
        moved(&packed, at, piece);
    }
    moved(&reserved, 0, space);
    assert!(files.read(&reserved, 0, LEN).unwrap() == [0; LEN as usize]);
    assert!(files.read(&file, 0, bytes.len() as u64).unwrap() == bytes);
    drop((packed, reserved, file));
    tools::check_with(&files.unmount(), &["--check-data-csum"]).unwrap();
}

/// The extent tree counts one item and the file has two: to move them would drop a reference that is not there. They stay, and the
/// volume can be written still.
#[test]
fn what_has_more_items_than_are_counted_stays() {
    let files = mount();
    let (inode, _) = file_with_holes(&files);
    let at = MIB;
    let (key, whole) = item_at(&files, &inode, at);
    let half = Bytes::new(whole.len.get() / 2);
    let tree = files.top.tree();
    let handle = files.txns().start(Units::inserts(4)).unwrap();
    tree.remove(&handle, &key).unwrap();
    for skip in [Bytes::ZERO, half] {
        let piece = RegularExtent {
            offset: whole.offset.saturating_add(skip),
            len: half,
            ..whole
        };
        let key = Key::new(inode.number().get(), Kind::EXTENT_DATA, at + skip.get());
        let fill = |item: &mut [u8]| piece.write_to(item);
        tree.insert_with(&handle, &key, RegularExtent::SIZE, fill)
            .unwrap()
            .unwrap();
    }
    drop(handle);
    files.txns().commit().unwrap();
    let was = files.address(&inode, at);
    while relocate(&files) == Relocated::Emptied {}
    assert_eq!(files.txns().is_aborted(), None);
    assert_eq!(files.address(&inode, at), was);
}
