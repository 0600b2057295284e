// SPDX-License-Identifier: GPL-2.0
//! An inode's names as items beside it: `INODE_REF`, and `INODE_EXTREF` when that is full.

use super::records::{self, Record, Records};
use crate::btree::{Allocate, Tree};
use crate::disk::raw::{RawInodeExtref, RawInodeRef};
use crate::disk::{extref_hash, Incompat, Key, Kind, ObjectId};
use latch::prelude::*;
use zerocopy::FromBytes;

/// One name of an inode.
#[derive(Clone, Copy)]
pub(in crate::fs) struct Name<'a> {
    /// The inode.
    pub inode: ObjectId,
    /// The directory.
    pub dir: ObjectId,
    /// The name in it.
    pub name: &'a [u8],
}

impl Name<'_> {
    fn ref_key(&self) -> Key {
        Key {
            objectid: self.inode,
            kind: Kind::INODE_REF,
            offset: self.dir.get(),
        }
    }

    fn extref_key(&self) -> Key {
        let offset = extref_hash(self.dir.get(), self.name);
        Key {
            objectid: self.inode,
            kind: Kind::INODE_EXTREF,
            offset,
        }
    }
}

/// Records a name. `EMLINK` when there is no room for it: nothing was changed then.
pub(in crate::fs) fn add(
    tree: &Tree,
    txn: &dyn Allocate,
    name: &Name<'_>,
    index: u64,
    features: Incompat,
) -> Result {
    let len = RawInodeRef::SIZE.saturating_add(name.name.len());
    let added = records::append(tree, txn, &name.ref_key(), len, |bytes| {
        fill_ref(bytes, index, name.name)
    });
    match added {
        Err(error) if error == EOVERFLOW => {}
        other => return other,
    }
    if !features.contains(Incompat::EXTENDED_IREF) {
        return Err(EMLINK);
    }
    let len = RawInodeExtref::SIZE.saturating_add(name.name.len());
    let added = records::append(tree, txn, &name.extref_key(), len, |bytes| {
        let (head, rest) = RawInodeExtref::mut_from_prefix(bytes).map_err(|_| EUCLEAN)?;
        head.parent = name.dir.get().into();
        head.index = index.into();
        head.name_len = u16::try_from(name.name.len())?.into();
        rest.get_mut(..name.name.len())
            .ok_or(EUCLEAN)?
            .copy_from_slice(name.name);
        Ok(())
    });
    added.map_err(|error| if error == EOVERFLOW { EMLINK } else { error })
}

/// Writes a plain reference.
pub(in crate::fs) fn fill_ref(bytes: &mut [u8], index: u64, name: &[u8]) -> Result {
    let (head, rest) = RawInodeRef::mut_from_prefix(bytes).map_err(|_| EUCLEAN)?;
    head.index = index.into();
    head.name_len = u16::try_from(name.len())?.into();
    rest.get_mut(..name.len())
        .ok_or(EUCLEAN)?
        .copy_from_slice(name);
    Ok(())
}

/// Forgets a name and gives its index in the directory. `ENOENT` if it was not recorded: nothing was changed then.
pub(in crate::fs) fn remove(tree: &Tree, txn: &dyn Allocate, name: &Name<'_>) -> Result<u64> {
    let plain = |record: &Record<'_, RawInodeRef>| record.name == name.name;
    let index = records::remove(tree, txn, &name.ref_key(), plain, |record| {
        record.head.index.get()
    })?;
    if let Some(index) = index {
        return Ok(index);
    }
    let extended = |record: &Record<'_, RawInodeExtref>| {
        record.name == name.name && record.head.parent.get() == name.dir.get()
    };
    let index = records::remove(tree, txn, &name.extref_key(), extended, |record| {
        record.head.index.get()
    })?;
    index.ok_or(ENOENT)
}

/// The directory of one name of an inode, `None` where it has none: for a directory the only one.
pub(in crate::fs) fn parent(tree: &Tree, inode: ObjectId) -> Result<Option<ObjectId>> {
    let first = Key {
        objectid: inode,
        kind: Kind::INODE_REF,
        offset: 0,
    };
    let found = tree.ceiling(&first, |key, item| {
        if key.objectid != inode {
            return None;
        }
        match key.kind {
            Kind::INODE_REF => Some(key.offset),
            Kind::INODE_EXTREF => Records::<RawInodeExtref>::new(item)
                .next()
                .map(|record| record.head.parent.get()),
            _ => None,
        }
    })?;
    Ok(found.flatten().map(ObjectId::new))
}
