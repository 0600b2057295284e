// SPDX-License-Identifier: GPL-2.0
//! Every reported flaw and every bug is one line with its place, what was found and what was expected.

use crate::disk::{Bug, Corrupt, Flaw, Key, Kind, Logical, ObjectId, Physical, Site, TreeId};
use kernel::print::Capture;
use latch::prelude::*;

const FLAW: Flaw = Flaw::new("size is wrong", 17, 16);

fn line_of(corrupt: Corrupt) -> std::string::String {
    let log = Capture::new();
    assert_eq!(corrupt.report(), EUCLEAN);
    let mut lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[test]
fn a_flaw_is_reported_once_with_its_place() {
    let addr = Logical::new(30_408_704);
    let tree = ObjectId::FS_TREE;
    let key = Key::new(256, Kind::INODE_ITEM, 0);
    for (corrupt, place) in [
        (FLAW.in_block(addr), "block 30408704"),
        (FLAW.in_slot(addr, 3), "block 30408704 slot 3"),
        (
            FLAW.in_item(tree, &key),
            "item (256 INODE_ITEM 0) of tree 5",
        ),
        (FLAW.at(Site::Tree(tree.into())), "tree 5"),
        (
            FLAW.at(Site::Tree(TreeId::new(ObjectId::TREE_LOG, tree.get()))),
            "tree 18446744073709551610/5",
        ),
        (
            FLAW.at(Site::Inode(tree, ObjectId::new(257))),
            "inode 257 of tree 5",
        ),
        (
            FLAW.at(Site::Superblock(Physical::new(65536))),
            "superblock 65536",
        ),
        (FLAW.at(Site::Chunk(addr)), "chunk 30408704"),
        (FLAW.at(Site::BlockGroup(addr)), "block group 30408704"),
        (FLAW.at(Site::Extent(addr)), "extent 30408704"),
    ] {
        assert_eq!(
            line_of(corrupt),
            std::format!("err: corrupt {place}: size is wrong, found 17 (0x11), expected 16")
        );
    }
}

#[test]
fn what_is_missing_has_a_line_too() {
    let corrupt = Flaw::missing("tree has no root item").at(Site::Tree(ObjectId::CSUM_TREE.into()));
    assert_eq!(
        line_of(corrupt),
        "err: corrupt tree 7: tree has no root item, found 0 (0x0), expected 1"
    );
}

#[test]
fn a_bug_is_reported_once_and_is_not_called_corruption() {
    let log = Capture::new();
    assert_eq!(Bug::new("path has no leaf").report(), EIO);
    assert_eq!(Bug::new("path has no block").of(3).report(), EIO);
    assert_eq!(
        log.lines(),
        [
            "err: bug of this driver: path has no leaf",
            "err: bug of this driver: path has no block (3)"
        ]
    );
}
