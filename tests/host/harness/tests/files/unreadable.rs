// SPDX-License-Identifier: GPL-2.0
//! Tree blocks that cannot be read, and items that old drivers lost: whoever meets them changes what he can, and the transaction,
//! with what all others did in it, goes on.

use crate::files::{Files, SECTOR};
use engine::disk::{Bytes, FileOffset, Key, Kind, Leaf, Logical, ObjectId};
use engine::fs::{Inode, Rename, RenameMode, Side};
use engine::txn::Units;
use harness::device::Image;
use harness::mount::{DIRECTORY, FILE, NOW};
use harness::tools;
use harness::walker::{walk, Found};
use kernel::sync::Arc;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const NODE: usize = 16384;

fn mkfs() -> Image {
    tools::mkfs(256 * MIB, &["-m", "single", "-d", "single"])
}

/// Overwrites the leaf of the topmost subvolume that `is_it` chooses by its first and its last key, and gives its address.
fn spoil(image: &mut Image, is_it: impl Fn(Key, Key) -> bool) -> Logical {
    let walked = walk(image);
    let ends = |block: &Found| {
        let leaf = Leaf::new(&block.bytes);
        let key = |slot| leaf.item(slot).expect("an item").0;
        (key(0), key(leaf.nritems() - 1))
    };
    let mut leaves = walked
        .blocks
        .iter()
        .filter(|block| block.owner == ObjectId::FS_TREE && block.level == 0);
    let leaf = leaves.find(|block| {
        let (first, last) = ends(block);
        is_it(first, last)
    });
    let addr = leaf.expect("such a leaf").addr;
    let (start, (_, at)) = walked
        .chunks
        .range(..=addr.get())
        .next_back()
        .expect("a chunk");
    image.pages.write(at + (addr.get() - start), &[0; NODE]);
    addr
}

/// Makes a file of a thousand sectors, every second one a hole: its items take some leaves.
fn in_pieces(player: &Files) -> Arc<Inode> {
    let file = player.file(b"pieces");
    for n in 0..1000 {
        let data = [n as u8; SECTOR as usize];
        let at = 2 * n * SECTOR;
        player
            .write_sectors(&file, at, &data, at + SECTOR)
            .expect("a write");
    }
    file
}

fn is_well(player: Files) {
    assert_eq!(player.txns().is_aborted(), None);
    player.file(b"behind");
    player.txns().commit().expect("a commit");
    drop(player.unmount());
}

/// A volume with a file in pieces, one leaf of which cannot be read.
fn with_a_hole() -> (Files, Arc<Inode>) {
    let player = Files::mount(mkfs());
    let file = in_pieces(&player);
    let number = file.number();
    drop(file);
    let mut image = player.unmount();
    let is_piece = |key: Key| key.objectid == number && key.kind == Kind::EXTENT_DATA;
    spoil(&mut image, |first, last| is_piece(first) && is_piece(last));
    let player = Files::mount(image);
    player.file(b"other");
    let file = player
        .fs
        .inodes()
        .get(&player.top, number)
        .expect("the file");
    (player, file)
}

#[test]
fn a_file_with_a_leaf_that_cannot_be_read_is_removed_as_far_as_it_goes() {
    let (player, file) = with_a_hole();
    let names = player.fs.names();
    names.unlink(&player.root, b"pieces", &file, NOW).unwrap();
    player.fs.inodes().evict(&file).unwrap_err();
    assert_eq!(player.txns().is_aborted(), None);
    // Those behind the leaf are gone for good, and what is left is tried again.
    assert!(file.attributes().nbytes < Bytes::new(1000 * SECTOR));
    player.fs.inodes().clean_left(&|| true).unwrap_err();
    drop(file);
    is_well(player);
}

#[test]
fn a_file_with_a_leaf_that_cannot_be_read_is_cut_as_far_as_it_goes() {
    let (player, file) = with_a_hole();
    player
        .fs
        .file_space()
        .truncate(&file, Bytes::ZERO, NOW)
        .unwrap_err();
    drop(file);
    is_well(player);
}

#[test]
fn a_file_with_a_leaf_that_cannot_be_read_takes_no_write_there_and_no_hole() {
    let (player, file) = with_a_hole();
    let data = [1; SECTOR as usize];
    let mut refused = 0;
    for n in (0..2000).step_by(50) {
        let at = n * SECTOR;
        let written = player.write_sectors(&file, at, &data, at + SECTOR);
        let range = FileOffset::new(at)..FileOffset::new(at + 2 * SECTOR);
        let space = player.fs.file_space();
        let punched = space.ask_punch(&file, range).unwrap().run(NOW);
        refused += u32::from(written.is_err()) + u32::from(punched.is_err());
        assert_eq!(player.txns().is_aborted(), None, "at {at}");
    }
    assert!(refused > 1);
    drop(file);
    is_well(player);
}

/// Files before a leaf that cannot be read.
struct Before {
    player: Files,
    /// The last one: what stands behind its items is in the leaf.
    file: Arc<Inode>,
    name: Vec<u8>,
}

/// Makes many files by `fill`, and spoils a leaf that begins with an inode of its own, where the one before ends with an item
/// of `kind`.
fn before_a_leaf(fill: impl Fn(&Files, &Arc<Inode>), kind: Kind) -> Before {
    let player = Files::mount(mkfs());
    let mut made: Vec<(ObjectId, Vec<u8>)> = Vec::new();
    for n in 0..400 {
        let name = format!("file{n}").into_bytes();
        let file = player.file(&name);
        fill(&player, &file);
        made.push((file.number(), name));
    }
    let mut image = player.unmount();
    let walked = walk(&image);
    let lasts: Vec<Key> = walked
        .blocks
        .iter()
        .filter(|block| block.owner == ObjectId::FS_TREE && block.level == 0)
        .map(|block| {
            let leaf = Leaf::new(&block.bytes);
            leaf.item(leaf.nritems() - 1).expect("an item").0
        })
        .filter(|key| key.kind == kind)
        .collect();
    let before = |first: Key| {
        lasts
            .iter()
            .any(|last| last.objectid.next() == Some(first.objectid))
    };
    let first = std::cell::Cell::new(None);
    spoil(&mut image, |start, _| {
        let is_it = start.kind == Kind::INODE_ITEM && before(start);
        first.set(is_it.then_some(start.objectid));
        is_it
    });
    let behind = first.get().expect("an inode");
    let (number, name) = made
        .into_iter()
        .find(|(number, _)| number.next() == Some(behind))
        .expect("a file");
    let player = Files::mount(image);
    let file = player
        .fs
        .inodes()
        .get(&player.top, number)
        .expect("it is well");
    Before { player, file, name }
}

#[test]
fn the_leaf_behind_a_file_need_not_be_readable_to_remove_it() {
    let Before { player, file, name } = before_a_leaf(|_, _| {}, Kind::INODE_REF);
    let names = player.fs.names();
    names.unlink(&player.root, &name, &file, NOW).unwrap();
    player.fs.inodes().evict(&file).unwrap();
    drop(file);
    is_well(player);
}

/// Everything that changes a file's contents.
fn changed(Before { player, file, .. }: Before) {
    let data = [1; SECTOR as usize];
    let mut at = 0;
    for _ in 0..3 {
        player
            .write_sectors(&file, at, &data, at + SECTOR)
            .expect("a write");
        at += SECTOR;
    }
    let space = player.fs.file_space();
    let hole = FileOffset::new(0)..FileOffset::new(SECTOR);
    space.ask_punch(&file, hole).unwrap().run(NOW).unwrap();
    let len = Bytes::new(4 * SECTOR);
    space
        .preallocate(&file, FileOffset::new(0), len, Some(len), NOW)
        .expect("space");
    space.truncate(&file, Bytes::new(SECTOR), NOW).unwrap();
    space.truncate(&file, Bytes::new(9 * SECTOR), NOW).unwrap();
    drop(file);
    is_well(player);
}

#[test]
fn the_leaf_behind_a_file_need_not_be_readable_to_write_to_it() {
    let fill = |player: &Files, file: &Arc<Inode>| {
        let data = [7; SECTOR as usize];
        player
            .write_sectors(file, 0, &data, SECTOR)
            .expect("a write");
    };
    changed(before_a_leaf(fill, Kind::EXTENT_DATA));
}

#[test]
fn the_leaf_behind_an_empty_file_need_not_be_readable_to_write_to_it() {
    changed(before_a_leaf(|_, _| {}, Kind::INODE_REF));
}

/// A volume with a file whose name the directory has no index for, or that of another.
fn without_index(other: bool) -> (Files, Arc<Inode>) {
    let player = Files::mount(mkfs());
    let file = player.file(b"f");
    let key = Key::new(player.root.number().get(), Kind::DIR_INDEX, 2);
    let tree = player.top.tree();
    let handle = player.txns().start(Units::inserts(2)).unwrap();
    let bytes = tree.get(&key, |bytes| bytes.to_vec()).unwrap();
    tree.remove(&handle, &key).unwrap();
    if other {
        let mut bytes = bytes.unwrap();
        *bytes.last_mut().unwrap() = b'g';
        tree.insert(&handle, &key, &bytes).unwrap();
    }
    drop(handle);
    let number = file.number();
    drop(file);
    let player = Files::mount(player.unmount());
    let file = player.fs.inodes().get(&player.top, number).unwrap();
    (player, file)
}

#[test]
fn a_name_without_an_index_is_removed() {
    for other in [false, true] {
        let (player, file) = without_index(other);
        player
            .fs
            .names()
            .unlink(&player.root, b"f", &file, NOW)
            .unwrap();
        player.fs.inodes().evict(&file).unwrap();
        drop(file);
        assert_eq!(player.txns().is_aborted(), None);
        let image = player.unmount();
        if !other {
            tools::check(&image).expect("the damage is gone");
        }
    }
}

#[test]
fn a_name_without_an_index_is_moved() {
    let (player, file) = without_index(false);
    let dir = player
        .fs
        .names()
        .create(&player.root, b"dir", &DIRECTORY)
        .unwrap();
    let renamed = player.fs.names().rename(&Rename {
        from: Side {
            dir: &player.root,
            name: b"f",
        },
        to: Side {
            dir: &dir,
            name: b"f",
        },
        moved: &file,
        mode: RenameMode::Move {
            replaced: None,
            whiteout: None,
        },
        now: &NOW,
    });
    renamed.unwrap();
    player.fs.names().create(&player.root, b"f", &FILE).unwrap();
    drop((file, dir));
    assert_eq!(player.txns().is_aborted(), None);
    tools::check(&player.unmount()).expect("the damage is gone");
}
