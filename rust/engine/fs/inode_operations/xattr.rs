// SPDX-License-Identifier: GPL-2.0
//! Extended attributes and symbolic link targets.

use crate::btree::{Allocate, Tree};
use crate::disk::{self, leaf_area, name_hash, Bytes, DirEntries, DirEntry, Flaw, Site, ITEM_HEAD};
use crate::disk::{FileOffset, FileType, Generation, Key, Kind, ObjectId, MAX_NAME_LEN};
use crate::fs::filesystem::or_abort;
use crate::fs::{items, Attributes, Changes, Inode, Inodes, MappingKind, Now};
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
    area.saturating_sub(ITEM_HEAD.saturating_add(DirEntry::HEAD))
}

fn key(inode: ObjectId, name: &[u8]) -> Key {
    Key::new(inode.get(), Kind::XATTR_ITEM, name_hash(name))
}

fn attribute<'a>(generation: Generation, name: &'a [u8], value: &'a [u8]) -> DirEntry<'a> {
    DirEntry {
        target: disk::EntryTarget::Attribute,
        transid: generation,
        kind: FileType::Xattr,
        name,
        value,
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
    let entry = attribute(txn.generation(), name, value);
    let fill = |item: &mut [u8]| entry.write_to(item);
    items::append(tree, txn, &key(inode, name), entry.encoded_len(), fill)
}

/// What an item becomes when one attribute goes and another may come.
#[derive(Default)]
struct Rewritten {
    /// The other attributes.
    rest: KVec<u8>,
    /// Whether the attribute was there.
    existed: bool,
}

impl Rewritten {
    fn read(tree: &Tree, key: &Key, name: &[u8]) -> Result<Option<Self>> {
        let found = tree.get(key, |item| {
            let mut rewritten = Self::default();
            for entry in DirEntries::new(item) {
                let entry = entry.map_err(items::flawed(tree, key))?;
                match entry.name == name {
                    true => rewritten.existed = true,
                    false => rewritten.add(&entry)?,
                }
            }
            Ok(rewritten)
        })?;
        found.transpose()
    }

    fn add(&mut self, entry: &DirEntry<'_>) -> Result {
        let start = self.rest.len();
        let len = start.saturating_add(entry.encoded_len());
        self.rest.resize(len, 0, GFP_KERNEL)?;
        let to = self.rest.get_mut(start..).unwrap_or(&mut []);
        Ok(entry.write_to(to)?)
    }
}

/// Sets an attribute of an inode. `EEXIST`, `ENODATA`, `ENOSPC`: nothing was changed then.
pub(super) fn put(
    txn: &dyn Allocate,
    inode: &Inode,
    name: &[u8],
    value: &[u8],
    mode: XattrMode,
) -> Result {
    let (tree, key) = (inode.subvolume().tree(), key(inode.number(), name));
    let found = Rewritten::read(tree, &key, name)?;
    let in_tree = found.is_some();
    let mut item = found.unwrap_or_default();
    match mode {
        XattrMode::Create if item.existed => return Err(EEXIST),
        XattrMode::Replace if !item.existed => return Err(ENODATA),
        _ => {}
    }
    item.add(&attribute(txn.generation(), name, value))?;
    let stored = match in_tree {
        true => tree.replace(txn, &key, &item.rest),
        false => tree.insert(txn, &key, &item.rest),
    };
    stored.map_err(|error| if error == EOVERFLOW { ENOSPC } else { error })
}

/// What became of an attribute that was to be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The attribute is gone.
    Gone,
    /// There was no such attribute.
    Absent,
}

/// Takes an attribute away from an inode.
pub(super) fn take(txn: &dyn Allocate, inode: &Inode, name: &[u8]) -> Result<Taken> {
    let (tree, key) = (inode.subvolume().tree(), key(inode.number(), name));
    let removed = items::remove(tree, txn, &key, |item| {
        items::locate(DirEntries::new(item), |entry| {
            (entry.name == name).then_some(())
        })
    })?;
    Ok(removed.map_or(Taken::Absent, |()| Taken::Gone))
}

/// One attribute, and the inode.
fn put_units() -> Units {
    Units::inserts(1).and(Units::updates(1))
}

impl Inodes<'_> {
    /// The value of an extended attribute by its full name.
    pub fn get_xattr(&self, inode: &Inode, name: &[u8]) -> Result<Option<KVec<u8>>> {
        let key = key(inode.number(), name);
        let found = items::get(inode.subvolume().tree(), &key, |item| {
            items::find(DirEntries::new(item), |entry| {
                (entry.name == name).then(|| items::copied(entry.value))
            })
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
        let tree = inode.subvolume().tree();
        tree.scan(first..=last, |key, item| {
            for entry in DirEntries::new(item) {
                let name = entry.map_err(items::flawed(tree, &key))?.name;
                names.extend_from_slice(&[u8::try_from(name.len())?], GFP_KERNEL)?;
                names.extend_from_slice(name, GFP_KERNEL)?;
            }
            match names.len() > LONGEST_LIST {
                true => Err(E2BIG),
                false => Ok(ControlFlow::Continue(())),
            }
        })?;
        let mut rest: &[u8] = &names;
        while let Some((len, behind)) = rest.split_first() {
            let Some((name, behind)) = behind.split_at_checked((*len).into()) else {
                break;
            };
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
        now: impl Now,
    ) -> Result {
        self.check_len(name, value)?;
        let handle = self.fs.start(inode.subvolume(), put_units())?;
        put(&handle, inode, name, value, mode)?;
        let touched = inode.change(&handle, |attributes| attributes.touch(now.of(inode)));
        or_abort(&handle, touched)
    }

    /// Removes an extended attribute. `ENODATA`.
    pub fn remove_xattr(&self, inode: &Inode, name: &[u8], now: impl Now) -> Result {
        let handle = self.fs.start(inode.subvolume(), Units::updates(2))?;
        if take(&handle, inode, name)? == Taken::Absent {
            return Err(ENODATA);
        }
        let touched = inode.change(&handle, |attributes| attributes.touch(now.of(inode)));
        or_abort(&handle, touched)
    }

    /// Sets an ACL, which is an extended attribute, or takes it away, with the attributes that say the same, in one
    /// transaction: a mode alone may allow what the ACL forbade. `changes` is asked as in [`Self::set_attributes`]. That
    /// there is no ACL to be taken away is no error. `ENOSPC`, `ERANGE`, `EROFS`.
    pub fn set_acl(
        &self,
        inode: &Inode,
        name: &[u8],
        acl: Option<&[u8]>,
        changes: impl FnOnce(&Attributes) -> Changes,
    ) -> Result {
        self.check_len(name, acl.unwrap_or(&[]))?;
        let handle = self.fs.start(inode.subvolume(), put_units())?;
        match acl {
            Some(acl) => put(&handle, inode, name, acl, XattrMode::Any)?,
            None => {
                take(&handle, inode, name)?;
            }
        }
        or_abort(&handle, inode.change_by(&handle, changes))
    }

    fn check_len(&self, name: &[u8], value: &[u8]) -> Result {
        if name.is_empty() || name.len() > MAX_NAME_LEN {
            return Err(ERANGE);
        }
        match name.len().saturating_add(value.len()) > max_len(self.fs.format().node_size) {
            true => Err(ENOSPC),
            false => Ok(()),
        }
    }

    /// The target of a symbolic link. `EINVAL` for an inode that is none.
    pub fn read_link(&self, inode: &Inode) -> Result<KVec<u8>> {
        if inode.attributes().file_type() != Some(FileType::Symlink) {
            return Err(EINVAL);
        }
        match self
            .fs
            .mappings()
            .find(inode, FileOffset::new(0), Bytes::MAX)?
            .kind
        {
            MappingKind::Inline(mut target) if !target.is_empty() => {
                // mkfs puts a zero behind it.
                target.truncate(usize::try_from(inode.attributes().size)?);
                Ok(target)
            }
            _ => {
                let place = Site::Inode(inode.subvolume().id(), inode.number());
                Err(Flaw::missing("symbolic link has no target")
                    .at(place)
                    .report())
            }
        }
    }
}
