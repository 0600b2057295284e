// SPDX-License-Identifier: GPL-2.0
//! Directory entries as items: `DIR_ITEM` by the name's hash, `DIR_INDEX` by the order they were made in.

use crate::btree::{Allocate, Sought, Tree, Writer};
use crate::disk::{
    self, name_hash, Bytes, DirEntries, DirEntry, FileType, Flaw, Key, Kind, ObjectId,
};
use crate::disk::{DIR_FIRST_INDEX, MAX_NAME_LEN};
use crate::fs::items;
use core::ops::ControlFlow;
use latch::prelude::*;

/// What an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An inode of the same subvolume.
    Inode(ObjectId, FileType),
    /// Another subvolume, by its id: its root directory is meant.
    Subvolume(ObjectId),
    /// The place of a subvolume that this one, a snapshot, did not take along: an empty directory that cannot be
    /// changed (C: `BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`, inode number 2).
    EmptyPlace,
}

/// `ENAMETOOLONG` for a name that no entry can have, `EINVAL` for none at all.
pub(in crate::fs) fn check_name(name: &[u8]) -> Result {
    match name.len() {
        0 => Err(EINVAL),
        len if len > MAX_NAME_LEN => Err(ENAMETOOLONG),
        _ => Ok(()),
    }
}

/// The key of the entry by name.
fn item_key(dir: ObjectId, name: &[u8]) -> Key {
    Key::new(dir.get(), Kind::DIR_ITEM, name_hash(name))
}

/// The key of the entry by index.
fn index_key(dir: ObjectId, index: u64) -> Key {
    Key::new(dir.get(), Kind::DIR_INDEX, index)
}

/// What a directory entry names, as far as the entry itself tells.
pub(in crate::fs) fn target(entry: &DirEntry<'_>) -> Result<Target, Flaw> {
    match entry.target {
        disk::EntryTarget::Inode(number) => Ok(Target::Inode(number, entry.kind)),
        disk::EntryTarget::Subvolume(id) => Ok(Target::Subvolume(id)),
        disk::EntryTarget::Attribute => {
            let kind = entry.kind.get().into();
            Err(Flaw::new("directory entry is an attribute", kind, 1))
        }
    }
}

/// Finds an entry by name.
pub(in crate::fs) fn find(tree: &Tree, dir: ObjectId, name: &[u8]) -> Result<Option<Target>> {
    let found = items::get(tree, &item_key(dir, name), |item| {
        let named = |entry: &DirEntry<'_>| (entry.name == name).then(|| target(entry));
        items::find(DirEntries::new(item), named)?.transpose()
    })?;
    Ok(found.flatten())
}

/// Whether a new entry may be made: `EEXIST`, `EOVERFLOW` when too many names have this hash.
pub(in crate::fs) fn check_room(tree: &Tree, dir: ObjectId, name: &[u8]) -> Result {
    let node_size = tree.store().node_size();
    let len = DirEntry::HEAD.saturating_add(name.len());
    let room = items::get(tree, &item_key(dir, name), |item| {
        let same = |entry: &DirEntry<'_>| (entry.name == name).then_some(());
        if items::find(DirEntries::new(item), same)?.is_some() {
            return Ok(Err(EEXIST));
        }
        Ok(match items::fits(node_size, item.len(), len) {
            true => Ok(()),
            false => Err(EOVERFLOW),
        })
    })?;
    room.unwrap_or(Ok(()))
}

/// A new entry.
pub(in crate::fs) struct NewEntry<'a> {
    /// The directory that has the entry.
    pub dir: ObjectId,
    /// The name of the entry.
    pub name: &'a [u8],
    /// The directory's index for it.
    pub index: u64,
    /// What it names.
    pub target: disk::EntryTarget,
    /// The type of that.
    pub file_type: FileType,
}

/// Makes an entry, by name and by index. After an error one of the two may be there.
pub(in crate::fs) fn add(tree: &Tree, txn: &dyn Allocate, entry: &NewEntry<'_>) -> Result {
    let record = DirEntry {
        target: entry.target,
        transid: txn.generation(),
        kind: entry.file_type,
        name: entry.name,
        value: &[],
    };
    let (len, fill) = (record.encoded_len(), |item: &mut [u8]| {
        record.write_to(item)
    });
    items::append(tree, txn, &item_key(entry.dir, entry.name), len, fill)?;
    Ok(tree.insert_with(txn, &index_key(entry.dir, entry.index), len, fill)??)
}

/// Removes the entry by name. `ENOENT` if there is none that names `target`: nothing was changed then.
pub(in crate::fs) fn remove_item(
    tree: &Tree,
    txn: &dyn Allocate,
    dir: ObjectId,
    name: &[u8],
    target: disk::EntryTarget,
) -> Result {
    let wanted = |entry: &DirEntry<'_>| {
        let same = entry.name == name && entry.target == target;
        same.then_some(())
    };
    let find = |item: &[u8]| items::locate(DirEntries::new(item), wanted);
    items::remove(tree, txn, &item_key(dir, name), find)?.ok_or(ENOENT)
}

/// Removes the entry by index. Old drivers lost some, or left one of another name there: that is told, and stays.
pub(in crate::fs) fn remove_index(
    tree: &Tree,
    txn: &dyn Allocate,
    dir: ObjectId,
    index: u64,
    name: &[u8],
) -> Result {
    let key = index_key(dir, index);
    let mut writer = Writer::new(tree, txn);
    let found = match writer.seek(&key)? {
        Sought::Found => first_is_named(items::here(&mut writer)?.1, name),
        Sought::Missing => Err(Flaw::missing("directory has no entry with an index")),
    };
    if let Err(flaw) = found {
        writer.release();
        let _told = items::report(tree, &key, flaw);
        return Ok(());
    }
    writer.remove_here()
}

/// Whether the first entry of an item has this name.
fn first_is_named(item: &[u8], name: &[u8]) -> Result<(), Flaw> {
    match DirEntries::new(item).next().transpose()? {
        Some(entry) if entry.name == name => Ok(()),
        _ => Err(Flaw::missing(
            "entry by index has not the name of that by hash",
        )),
    }
}

/// The index for a directory's next entry: one above the highest.
pub(in crate::fs) fn next_index(tree: &Tree, dir: ObjectId) -> Result<u64> {
    let last = tree.floor(&index_key(dir, u64::MAX), |key, _| key)?;
    match last {
        Some(key) if key.objectid == dir && key.kind == Kind::DIR_INDEX => {
            let next = key.offset.checked_add(1).ok_or(ENOSPC)?;
            Ok(next.max(DIR_FIRST_INDEX))
        }
        _ => Ok(DIR_FIRST_INDEX),
    }
}

/// The index of a name in a directory, looked for among all: where nothing else tells it.
pub(in crate::fs) fn index_of(tree: &Tree, dir: ObjectId, name: &[u8]) -> Result<Option<u64>> {
    let (first, last) = (index_key(dir, DIR_FIRST_INDEX), index_key(dir, u64::MAX));
    let mut found = None;
    tree.scan(first..=last, |key, item| {
        let same = |entry: &DirEntry<'_>| (entry.name == name).then_some(key.offset);
        found = items::find(DirEntries::new(item), same).map_err(items::flawed(tree, &key))?;
        Ok(match found {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        })
    })?;
    Ok(found)
}

/// Whether a directory has no entry.
pub(in crate::fs) fn is_empty(tree: &Tree, dir: ObjectId) -> Result<bool> {
    for kind in [Kind::DIR_ITEM, Kind::DIR_INDEX] {
        let first = tree.ceiling(&Key::new(dir.get(), kind, 0), |key, _| key)?;
        if first.is_some_and(|key| key.objectid == dir && key.kind == kind) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A directory's size with one name more.
pub(in crate::fs) fn grown(size: Bytes, name: &[u8]) -> Bytes {
    counted(size).saturating_add(doubled(name)).min(MOST)
}

/// A directory's size with one name less.
pub(in crate::fs) fn shrunk(size: Bytes, name: &[u8]) -> Bytes {
    counted(size).saturating_sub(doubled(name))
}

/// What C takes for the largest size: it reads the number as a signed one.
const MOST: Bytes = Bytes::new(i64::MAX.unsigned_abs());

/// What a directory's size counts. One that old drivers let fall below zero counts nothing: C takes a directory for empty by
/// its size alone, so none that has names may stay there.
fn counted(size: Bytes) -> Bytes {
    match size <= MOST {
        true => size,
        false => Bytes::ZERO,
    }
}

fn doubled(name: &[u8]) -> Bytes {
    Bytes::from(name.len()).saturating_mul(2)
}
