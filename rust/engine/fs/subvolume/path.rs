// SPDX-License-Identifier: GPL-2.0
//! From a subvolume back to its path.

use crate::btree::Tree;
use crate::disk::raw::{RawInodeRef, RawRootRef};
use crate::disk::{Key, Kind, ObjectId};
use crate::fs::inode::records::{Head, Record, Records};
use crate::fs::FileSystem;
use latch::prelude::*;

/// Bytes of the longest path (C: `PATH_MAX`). It ends walks in a circle too.
const LONGEST: usize = 4096;

/// A name and where it stands.
struct Step {
    name: KVec<u8>,
    /// The directory's number.
    dir: ObjectId,
    /// The tree the directory is in, for a subvolume's name.
    tree: ObjectId,
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

impl FileSystem {
    /// The path of a subvolume from the topmost one, with a slash before each name. `ENOENT` where it has no place,
    /// `ENAMETOOLONG`.
    pub fn subvolume_path(&self, id: ObjectId) -> Result<KVec<u8>> {
        let mut path = Backwards(KVec::new());
        let mut id = id;
        while id != ObjectId::FS_TREE {
            let Step { name, dir, tree } = subvolume_step(self.root_tree(), id)?;
            path.prepend(&name)?;
            let parent = self.subvolume(tree)?;
            let mut dir = dir;
            while dir != parent.root_directory() {
                let step = directory_step(parent.tree(), dir)?;
                path.prepend(&step.name)?;
                dir = step.dir;
            }
            id = tree;
        }
        let Backwards(mut path) = path;
        if path.is_empty() {
            path.push(b'/', GFP_KERNEL)?;
        }
        path.reverse();
        Ok(path)
    }
}

/// Where a subvolume's name stands.
fn subvolume_step(root_tree: &Tree, id: ObjectId) -> Result<Step> {
    let last = Key::new(id.get(), Kind::ROOT_BACKREF, u64::MAX);
    let found = root_tree.floor(&last, |key, item| {
        let record = first::<RawRootRef>(key, &last, item)?;
        let (dir, tree) = (record.head.dir.get(), key.offset);
        Some(step(record.name, dir, tree))
    })?;
    found.flatten().ok_or(ENOENT)?
}

/// Where a directory's name stands.
fn directory_step(tree: &Tree, dir: ObjectId) -> Result<Step> {
    let lowest = Key::new(dir.get(), Kind::INODE_REF, 0);
    let found = tree.ceiling(&lowest, |key, item| {
        let record = first::<RawInodeRef>(key, &lowest, item)?;
        Some(step(record.name, key.offset, tree.id().get()))
    })?;
    found.flatten().ok_or(ENOENT)?
}

/// The first record of an item, if that is of the object and kind looked for.
fn first<'a, H: Head + 'a>(found: Key, wanted: &Key, item: &'a [u8]) -> Option<Record<'a, H>> {
    let fits = found.objectid == wanted.objectid && found.kind == wanted.kind;
    fits.then(|| Records::<H>::new(item).next()).flatten()
}

fn step(name: &[u8], dir: u64, tree: u64) -> Result<Step> {
    let mut copy = KVec::new();
    copy.extend_from_slice(name, GFP_KERNEL)?;
    Ok(Step {
        name: copy,
        dir: ObjectId::new(dir),
        tree: ObjectId::new(tree),
    })
}
