// SPDX-License-Identifier: GPL-2.0
//! Directory entries as items: `DIR_ITEM` by the name's hash, `DIR_INDEX` by the order they were made in.

use crate::btree::{Allocate, Tree, Writer};
use crate::disk::raw::{RawDirItem, RawKey};
use crate::disk::{name_hash, FileType, Key, Kind, ObjectId, DIR_FIRST_INDEX, MAX_NAME_LEN};
use crate::fs::inode::records::{self, Record, Records};
use crate::fs::Target;
use latch::prelude::*;
use zerocopy::FromBytes;

/// `ENAMETOOLONG` for a name that no entry can have, `EINVAL` for none at all.
pub(in crate::fs) fn check_name(name: &[u8]) -> Result {
    match name.len() {
        0 => Err(EINVAL),
        len if len > MAX_NAME_LEN => Err(ENAMETOOLONG),
        _ => Ok(()),
    }
}

/// The key of the entry by name.
pub(in crate::fs) fn item_key(dir: ObjectId, name: &[u8]) -> Key {
    Key {
        objectid: dir,
        kind: Kind::DIR_ITEM,
        offset: name_hash(name),
    }
}

/// The key of the entry by index.
pub(in crate::fs) fn index_key(dir: ObjectId, index: u64) -> Key {
    Key {
        objectid: dir,
        kind: Kind::DIR_INDEX,
        offset: index,
    }
}

/// What a directory entry names, as far as the entry itself tells.
pub(in crate::fs) fn target(head: &RawDirItem) -> Result<Target> {
    let location = head.location.get();
    match location.kind {
        Kind::INODE_ITEM => Ok(Target::Inode(
            location.objectid,
            FileType::try_from(head.kind)?,
        )),
        Kind::ROOT_ITEM => Ok(Target::Subvolume(location.objectid)),
        _ => Err(EUCLEAN),
    }
}

/// Finds an entry by name.
pub(in crate::fs) fn find(tree: &Tree, dir: ObjectId, name: &[u8]) -> Result<Option<Target>> {
    let found = tree.get(&item_key(dir, name), |item| {
        let mut records = Records::<RawDirItem>::new(item);
        records
            .find(|record| record.name == name)
            .map(|record| target(record.head))
    })?;
    found.flatten().transpose()
}

/// Whether a new entry may be made: `EEXIST`, `EOVERFLOW` when too many names have this hash.
pub(in crate::fs) fn check_room(tree: &Tree, dir: ObjectId, name: &[u8]) -> Result {
    let node_size = tree.store().node_size();
    let len = RawDirItem::SIZE.saturating_add(name.len());
    let room = tree.get(&item_key(dir, name), |item| {
        if Records::<RawDirItem>::new(item).any(|record| record.name == name) {
            Err(EEXIST)
        } else if !records::fits(node_size, item.len(), len) {
            Err(EOVERFLOW)
        } else {
            Ok(())
        }
    })?;
    room.unwrap_or(Ok(()))
}

/// A new entry.
pub(in crate::fs) struct NewEntry<'a> {
    /// The directory.
    pub dir: ObjectId,
    /// The name.
    pub name: &'a [u8],
    /// The directory's index for it.
    pub index: u64,
    /// The inode.
    pub inode: ObjectId,
    /// Its type.
    pub file_type: FileType,
}

/// Makes an entry, by name and by index. After an error one of the two may be there.
pub(in crate::fs) fn add(tree: &Tree, txn: &dyn Allocate, entry: &NewEntry<'_>) -> Result {
    let location = Key {
        objectid: entry.inode,
        kind: Kind::INODE_ITEM,
        offset: 0,
    };
    let len = RawDirItem::SIZE.saturating_add(entry.name.len());
    let generation = txn.generation().get();
    let fill = |bytes: &mut [u8]| {
        let kind = entry.file_type;
        fill_record(bytes, &location, generation, kind, entry.name, &[])
    };
    records::append(tree, txn, &item_key(entry.dir, entry.name), len, fill)?;
    tree.insert_with(txn, &index_key(entry.dir, entry.index), len, fill)?
}

/// Writes a record: what stands before the name, the name, the value.
pub(in crate::fs) fn fill_record(
    bytes: &mut [u8],
    location: &Key,
    generation: u64,
    file_type: FileType,
    name: &[u8],
    data: &[u8],
) -> Result {
    let (head, rest) = RawDirItem::mut_from_prefix(bytes).map_err(|_| EUCLEAN)?;
    head.location = RawKey::from(*location);
    head.transid = generation.into();
    head.data_len = u16::try_from(data.len())?.into();
    head.name_len = u16::try_from(name.len())?.into();
    head.kind = file_type.get();
    let (to_name, rest) = rest.split_at_mut_checked(name.len()).ok_or(EUCLEAN)?;
    to_name.copy_from_slice(name);
    rest.get_mut(..data.len())
        .ok_or(EUCLEAN)?
        .copy_from_slice(data);
    Ok(())
}

/// Removes the entry by name. `ENOENT` if there is none that names `inode`: nothing was changed then.
pub(in crate::fs) fn remove_item(
    tree: &Tree,
    txn: &dyn Allocate,
    dir: ObjectId,
    name: &[u8],
    inode: ObjectId,
) -> Result {
    let wanted = |record: &Record<'_, RawDirItem>| {
        let location = record.head.location.get();
        record.name == name && location.kind == Kind::INODE_ITEM && location.objectid == inode
    };
    records::remove(tree, txn, &item_key(dir, name), wanted, |_| ())?.ok_or(ENOENT)
}

/// Removes the entry by index. `EUCLEAN` if it is not the one with this name.
pub(in crate::fs) fn remove_index(
    tree: &Tree,
    txn: &dyn Allocate,
    dir: ObjectId,
    index: u64,
    name: &[u8],
) -> Result {
    let mut writer = Writer::new(tree, txn);
    let exact = writer.seek(&index_key(dir, index))?;
    let same = writer.item()?.is_some_and(|(_, item)| {
        let mut records = Records::<RawDirItem>::new(item);
        records.next().is_some_and(|record| record.name == name)
    });
    if !exact || !same {
        writer.release();
        pr_err!(
            "tree {}: directory {dir} has no entry {index} of the right name\n",
            tree.id()
        );
        return Err(EUCLEAN);
    }
    writer.remove_here()
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

/// Whether a directory has no entry.
pub(in crate::fs) fn is_empty(tree: &Tree, dir: ObjectId) -> Result<bool> {
    for kind in [Kind::DIR_ITEM, Kind::DIR_INDEX] {
        let first = tree.ceiling(
            &Key {
                objectid: dir,
                kind,
                offset: 0,
            },
            |key, _| key,
        )?;
        if first.is_some_and(|key| key.objectid == dir && key.kind == kind) {
            return Ok(false);
        }
    }
    Ok(true)
}
