// SPDX-License-Identifier: GPL-2.0
//! Names of subvolumes: moved, exchanged, removed where nothing is behind them.

use super::subvolumes::{named, TOPMOST};
use crate::files::Files;
use engine::disk::ObjectId;
use engine::fs::{Inode, New, NewKind, Rename, RenameMode, Side, Target};
use harness::mount::{DIRECTORY, FILE, NOW};
use harness::tools;
use kernel::prelude::*;

const MIB: u64 = 1 << 20;

/// Where a name leads, and back.
fn leads(files: &Files, dir: &Inode, name: &[u8], id: ObjectId) {
    let found = files.fs.names().lookup(dir, name).unwrap();
    assert_eq!(found, Some(Target::Subvolume(id)));
    let place = files.fs.subvolumes().place_of(id).unwrap();
    assert_eq!(
        (place.subvolume, place.dir),
        (dir.subvolume().id(), dir.number())
    );
    assert_eq!(&place.name[..], name);
}

/// A subvolume goes by its name to any directory, and nothing else leaves its own.
#[test]
fn a_subvolume_is_renamed() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let (root, names) = (files.root.clone(), files.fs.names());
    let make = |name, number| {
        let new = named(&files, name, number);
        files.fs.subvolumes().create(&new, &TOPMOST).unwrap()
    };
    let top = |id| {
        let subvolume = files.fs.subvolumes().get(id).unwrap();
        files.fs.inodes().root(&subvolume).unwrap()
    };
    let (one, two) = (make(b"one", 1), make(b"two", 2));
    let (first, second) = (top(one), top(two));
    let dir = names.create(&root, b"dir", &DIRECTORY).unwrap();
    let below = names.create(&first, b"below", &DIRECTORY).unwrap();
    let file = names.create(&root, b"file", &FILE).unwrap();
    let rename =
        |from: (&Inode, &[u8]), to: (&Inode, &[u8]), moved: &Inode, mode: RenameMode<'_>| {
            names.rename(&Rename {
                from: Side {
                    dir: from.0,
                    name: from.1,
                },
                to: Side {
                    dir: to.0,
                    name: to.1,
                },
                moved,
                mode,
                now: &NOW,
            })
        };
    let onto = |replaced| RenameMode::Move {
        replaced,
        whiteout: None,
    };
    // In its directory, into another, into another subvolume, and back over an empty directory.
    rename((&root, b"two"), (&root, b"second"), &second, onto(None)).unwrap();
    leads(&files, &root, b"second", two);
    rename((&root, b"second"), (&dir, b"second"), &second, onto(None)).unwrap();
    leads(&files, &dir, b"second", two);
    assert_eq!(names.lookup(&root, b"second").unwrap(), None);
    rename((&dir, b"second"), (&below, b"deep"), &second, onto(None)).unwrap();
    leads(&files, &below, b"deep", two);
    let path = files.fs.subvolumes().path(two).unwrap();
    assert_eq!(&path[..], b"/one/below/deep");
    rename(
        (&below, b"deep"),
        (&root, b"dir"),
        &second,
        onto(Some(&dir)),
    )
    .unwrap();
    leads(&files, &root, b"dir", two);
    // What is not to be had.
    let first_refused = rename(
        (&root, b"dir"),
        (&root, b"one"),
        &second,
        onto(Some(&first)),
    );
    assert_eq!(first_refused, Err(ENOTEMPTY));
    let refused = rename(
        (&root, b"dir"),
        (&root, b"file"),
        &second,
        onto(Some(&file)),
    );
    assert_eq!(refused, Err(ENOTDIR));
    let refused = rename((&root, b"dir"), (&root, b"one"), &second, onto(None));
    assert_eq!(refused, Err(EEXIST));
    let refused = rename((&root, b"file"), (&first, b"file"), &file, onto(None));
    assert_eq!(refused, Err(EXDEV));
    leads(&files, &root, b"dir", two);
    // Two of a directory, one and a file, and not across subvolumes with a file.
    rename(
        (&root, b"dir"),
        (&root, b"one"),
        &second,
        RenameMode::Exchange(&first),
    )
    .unwrap();
    leads(&files, &root, b"one", two);
    leads(&files, &root, b"dir", one);
    rename(
        (&root, b"one"),
        (&root, b"file"),
        &second,
        RenameMode::Exchange(&file),
    )
    .unwrap();
    leads(&files, &root, b"file", two);
    let inner = names.create(&first, b"inner", &FILE).unwrap();
    let across = RenameMode::Exchange(&inner);
    let refused = rename((&root, b"file"), (&first, b"inner"), &second, across);
    assert_eq!(refused, Err(EXDEV));
    // A whiteout takes its place.
    let whiteout = New {
        kind: NewKind::Device(0),
        mode: 0o020000,
        ..FILE
    };
    let mode = RenameMode::Move {
        replaced: None,
        whiteout: Some(&whiteout),
    };
    rename((&root, b"file"), (&root, b"moved"), &second, mode).unwrap();
    leads(&files, &root, b"moved", two);
    drop((first, second, dir, below, file, inner, root));
    let image = files.unmount();
    tools::check(&image).unwrap();
    let files = Files::mount(image);
    leads(&files, &files.root, b"moved", two);
    leads(&files, &files.root, b"dir", one);
}

/// The place of a subvolume that a snapshot did not take along goes as an empty directory does.
#[test]
fn an_empty_place_is_removed() {
    let files = Files::mount(tools::mkfs(256 * MIB, &[]));
    let root = files.root.clone();
    let inner = files
        .fs
        .subvolumes()
        .create(&named(&files, b"inner", 1), &TOPMOST)
        .unwrap();
    let snap = files
        .fs
        .subvolumes()
        .snapshot(&files.top, &named(&files, b"snap", 2))
        .unwrap();
    let snap = files.fs.subvolumes().get(snap).unwrap();
    let top = files.fs.inodes().root(&snap).unwrap();
    let names = files.fs.names();
    assert_eq!(
        names.lookup(&top, b"inner").unwrap(),
        Some(Target::EmptyPlace)
    );
    assert_eq!(names.remove_empty_place(&root, b"inner", NOW), Err(ENOENT));
    names.remove_empty_place(&top, b"inner", NOW).unwrap();
    assert_eq!(names.lookup(&top, b"inner").unwrap(), None);
    assert_eq!(names.remove_empty_place(&top, b"inner", NOW), Err(ENOENT));
    leads(&files, &root, b"inner", inner);
    drop((root, snap, top));
    tools::check(&files.unmount()).unwrap();
}
