// SPDX-License-Identifier: GPL-2.0
//! From a subvolume back to its path.

use super::Subvolumes;
use crate::btree::Tree;
use crate::disk::{Flaw, InodeRefs, Key, Kind, ObjectId, RootRef};
use crate::fs::items;
use latch::prelude::*;

/// Bytes of the longest path (C: `PATH_MAX`). It ends walks in a circle too.
const LONGEST: usize = 4096;

/// Where a subvolume has its name.
pub struct SubvolumePlace {
    /// The subvolume that it is in.
    pub subvolume: ObjectId,
    /// The directory there.
    pub dir: ObjectId,
    /// The name in that.
    pub name: KVec<u8>,
}

/// A path from its end to its beginning, each name's bytes backwards.
struct Backwards(KVec<u8>);

impl Backwards {
    fn prepend(&mut self, name: &[u8]) -> Result {
        if self.0.len().saturating_add(name.len()) >= LONGEST {
            return Err(ENAMETOOLONG);
        }
        for &byte in name.iter().rev() {
            self.0.push(byte, GFP_KERNEL)?;
        }
        Ok(self.0.push(b'/', GFP_KERNEL)?)
    }
}

impl Subvolumes<'_> {
    /// Where a subvolume has its name. `ENOENT` for the topmost one, and for one that is being deleted.
    pub fn place_of(&self, id: ObjectId) -> Result<SubvolumePlace> {
        let root_tree = self.fs.root_tree();
        let last = Key::new(id.get(), Kind::ROOT_BACKREF, u64::MAX);
        let found = root_tree.floor(&last, |key, item| {
            is_of(&key, &last).then(|| {
                let place = RootRef::parse(item).map_err(items::flawed(root_tree, &key))?;
                Ok(SubvolumePlace {
                    subvolume: ObjectId::new(key.offset),
                    dir: place.dir,
                    name: items::copied(place.name)?,
                })
            })
        })?;
        found.flatten().ok_or(ENOENT)?
    }

    /// The path of a subvolume from the topmost one, with a slash before each name. `ENOENT` where it has no place,
    /// `ENAMETOOLONG`.
    pub fn path(&self, id: ObjectId) -> Result<KVec<u8>> {
        let mut path = Backwards(KVec::new());
        let mut id = id;
        while id != ObjectId::FS_TREE {
            let place = self.place_of(id)?;
            path.prepend(&place.name)?;
            let parent = self.get(place.subvolume)?;
            let mut dir = place.dir;
            while dir != parent.root_directory() {
                let (above, name) = directory_name(parent.tree(), dir)?;
                path.prepend(&name)?;
                dir = above;
            }
            id = parent.id();
        }
        let Backwards(mut path) = path;
        if path.is_empty() {
            path.push(b'/', GFP_KERNEL)?;
        }
        path.reverse();
        Ok(path)
    }
}

/// The directory that a directory is in, and its name there.
fn directory_name(tree: &Tree, dir: ObjectId) -> Result<(ObjectId, KVec<u8>)> {
    let lowest = Key::new(dir.get(), Kind::INODE_REF, 0);
    let found = tree.ceiling(&lowest, |key, item| {
        is_of(&key, &lowest).then(|| {
            let name = InodeRefs::new(item).next();
            let name = name.unwrap_or(Err(Flaw::missing("inode ref has no name")));
            let name = name.map_err(items::flawed(tree, &key))?;
            Ok((ObjectId::new(key.offset), items::copied(name.name)?))
        })
    })?;
    found.flatten().ok_or(ENOENT)?
}

/// Whether both keys are of one object and kind.
fn is_of(found: &Key, wanted: &Key) -> bool {
    found.objectid == wanted.objectid && found.kind == wanted.kind
}
