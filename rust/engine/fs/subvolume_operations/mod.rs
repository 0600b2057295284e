// SPDX-License-Identifier: GPL-2.0
//! What is done to subvolumes, and how they are found.
//!
//! | module   | what it has                              |
//! |----------|------------------------------------------|
//! | `create` | making subvolumes, empty or as snapshots |
//! | `path`   | from a subvolume back to its path        |

mod create;
mod path;

pub use create::{NewSubvolume, Topmost};
pub use path::SubvolumePlace;

use super::items::{entries, place};
use super::{FileSystem, Subvolume, Target};
use crate::disk::{Flaw, ObjectId, Site};
use latch::prelude::*;

impl FileSystem {
    /// Subvolumes: which there are, and new ones.
    pub fn subvolumes(&self) -> Subvolumes<'_> {
        Subvolumes { fs: self }
    }
}

/// The subvolumes of a file system.
#[derive(Clone, Copy)]
pub struct Subvolumes<'a> {
    pub(super) fs: &'a FileSystem,
}

impl Subvolumes<'_> {
    /// The subvolume that is mounted when no other is named.
    pub fn default(&self) -> Result<Subvolume> {
        let found = entries::find(self.fs.root_tree(), ObjectId::ROOT_TREE_DIR, b"default")?;
        let id = match found {
            Some(Target::Subvolume(id)) => id,
            _ => ObjectId::FS_TREE,
        };
        self.required(id, "default subvolume is missing")
    }

    /// The subvolume that all others are reached from, which no volume does without.
    pub fn topmost(&self) -> Result<Subvolume> {
        self.required(ObjectId::FS_TREE, "topmost subvolume is missing")
    }

    /// A subvolume that has to be there: to whoever mounts, `ENOENT` would be about the device.
    fn required(&self, id: ObjectId, missing: &'static str) -> Result<Subvolume> {
        self.get(id).map_err(|error| match error == ENOENT {
            true => {
                let flaw = Flaw::missing(missing);
                flaw.at(Site::Tree(id.into())).report()
            }
            false => error,
        })
    }

    /// The subvolume with this id. `ENOENT` for one that is not there or is being deleted.
    pub fn get(&self, id: ObjectId) -> Result<Subvolume> {
        self.fs.in_use.get(self.fs.transactions(), id)
    }

    /// Whether there is a subvolume with this id that is not being deleted.
    pub(in crate::fs) fn is_referenced(&self, id: ObjectId) -> Result<bool> {
        match self.fs.transactions().root_item(id) {
            Ok(_) => Ok(true),
            Err(error) if error == ENOENT => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many are in memory.
    pub fn in_use(&self) -> usize {
        self.fs.in_use.len()
    }

    /// Whether `child` has its place at this name of this directory, rather than where the snapshot was taken from.
    pub(in crate::fs) fn is_placed(
        &self,
        parent: &Subvolume,
        dir: ObjectId,
        name: &[u8],
        child: ObjectId,
    ) -> Result<bool> {
        let found = place::index(self.fs.root_tree(), (parent.id(), child), dir, name)?;
        Ok(found.is_some())
    }
}
