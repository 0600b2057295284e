// SPDX-License-Identifier: GPL-2.0
//! What every item is checked with: itself, its neighbour, and the file system's constants.

use crate::disk::corrupt::{ensure, ensure_max, Flaw};
use crate::disk::{Checksums, Generation, Key, ObjectId};

use super::Format;

/// Why a block is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The block was read.
    Read,
    /// It goes out. Steps of an operation may be missing that the commit will see: free space may be of two kinds while it
    /// is converted. All else is asked, or what is good in two leaves would be written as one that nobody reads.
    Write,
}

/// An item of a leaf with what is needed to judge it.
pub(super) struct Item<'a> {
    /// The file system's constants.
    pub(super) format: &'a Format,
    /// What makes the hashes of names.
    pub(super) checksums: &'a dyn Checksums,
    /// Why it is checked.
    pub(super) occasion: Occasion,
    /// The tree that the leaf's header names.
    pub(super) owner: ObjectId,
    /// No generation is newer.
    pub(super) newest: Generation,
    /// The key of the item.
    pub(super) key: Key,
    /// The bytes of the item.
    pub(super) data: &'a [u8],
    /// Key and bytes of the item before it, in this leaf.
    pub(super) previous: Option<(Key, &'a [u8])>,
}

impl<'a> Item<'a> {
    /// The item before, if it has the same objectid and kind.
    pub(super) fn sibling(&self) -> Option<(Key, &'a [u8])> {
        let same = |key: &Key| key.objectid == self.key.objectid && key.kind == self.key.kind;
        self.previous.filter(|(key, _)| same(key))
    }

    /// A generation that cannot be newer than the running transaction.
    pub(super) fn check_generation(&self, found: Generation) -> Result<(), Flaw> {
        ensure_max(
            "generation is in the future",
            found.get(),
            self.newest.get(),
        )
    }

    /// A number that must be a multiple of the sector size.
    pub(super) fn check_aligned(&self, what: &'static str, found: u64) -> Result<(), Flaw> {
        crate::disk::corrupt::ensure_aligned(what, found, self.format.sector_size)
    }

    /// In a subvolume an inode's items follow each other, and the first is the inode (C: `check_prev_ino`).
    pub(super) fn check_same_inode(&self) -> Result<(), Flaw> {
        if !self.owner.is_subvolume() {
            return Ok(());
        }
        let inode = self.key.objectid;
        match self.previous {
            Some((before, _)) if before.objectid != inode => ensure(
                false,
                "item of an inode without it",
                before.objectid.get(),
                inode.get(),
            ),
            _ => Ok(()),
        }
    }
}
