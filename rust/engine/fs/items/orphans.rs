// SPDX-License-Identifier: GPL-2.0
//! Notes of inodes without names, so that a mount after a crash finds them.

use crate::btree::{Allocate, Tree};
use crate::disk::{Key, Kind, ObjectId};
use latch::prelude::*;

/// The note's key.
fn key(inode: ObjectId) -> Key {
    Key {
        objectid: ObjectId::ORPHAN,
        kind: Kind::ORPHAN_ITEM,
        offset: inode.get(),
    }
}

/// Makes the note.
pub(in crate::fs) fn add(tree: &Tree, txn: &dyn Allocate, inode: ObjectId) -> Result {
    match tree.insert(txn, &key(inode), &[]) {
        Err(error) if error == EEXIST => Ok(()),
        other => other,
    }
}

/// Removes the note; there may be none.
pub(in crate::fs) fn remove(tree: &Tree, txn: &dyn Allocate, inode: ObjectId) -> Result {
    match tree.remove(txn, &key(inode)) {
        Err(error) if error == ENOENT => Ok(()),
        other => other,
    }
}

/// The first inode with a note whose number is at least `from`.
pub(in crate::fs) fn first(tree: &Tree, from: u64) -> Result<Option<ObjectId>> {
    let found = tree.ceiling(&key(ObjectId::new(from)), |key, _| key)?;
    Ok(found
        .filter(|key| key.objectid == ObjectId::ORPHAN && key.kind == Kind::ORPHAN_ITEM)
        .map(|key| ObjectId::new(key.offset)))
}
