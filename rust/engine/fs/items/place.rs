// SPDX-License-Identifier: GPL-2.0
//! A subvolume's place among the others: the name that leads to it, noted in the tree of trees in both directions.

use crate::btree::{Allocate, Tree};
use crate::disk::{Key, Kind, ObjectId, RootRef};
use crate::fs::items;
use latch::prelude::*;

/// From the subvolume that has the name to the one it leads to, and back.
fn keys(parent: ObjectId, child: ObjectId) -> [Key; 2] {
    [
        Key::new(parent.get(), Kind::ROOT_REF, child.get()),
        Key::new(child.get(), Kind::ROOT_BACKREF, parent.get()),
    ]
}

/// Notes a place. An error leaves things half done.
pub(in crate::fs) fn add(
    root_tree: &Tree,
    txn: &dyn Allocate,
    (parent, child): (ObjectId, ObjectId),
    place: &RootRef<'_>,
) -> Result {
    for key in keys(parent, child) {
        let fill = |item: &mut [u8]| place.write_to(item);
        root_tree.insert_with(txn, &key, place.encoded_len(), fill)??;
    }
    Ok(())
}

/// The index of the name in `dir` that leads to `child`; `None` if that has its place elsewhere.
pub(in crate::fs) fn index(
    root_tree: &Tree,
    (parent, child): (ObjectId, ObjectId),
    dir: ObjectId,
    name: &[u8],
) -> Result<Option<u64>> {
    let [to_child, _] = keys(parent, child);
    let found = items::get(root_tree, &to_child, |item| {
        let place = RootRef::parse(item)?;
        let is_it = place.dir == dir && place.name == name;
        Ok(is_it.then_some(place.sequence))
    })?;
    Ok(found.flatten())
}

/// Forgets a place that [`index`] has found. An error leaves things half done.
pub(in crate::fs) fn remove(
    root_tree: &Tree,
    txn: &dyn Allocate,
    (parent, child): (ObjectId, ObjectId),
) -> Result {
    for key in keys(parent, child) {
        root_tree.remove(txn, &key)?;
    }
    Ok(())
}
