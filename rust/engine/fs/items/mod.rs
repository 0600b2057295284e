// SPDX-License-Identifier: GPL-2.0
//! Items of trees as typed values: what breaks the format is reported with its place, once; and items that hold several
//! records back to back: names whose hashes collide, names of one inode in one directory.
//!
//! | module    | what it has                                          |
//! |-----------|------------------------------------------------------|
//! | `entries` | the items of a name in its directory                 |
//! | `refs`    | an inode's names as items beside it                  |
//! | `orphans` | the notes by which a mount finds inodes without names |
//! | `place`   | the name that leads to a subvolume                   |

pub(super) mod entries;
pub(super) mod orphans;
pub(super) mod place;
pub(super) mod refs;

use crate::btree::{Allocate, Sought, Tree, Writer};
use crate::disk::{leaf_area, Bug, DirEntries, DirEntry, Flaw, Key, ITEM_HEAD};
use crate::disk::{InodeExtref, InodeExtrefs, InodeRef, InodeRefs};
use core::ops::Range;
use latch::prelude::*;

/// Reports a flaw of the item at `key`.
#[cold]
pub(in crate::fs) fn report(tree: &Tree, key: &Key, flaw: Flaw) -> Error {
    flaw.in_item(tree.id(), key).report()
}

/// What makes an error of a flaw of the item at `key`, for `map_err`.
pub(in crate::fs) fn flawed<'a>(tree: &'a Tree, key: &'a Key) -> impl Fn(Flaw) -> Error + 'a {
    move |flaw| report(tree, key, flaw)
}

/// Bytes of an item, to keep.
pub(in crate::fs) fn copied(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::new();
    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(copy)
}

/// What `parse` makes of the item at `key`; `None` if there is none.
pub(in crate::fs) fn get<R>(
    tree: &Tree,
    key: &Key,
    parse: impl FnOnce(&[u8]) -> Result<R, Flaw>,
) -> Result<Option<R>> {
    let found = tree.get(key, parse)?;
    found.transpose().map_err(flawed(tree, key))
}

/// A writer was moved to an item and stands at none.
const NOWHERE: Bug = Bug::new("writer stands at no item");

/// The item that `writer` was moved to.
pub(in crate::fs) fn here<'w>(writer: &'w mut Writer<'_>) -> Result<(Key, &'w [u8])> {
    Ok(writer.item()?.ok_or(NOWHERE)?)
}

/// The bytes of the item that `writer` was moved to, to change in place.
pub(in crate::fs) fn here_mut<'w>(writer: &'w mut Writer<'_>) -> Result<&'w mut [u8]> {
    let (_, item) = writer.item_mut()?.ok_or(NOWHERE)?;
    Ok(item)
}

/// The records of an item, first to last.
pub(in crate::fs) trait Records<'a>:
    Iterator<Item = Result<Self::Record, Flaw>>
{
    /// One record of such an item.
    type Record;

    /// The bytes that were not read yet.
    fn rest(&self) -> &'a [u8];
}

impl<'a> Records<'a> for DirEntries<'a> {
    type Record = DirEntry<'a>;

    fn rest(&self) -> &'a [u8] {
        DirEntries::rest(self)
    }
}

impl<'a> Records<'a> for InodeRefs<'a> {
    type Record = InodeRef<'a>;

    fn rest(&self) -> &'a [u8] {
        InodeRefs::rest(self)
    }
}

impl<'a> Records<'a> for InodeExtrefs<'a> {
    type Record = InodeExtref<'a>;

    fn rest(&self) -> &'a [u8] {
        InodeExtrefs::rest(self)
    }
}

/// The first of `records` that `wanted` makes something of: what that is.
pub(in crate::fs) fn find<'a, T: Records<'a>, R>(
    records: T,
    wanted: impl FnMut(&T::Record) -> Option<R>,
) -> Result<Option<R>, Flaw> {
    Ok(locate(records, wanted)?.map(|(_, found)| found))
}

/// The first of `records` that `wanted` makes something of: its place in the item, and what that is.
pub(in crate::fs) fn locate<'a, T: Records<'a>, R>(
    mut records: T,
    mut wanted: impl FnMut(&T::Record) -> Option<R>,
) -> Result<Option<(Range<usize>, R)>, Flaw> {
    let len = records.rest().len();
    let place = |records: &T| len.saturating_sub(records.rest().len());
    loop {
        let start = place(&records);
        let Some(record) = records.next().transpose()? else {
            return Ok(None);
        };
        if let Some(found) = wanted(&record) {
            return Ok(Some((start..place(&records), found)));
        }
    }
}

/// Whether a record of `len` bytes more fits into the item that has `used` bytes now (C: `EOVERFLOW`).
pub(in crate::fs) fn fits(node_size: u32, used: usize, len: usize) -> bool {
    let limit = usize::try_from(leaf_area(node_size)).unwrap_or(0);
    used.saturating_add(len).saturating_add(ITEM_HEAD) <= limit
}

/// Adds a record of `len` bytes to the item at `key`, or makes the item. `fill` gets zeros to write over. `EOVERFLOW`
/// when no leaf can hold the item: nothing was changed then.
pub(in crate::fs) fn append(
    tree: &Tree,
    txn: &dyn Allocate,
    key: &Key,
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), Bug>,
) -> Result {
    let mut writer = Writer::new(tree, txn);
    if writer.seek(key)? == Sought::Missing {
        return Ok(fill(writer.insert_here(key, len)?)?);
    }
    let used = here(&mut writer)?.1.len();
    if !fits(tree.store().node_size(), used, len) {
        return Err(EOVERFLOW);
    }
    let item = writer.resize_here(used.saturating_add(len))?;
    const SHORT: Bug = Bug::new("item did not grow");
    Ok(fill(item.get_mut(used..).ok_or(SHORT)?)?)
}

/// Takes the record that `find` points at out of the item at `key`, and the item with its last one. Gives what `find`
/// says of it, or `None` if there is none: nothing was changed then.
pub(in crate::fs) fn remove<R>(
    tree: &Tree,
    txn: &dyn Allocate,
    key: &Key,
    find: impl FnOnce(&[u8]) -> Result<Option<(Range<usize>, R)>, Flaw>,
) -> Result<Option<R>> {
    let mut writer = Writer::new(tree, txn);
    if writer.seek(key)? == Sought::Missing {
        return Ok(None);
    }
    let (_, item) = here(&mut writer)?;
    let len = item.len();
    let Some((range, found)) = find(item).map_err(flawed(tree, key))? else {
        return Ok(None);
    };
    if range.len() == len {
        writer.remove_here()?;
        return Ok(Some(found));
    }
    // What stands behind it moves down; the end is cut off.
    let item = here_mut(&mut writer)?;
    let tail = item.get_mut(range.start..).unwrap_or(&mut []);
    tail.copy_within(range.len().min(tail.len()).., 0);
    writer.resize_here(len.saturating_sub(range.len()))?;
    Ok(Some(found))
}
