// SPDX-License-Identifier: GPL-2.0
//! References that are dropped and are not there: nothing is committed, and the log says which one it was.

use crate::files::{File, Files};
use crate::mounted::mount;
use engine::btree::{Allocate, DataRef, Holder};
use engine::disk::{Logical, ObjectId};
use engine::txn::Units;
use harness::tools;
use kernel::prelude::EUCLEAN;
use kernel::print::Capture;

const MIB: u64 = 1 << 20;
const TREE: ObjectId = ObjectId::FS_TREE;

/// The reference of a file to its one extent.
fn reference_of(file: &File) -> DataRef {
    let (addr, len) = file.extents[0];
    DataRef {
        addr,
        len,
        holder: Holder::Tree(TREE),
        root: TREE,
        inode: ObjectId::new(file.inode),
        offset: 0,
    }
}

/// Shares an extent among so many files, drops what `wrong` makes of the first one's reference, and looks for `said`.
fn drop_wrong(sharers: u64, wrong: fn(DataRef) -> DataRef, said: &str) {
    let mounted = mount(tools::mkfs(256 * MIB, &[])).unwrap();
    let files = Files::new(&mounted.txns);
    let file = files.create("first", 8192, 8192).unwrap();
    for n in 1..sharers {
        files.share(&file, &format!("sharer{n}")).unwrap();
    }
    mounted.txns.commit().unwrap();
    let last = mounted.txns.committed();

    let reference = reference_of(&file);
    let log = Capture::new();
    // A transaction that changed no tree would not be committed.
    files.create("another", 4096, 4096).unwrap();
    let handle = mounted.txns.start(Units::updates(1)).unwrap();
    handle.release_data(&wrong(reference)).unwrap();
    drop(handle);
    assert_eq!(mounted.txns.commit().err(), Some(EUCLEAN));
    assert_eq!(mounted.txns.committed(), last);
    let said = said
        .replace("ADDR", &reference.addr.get().to_string())
        .replace("INODE", &file.inode.to_string());
    assert!(log.contains(&said), "{said}: {:#?}", log.lines());
}

/// Free space had the place of another's extent.
#[test]
fn a_new_extent_where_one_is_already_is_named() {
    let mounted = mount(tools::mkfs(256 * MIB, &[])).unwrap();
    let files = Files::new(&mounted.txns);
    let file = files.create("first", 8192, 8192).unwrap();
    mounted.txns.commit().unwrap();
    let log = Capture::new();
    files.create("another", 4096, 4096).unwrap();
    let handle = mounted.txns.start(Units::updates(1)).unwrap();
    handle.add_data(&reference_of(&file)).unwrap();
    drop(handle);
    assert_eq!(mounted.txns.commit().err(), Some(EUCLEAN));
    let addr = file.extents[0].0.get();
    let said = format!("corrupt extent {addr}: free space has an extent that is in use");
    assert!(log.contains(&said), "{said}: {:#?}", log.lines());
}

const OFFSET: &str =
    "corrupt extent ADDR reference of tree 5 inode INODE offset 4096: reference to be dropped is missing";

fn other_offset(reference: DataRef) -> DataRef {
    DataRef {
        offset: 4096,
        ..reference
    }
}

#[test]
fn a_missing_reference_is_named() {
    drop_wrong(1, other_offset, OFFSET);
}

#[test]
fn a_missing_reference_among_some_is_named() {
    drop_wrong(3, other_offset, OFFSET);
}

/// More than the extent's item has room for: the rest has items of its own.
#[test]
fn a_missing_reference_among_many_is_named() {
    drop_wrong(60, other_offset, OFFSET);
}

#[test]
fn a_reference_from_another_tree_is_named() {
    let other = |reference| DataRef {
        holder: Holder::Tree(ObjectId::new(256)),
        ..reference
    };
    let said = "corrupt extent ADDR reference of tree 256 inode INODE offset 0: reference to be dropped is missing";
    drop_wrong(2, other, said);
}

#[test]
fn a_reference_from_a_leaf_is_named() {
    let shared = |reference| DataRef {
        holder: Holder::Parent(Logical::new(1 << 30)),
        ..reference
    };
    let said =
        "corrupt extent ADDR reference of leaf 1073741824: reference to be dropped is missing";
    drop_wrong(2, shared, said);
}

#[test]
fn a_reference_to_no_extent_is_named() {
    let elsewhere = |reference: DataRef| DataRef {
        addr: Logical::new(1 << 40),
        ..reference
    };
    let said = "corrupt extent 1099511627776 reference of tree 5 inode INODE offset 0: extent is referenced and not in the extent tree";
    drop_wrong(1, elsewhere, said);
}
