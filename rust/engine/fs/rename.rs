// SPDX-License-Identifier: GPL-2.0
//! Renaming.

use super::{FileSystem, Inode, New, Time};
use kernel::prelude::*;

/// One end of a rename.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The directory.
    pub dir: &'a Inode,
    /// The name in it.
    pub name: &'a [u8],
}

/// What happens at the two names.
#[derive(Clone, Copy)]
pub enum RenameMode<'a> {
    /// The inode at the new name, if there is one, loses that name. `None` also for `RENAME_NOREPLACE`: `EEXIST` then
    /// if the name is taken.
    Move {
        /// What stands at the new name.
        replaced: Option<&'a Inode>,
        /// What takes the old name's place (`RENAME_WHITEOUT`).
        whiteout: Option<&'a New<'a>>,
    },
    /// The two inodes swap names (`RENAME_EXCHANGE`).
    Exchange(&'a Inode),
}

/// A rename.
#[derive(Clone, Copy)]
pub struct Rename<'a> {
    /// The old name.
    pub from: Side<'a>,
    /// The new name.
    pub to: Side<'a>,
    /// The inode at the old name.
    pub moved: &'a Inode,
    /// What to do.
    pub mode: RenameMode<'a>,
    /// Times of all that changes.
    pub now: Time,
}

impl FileSystem {
    /// Renames, in one transaction. `EXDEV` across subvolumes and for subvolumes, `ENOTEMPTY`, `EEXIST`.
    pub fn rename(&self, _rename: &Rename<'_>) -> Result {
        Err(EOPNOTSUPP)
    }
}
