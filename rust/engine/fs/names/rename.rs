// SPDX-License-Identifier: GPL-2.0
//! Renaming and exchanging names.

use super::{check_empty_directory, check_same_subvolume, unlink_units, Names};
use crate::fs::filesystem::or_abort;
use crate::fs::items::entries;
use crate::fs::{Inode, New, Now};
use crate::txn::{Handle, Units};
use latch::prelude::*;

/// One end of a rename.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The directory that has the name.
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

/// What a rename asks for.
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
    pub now: &'a dyn Now,
}

impl Names<'_> {
    /// Renames, in one transaction. A subvolume goes by its topmost directory, to any other too, and is not changed itself.
    /// `EXDEV` for other inodes across subvolumes, `EROFS`, `ENOTEMPTY`, `EEXIST`, `EMLINK`.
    pub fn rename(&self, rename: &Rename<'_>) -> Result {
        entries::check_name(rename.from.name)?;
        entries::check_name(rename.to.name)?;
        check_may_stand(rename.from.dir, rename.moved)?;
        check_may_stand(rename.to.dir, rename.moved)?;
        self.fs.check_writable(rename.to.dir.subvolume())?;
        if rename.from.is_same(&rename.to) {
            return Ok(());
        }
        match rename.mode {
            RenameMode::Move { replaced, whiteout } => self.move_name(rename, replaced, whiteout),
            RenameMode::Exchange(other) => self.exchange_names(rename, other),
        }
    }

    fn move_name(
        &self,
        rename: &Rename<'_>,
        replaced: Option<&Inode>,
        whiteout: Option<&New<'_>>,
    ) -> Result {
        let Rename {
            from,
            to,
            moved,
            now,
            ..
        } = *rename;
        if let Some(replaced) = replaced {
            check_replaceable(&to, moved, replaced)?;
            self.fs.inodes().clean_orphans(to.dir.subvolume())?;
        }
        let units = move_units(replaced, whiteout).and(place_units(moved));
        let handle = self.fs.start(from.dir.subvolume(), units)?;
        if replaced.is_none() {
            entries::check_room(to.dir.subvolume().tree(), to.dir.number(), to.name)?;
        }
        let index = to.dir.take_index()?;
        self.add_ref(&handle, to.dir, to.name, moved, index)?;
        let done = self
            .remove_entry(&handle, from.dir, from.name, moved, now)
            .and_then(|()| self.clear_place(&handle, &to, replaced, now))
            .and_then(|()| self.add_entry(&handle, to.dir, to.name, moved, index, now))
            .and_then(|()| note_moved(&handle, moved, now))
            .and_then(|()| match whiteout {
                Some(new) => {
                    let flags = self.inherited_flags(from.dir, new);
                    let made = self.create_in(&handle, from.dir, from.name, new, flags);
                    made.map(drop)
                }
                None => Ok(()),
            });
        or_abort(&handle, done)
    }

    /// Takes away what stands at the new name.
    fn clear_place(
        &self,
        handle: &Handle,
        to: &Side<'_>,
        replaced: Option<&Inode>,
        now: &dyn Now,
    ) -> Result {
        let Some(replaced) = replaced else {
            return Ok(());
        };
        self.remove_entry(handle, to.dir, to.name, replaced, now)?;
        self.drop_link(handle, replaced, now)
    }

    fn exchange_names(&self, rename: &Rename<'_>, other: &Inode) -> Result {
        let Rename {
            from,
            to,
            moved,
            now,
            ..
        } = *rename;
        check_may_stand(to.dir, other)?;
        check_may_stand(from.dir, other)?;
        let units = Units::inserts(6).and(Units::updates(10));
        let units = units.and(place_units(moved)).and(place_units(other));
        let handle = self.fs.start(from.dir.subvolume(), units)?;
        let to_index = to.dir.take_index()?;
        let from_index = from.dir.take_index()?;
        self.add_ref(&handle, to.dir, to.name, moved, to_index)?;
        if let Err(error) = self.add_ref(&handle, from.dir, from.name, other, from_index) {
            // Of a subvolume's place nothing was noted yet.
            if !moved.is_subvolume_root() {
                let undone = self.remove_ref(&handle, to.dir, to.name, moved).map(drop);
                or_abort(&handle, undone)?;
            }
            return Err(error);
        }
        let done = self
            .remove_entry(&handle, from.dir, from.name, moved, now)
            .and_then(|()| self.remove_entry(&handle, to.dir, to.name, other, now))
            .and_then(|()| self.add_entry(&handle, to.dir, to.name, moved, to_index, now))
            .and_then(|()| self.add_entry(&handle, from.dir, from.name, other, from_index, now))
            .and_then(|()| note_moved(&handle, moved, now))
            .and_then(|()| note_moved(&handle, other, now));
        or_abort(&handle, done)
    }
}

impl Side<'_> {
    fn is_same(&self, other: &Self) -> bool {
        core::ptr::eq(self.dir, other.dir) && self.name == other.name
    }
}

/// Two names beside the inode, four entries, two directories, the inode; as much again for what is replaced.
fn move_units(replaced: Option<&Inode>, whiteout: Option<&New<'_>>) -> Units {
    let mut units = Units::inserts(3).and(Units::updates(6));
    if replaced.is_some() {
        units = units.and(unlink_units());
    }
    if let Some(new) = whiteout {
        units = units.and(new.units());
    }
    units
}

/// The two notes of a subvolume's place, taken away and made.
fn place_units(moved: &Inode) -> Units {
    match moved.is_subvolume_root() {
        true => Units::updates(2).and(Units::inserts(2)),
        false => Units::updates(0),
    }
}

/// `EXDEV` for an inode that cannot have a name in `dir`: a subvolume can anywhere.
fn check_may_stand(dir: &Inode, inode: &Inode) -> Result {
    match inode.is_subvolume_root() {
        true => Ok(()),
        false => check_same_subvolume(dir, inode),
    }
}

/// The time of its change. A subvolume, which may be read-only, is not changed by its name.
fn note_moved(handle: &Handle, moved: &Inode, now: &dyn Now) -> Result {
    match moved.is_subvolume_root() {
        true => Ok(()),
        false => moved.change(handle, |attributes| attributes.touch(now.of(moved))),
    }
}

/// `ENOTEMPTY`, `EISDIR`, `ENOTDIR`, `EXDEV`.
fn check_replaceable(to: &Side<'_>, moved: &Inode, replaced: &Inode) -> Result {
    if replaced.is_subvolume_root() {
        return Err(ENOTEMPTY);
    }
    check_same_subvolume(to.dir, replaced)?;
    match (
        moved.attributes().is_directory(),
        replaced.attributes().is_directory(),
    ) {
        (true, true) => check_empty_directory(replaced),
        (true, false) => Err(ENOTDIR),
        (false, true) => Err(EISDIR),
        (false, false) => Ok(()),
    }
}
