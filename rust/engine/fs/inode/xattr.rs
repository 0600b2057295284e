// SPDX-License-Identifier: GPL-2.0
//! Extended attributes and symbolic link targets.

use super::records::{self, Records};
use crate::btree::{Allocate, Tree};
use crate::disk::raw::{RawDirItem, RawItem};
use crate::disk::{leaf_area, name_hash, FileOffset, FileType, Key, Kind, ObjectId, MAX_NAME_LEN};
use crate::fs::names::entries::fill_record;
use crate::fs::{FileSystem, Inode, MappingKind, Time};
use crate::txn::Units;
use core::ops::ControlFlow;
use latch::prelude::*;

/// How an extended attribute may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// Whether it exists or not.
    Any,
    /// `EEXIST` if it exists.
    Create,
    /// `ENODATA` if it does not exist.
    Replace,
}

/// The most bytes that a list of names may have (C: `XATTR_LIST_MAX`).
const LONGEST_LIST: usize = 65536;

/// The most bytes that name and value may have together (C: `BTRFS_MAX_XATTR_SIZE`).
pub(in crate::fs) fn max_len(node_size: u32) -> usize {
    let area = usize::try_from(leaf_area(node_size)).unwrap_or(0);
    area.saturating_sub(RawItem::SIZE.saturating_add(RawDirItem::SIZE))
}

fn key(inode: ObjectId, name: &[u8]) -> Key {
    Key {
        objectid: inode,
        kind: Kind::XATTR_ITEM,
        offset: name_hash(name),
    }
}

/// Adds an attribute that the inode does not have. `EOVERFLOW` when too many names have this hash.
pub(in crate::fs) fn insert(
    tree: &Tree,
    txn: &dyn Allocate,
    inode: ObjectId,
    name: &[u8],
    value: &[u8],
) -> Result {
    let len = RawDirItem::SIZE
        .saturating_add(name.len())
        .saturating_add(value.len());
    records::append(tree, txn, &key(inode, name), len, |bytes| {
        fill_record(
            bytes,
            &Key::MIN,
            txn.generation().get(),
            FileType::Xattr,
            name,
            value,
        )
    })
}

/// What an item becomes when one attribute goes and another may come.
struct Rewritten {
    /// The other attributes.
    rest: KVec<u8>,
    /// Whether the attribute was there.
    existed: bool,
}

impl Rewritten {
    fn read(tree: &Tree, key: &Key, name: &[u8]) -> Result<Option<Self>> {
        let found = tree.get(key, |item| {
            let mut rewritten = Self {
                rest: KVec::new(),
                existed: false,
            };
            for record in Records::<RawDirItem>::new(item) {
                if record.name == name {
                    rewritten.existed = true;
                } else {
                    let bytes = item.get(record.range).ok_or(EUCLEAN)?;
                    rewritten.rest.extend_from_slice(bytes, GFP_KERNEL)?;
                }
            }
            Ok(rewritten)
        })?;
        found.transpose()
    }

    fn add(&mut self, generation: u64, name: &[u8], value: &[u8]) -> Result {
        let start = self.rest.len();
        let len = RawDirItem::SIZE
            .saturating_add(name.len())
            .saturating_add(value.len());
        self.rest.resize(start.saturating_add(len), 0, GFP_KERNEL)?;
        let bytes = self.rest.get_mut(start..).ok_or(EUCLEAN)?;
        fill_record(bytes, &Key::MIN, generation, FileType::Xattr, name, value)
    }
}

impl FileSystem {
    /// The value of an extended attribute by its full name.
    pub fn get_xattr(&self, inode: &Inode, name: &[u8]) -> Result<Option<KVec<u8>>> {
        let found = inode
            .subvolume()
            .tree()
            .get(&key(inode.number(), name), |item| {
                let record = Records::<RawDirItem>::new(item).find(|record| record.name == name);
                record.map(|record| copied(record.data))
            })?;
        found.flatten().transpose()
    }

    /// Shows the full names of all extended attributes. No lock is held while `each` runs. `E2BIG` when they are more
    /// than the VFS can show.
    pub fn list_xattrs(
        &self,
        inode: &Inode,
        each: &mut dyn FnMut(&[u8]) -> Result<ControlFlow<()>>,
    ) -> Result {
        // Each name with its length in one byte before it.
        let mut names = KVec::new();
        let first = inode.key_of(Kind::XATTR_ITEM, 0);
        let last = inode.key_of(Kind::XATTR_ITEM, u64::MAX);
        inode.subvolume().tree().scan(first..=last, |_, item| {
            for record in Records::<RawDirItem>::new(item) {
                names.extend_from_slice(&[u8::try_from(record.name.len())?], GFP_KERNEL)?;
                names.extend_from_slice(record.name, GFP_KERNEL)?;
            }
            match names.len() > LONGEST_LIST {
                true => Err(E2BIG),
                false => Ok(ControlFlow::Continue(())),
            }
        })?;
        let mut rest: &[u8] = &names;
        while let Some((len, behind)) = rest.split_first() {
            let (name, behind) = behind.split_at_checked((*len).into()).ok_or(EUCLEAN)?;
            if each(name)?.is_break() {
                break;
            }
            rest = behind;
        }
        Ok(())
    }

    /// Sets an extended attribute. `ENOSPC` when name and value do not fit a leaf, `ERANGE` for a name that is too
    /// long.
    pub fn set_xattr(
        &self,
        inode: &Inode,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
        now: Time,
    ) -> Result {
        if name.is_empty() || name.len() > MAX_NAME_LEN {
            return Err(ERANGE);
        }
        if name.len().saturating_add(value.len()) > max_len(self.format().node_size) {
            return Err(ENOSPC);
        }
        let units = Units::inserts(1).and(Units::updates(1));
        let handle = self.start(inode.subvolume(), units)?;
        let tree = inode.subvolume().tree();
        let key = key(inode.number(), name);
        let found = Rewritten::read(tree, &key, name)?;
        let (in_tree, mut item) = match found {
            Some(item) => (true, item),
            None => (
                false,
                Rewritten {
                    rest: KVec::new(),
                    existed: false,
                },
            ),
        };
        match mode {
            XattrMode::Create if item.existed => return Err(EEXIST),
            XattrMode::Replace if !item.existed => return Err(ENODATA),
            _ => {}
        }
        item.add(handle.generation().get(), name, value)?;
        let stored = match in_tree {
            true => tree.replace(&handle, &key, &item.rest),
            false => tree.insert(&handle, &key, &item.rest),
        };
        stored.map_err(|error| if error == EOVERFLOW { ENOSPC } else { error })?;
        let touched = inode.change(&handle, |attributes| attributes.touch(now));
        crate::fs::filesystem::or_abort(&handle, touched)
    }

    /// Removes an extended attribute. `ENODATA`.
    pub fn remove_xattr(&self, inode: &Inode, name: &[u8], now: Time) -> Result {
        let handle = self.start(inode.subvolume(), Units::updates(2))?;
        let (tree, key) = (inode.subvolume().tree(), key(inode.number(), name));
        let removed = records::remove::<RawDirItem, _>(
            tree,
            &handle,
            &key,
            |record| record.name == name,
            |_| (),
        )?;
        removed.ok_or(ENODATA)?;
        let touched = inode.change(&handle, |attributes| attributes.touch(now));
        crate::fs::filesystem::or_abort(&handle, touched)
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, inode: &Inode) -> Result<KVec<u8>> {
        if inode.attributes().file_type() != Some(FileType::Symlink) {
            return Err(EINVAL);
        }
        match self.map(inode, FileOffset::new(0), u64::MAX)?.kind {
            MappingKind::Inline(mut target) if !target.is_empty() => {
                // mkfs puts a zero behind it.
                target.truncate(usize::try_from(inode.attributes().size)?);
                Ok(target)
            }
            _ => {
                let (tree, number) = (inode.subvolume().id(), inode.number());
                pr_err!("tree {tree}: symbolic link {number} has no target\n");
                Err(EUCLEAN)
            }
        }
    }
}

fn copied(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::new();
    copy.extend_from_slice(bytes, GFP_KERNEL)?;
    Ok(copy)
}
