// SPDX-License-Identifier: GPL-2.0
//! An inode's names as items beside it: `INODE_REF`, and `INODE_EXTREF` when that is full.

use crate::btree::{Allocate, Tree};
use crate::disk::{extref_hash, Incompat, Key, Kind, ObjectId};
use crate::disk::{InodeExtref, InodeExtrefs, InodeRef, InodeRefs};
use crate::fs::items;
use core::ops::ControlFlow;
use latch::prelude::*;

/// One name of an inode.
#[derive(Clone, Copy)]
pub(in crate::fs) struct Name<'a> {
    /// The inode that has the name.
    pub inode: ObjectId,
    /// The directory that has the name.
    pub dir: ObjectId,
    /// The name in it.
    pub name: &'a [u8],
}

impl Name<'_> {
    fn ref_key(&self) -> Key {
        Key::new(self.inode.get(), Kind::INODE_REF, self.dir.get())
    }

    fn extref_key(&self) -> Key {
        let hash = extref_hash(self.dir.get(), self.name);
        Key::new(self.inode.get(), Kind::INODE_EXTREF, hash)
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
    let plain = InodeRef {
        index,
        name: name.name,
    };
    let fill = |item: &mut [u8]| plain.write_to(item);
    match items::append(tree, txn, &name.ref_key(), plain.encoded_len(), fill) {
        Err(error) if error == EOVERFLOW => {}
        other => return other,
    }
    if !features.contains(Incompat::EXTENDED_IREF) {
        return Err(EMLINK);
    }
    let extended = InodeExtref {
        parent: name.dir,
        index,
        name: name.name,
    };
    let fill = |item: &mut [u8]| extended.write_to(item);
    items::append(tree, txn, &name.extref_key(), extended.encoded_len(), fill).map_err(|error| {
        if error == EOVERFLOW {
            EMLINK
        } else {
            error
        }
    })
}

/// Forgets a name and gives its index in the directory. `None` if it was not recorded: nothing was changed then.
pub(in crate::fs) fn remove(
    tree: &Tree,
    txn: &dyn Allocate,
    name: &Name<'_>,
) -> Result<Option<u64>> {
    let plain = |found: &InodeRef<'_>| (found.name == name.name).then_some(found.index);
    let find = |item: &[u8]| items::locate(InodeRefs::new(item), plain);
    if let Some(index) = items::remove(tree, txn, &name.ref_key(), find)? {
        return Ok(Some(index));
    }
    let extended = |found: &InodeExtref<'_>| {
        let same = found.name == name.name && found.parent == name.dir;
        same.then_some(found.index)
    };
    let find = |item: &[u8]| items::locate(InodeExtrefs::new(item), extended);
    items::remove(tree, txn, &name.extref_key(), find)
}

/// A name that an inode has in a directory, `None` where it has none there.
pub(in crate::fs) fn name_in(
    tree: &Tree,
    inode: ObjectId,
    dir: ObjectId,
) -> Result<Option<KVec<u8>>> {
    let plain = Key::new(inode.get(), Kind::INODE_REF, dir.get());
    let found = items::get(tree, &plain, |item| {
        items::find(InodeRefs::new(item), |found| {
            Some(items::copied(found.name))
        })
    })?;
    if let Some(name) = found.flatten() {
        return name.map(Some);
    }
    let mut name = None;
    let extended = |offset| Key::new(inode.get(), Kind::INODE_EXTREF, offset);
    tree.scan(extended(0)..=extended(u64::MAX), |key, item| {
        let in_dir =
            |found: &InodeExtref<'_>| (found.parent == dir).then(|| items::copied(found.name));
        let found = items::find(InodeExtrefs::new(item), in_dir);
        name = found.map_err(items::flawed(tree, &key))?.transpose()?;
        Ok(match name {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        })
    })?;
    Ok(name)
}

/// The directory of one name of an inode, `None` where it has none: for a directory the only one.
pub(in crate::fs) fn parent(tree: &Tree, inode: ObjectId) -> Result<Option<ObjectId>> {
    let first = Key::new(inode.get(), Kind::INODE_REF, 0);
    let found = tree.ceiling(&first, |key, item| {
        if key.objectid != inode {
            return Ok(None);
        }
        match key.kind {
            Kind::INODE_REF => Ok(Some(ObjectId::new(key.offset))),
            Kind::INODE_EXTREF => {
                let name = InodeExtrefs::new(item).next().transpose();
                Ok(name
                    .map_err(items::flawed(tree, &key))?
                    .map(|name| name.parent))
            }
            _ => Ok(None),
        }
    })?;
    found.unwrap_or(Ok(None))
}
