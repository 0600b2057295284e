// SPDX-License-Identifier: GPL-2.0
//! An inode in use: its attributes as they go to disk.
//!
//! | module       | what it has                                     |
//! |--------------|-------------------------------------------------|
//! | `attributes` | the attributes, and what may be changed of them |
//! | `new`        | what an inode is to be that is not made yet     |
//! | `now`        | the moment of a change                          |

mod attributes;
mod new;
mod now;

pub use attributes::{Changes, Times};
pub(super) use new::Xattr;
pub use new::{New, NewKind};
pub use now::Now;

use crate::btree::Allocate;
use crate::disk::{Bytes, FileOffset, Key, Kind, ObjectId};
use crate::fs::items::entries;
use crate::fs::subvolume::ExtentsLock;
use crate::fs::{Attributes, Subvolume};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::sync::{Arc, SetOnce};
use latch::prelude::*;
use latch::{Mutex, Rank, RwLockReadGuard, RwLockWriteGuard};

/// An inode in use. The VFS keeps one per inode number and subvolume; the engine keeps no table.
///
/// The attributes are the truth for what goes to disk; the VFS inode mirrors them after every operation.
pub struct Inode {
    subvolume: Subvolume,
    number: ObjectId,
    /// Made when it is first asked for, with `state` locked: who asks for attributes alone pays nothing for it.
    extents: SetOnce<ExtentsLock>,
    state: Mutex<State>,
    /// The file was looked at: no inline extent is longer than a sector, and none becomes so.
    has_short_inline: AtomicBool,
}

/// What changes of an inode.
struct State {
    attributes: Attributes,
    /// The attributes are newer than the inode item.
    dirty: bool,
    /// The directory's next index, once it was looked for.
    next_index: Option<u64>,
}

impl State {
    fn note(&mut self, times: &Times) {
        self.attributes.apply(&Changes {
            atime: times.atime,
            mtime: times.mtime,
            ctime: times.ctime,
            sequence: times.sequence,
            ..Changes::default()
        });
        self.dirty = true;
    }
}

impl Inode {
    /// An inode that is in the tree with these attributes.
    pub(in crate::fs) fn new(
        subvolume: &Subvolume,
        number: ObjectId,
        mut attributes: Attributes,
    ) -> Result<Arc<Inode>> {
        // The VFS counts with one bit less.
        attributes.sequence &= u64::MAX >> 1;
        let state = State {
            attributes,
            dirty: false,
            next_index: None,
        };
        let inode = Inode {
            subvolume: subvolume.clone(),
            number,
            extents: SetOnce::new(),
            state: Mutex::new(state, Rank::InodeState)?,
            has_short_inline: AtomicBool::new(false),
        };
        Ok(Arc::new(inode, GFP_NOFAIL)?)
    }

    /// The subvolume it lives in.
    pub fn subvolume(&self) -> &Subvolume {
        &self.subvolume
    }

    /// The inode's number, unique in the subvolume.
    pub fn number(&self) -> ObjectId {
        self.number
    }

    /// A copy of the attributes.
    pub fn attributes(&self) -> Attributes {
        self.state.lock().attributes
    }

    /// Shows the attributes while nobody changes them: who keeps a copy for others to see writes it in here, and in what is
    /// passed to [`Self::note_times_by`] and [`super::Inodes::set_attributes`], so that no older one comes after a newer.
    pub fn show(&self, show: impl FnOnce(&Attributes)) {
        show(&self.state.lock().attributes);
    }

    /// Whether this is the directory at the top of its subvolume.
    pub fn is_subvolume_root(&self) -> bool {
        self.number == self.subvolume.root_directory()
    }

    /// Notes times in memory; they go out with the next change or by [`super::Inodes::write_attributes`].
    pub fn note_times(&self, times: &Times) {
        self.state.lock().note(times);
    }

    /// Notes times as [`Self::note_times`] does, with what `times` says while nobody else changes the attributes. After an error nothing
    /// is noted.
    pub fn note_times_by(&self, times: impl FnOnce() -> Result<Times>) -> Result {
        let mut state = self.state.lock();
        state.note(&times()?);
        Ok(())
    }

    /// Does what [`Self::note_times_by`] does; `EAGAIN` where others are at the attributes.
    pub fn try_note_times_by(&self, times: impl FnOnce() -> Result<Times>) -> Result {
        let mut state = self.state.try_lock().ok_or(EAGAIN)?;
        state.note(&times()?);
        Ok(())
    }

    /// The lock of the file's extents. Lock order: `InodeExtents` > `InodeState`.
    fn extents(&self) -> Result<&ExtentsLock> {
        if self.extents.as_ref().is_none() {
            self.make_extents(&self.state.lock())?;
        }
        self.extents.as_ref().ok_or(ENOMEM)
    }

    /// Makes that lock. Who comes second with the attributes locked puts nothing in its place.
    fn make_extents(&self, _making: &State) -> Result {
        let lock = self.subvolume.extents_of(self.number)?;
        self.extents.populate(lock);
        Ok(())
    }

    /// Keeps others from rearranging the file's extents, and from looking.
    pub(in crate::fs) fn lock_extents(&self) -> Result<RwLockWriteGuard<'_, ()>> {
        Ok(self.extents()?.write())
    }

    /// Waits until the file's extents are in order, and keeps them so.
    pub(in crate::fs) fn hold_extents(&self) -> Result<RwLockReadGuard<'_, ()>> {
        Ok(self.extents()?.read())
    }

    /// Keeps the file's extents in order if they are so now; `EAGAIN` where one would have to wait for that.
    pub(in crate::fs) fn try_hold_extents(&self) -> Result<RwLockReadGuard<'_, ()>> {
        if self.extents.as_ref().is_none() {
            // Who never waits would never have one, if others had to make it.
            let making = self.state.try_lock().ok_or(EAGAIN)?;
            self.make_extents(&making)?;
        }
        self.extents()?.try_read().ok_or(EAGAIN)
    }

    /// Whether it is known that no inline extent is longer than a sector.
    pub(in crate::fs) fn has_short_inline(&self) -> bool {
        self.has_short_inline.load(Ordering::Relaxed)
    }

    /// No inline extent is longer than a sector.
    pub(in crate::fs) fn note_short_inline(&self) {
        self.has_short_inline.store(true, Ordering::Relaxed);
    }

    /// Whether the attributes are newer than the inode item.
    pub(in crate::fs) fn is_noted(&self) -> bool {
        self.state.lock().dirty
    }

    /// The inode item's key.
    pub(in crate::fs) fn key(&self) -> Key {
        Key {
            objectid: self.number,
            kind: Kind::INODE_ITEM,
            offset: 0,
        }
    }

    /// The key of one of the inode's items; what the third number means is the kind's matter.
    pub(in crate::fs) fn key_of(&self, kind: Kind, third: u64) -> Key {
        Key {
            objectid: self.number,
            kind,
            offset: third,
        }
    }

    /// The key of the piece of the file that begins at `at`.
    pub(in crate::fs) fn extent_key(&self, at: FileOffset) -> Key {
        self.key_of(Kind::EXTENT_DATA, at.get())
    }

    /// Changes the attributes, in memory and in the tree. After an error neither changed.
    pub(in crate::fs) fn change<R>(
        &self,
        txn: &dyn Allocate,
        change: impl FnOnce(&mut Attributes) -> R,
    ) -> Result<R> {
        let mut state = self.state.lock();
        let mut attributes = state.attributes;
        let result = change(&mut attributes);
        attributes.transid = txn.generation();
        let tree = self.subvolume.tree();
        tree.update(txn, &self.key(), |item| attributes.write_to(item))??;
        txn.note_inode(tree.id())?;
        state.attributes = attributes;
        state.dirty = false;
        Ok(result)
    }

    /// Changes as [`Self::change`] does what `changes` says of the attributes as they are.
    pub(in crate::fs) fn change_by(
        &self,
        txn: &dyn Allocate,
        changes: impl FnOnce(&Attributes) -> Changes,
    ) -> Result {
        self.change(txn, |attributes| {
            let changes = changes(attributes);
            attributes.apply(&changes);
        })
    }

    /// The directory's next index: entries to come have this one or a higher one.
    pub(in crate::fs) fn next_index(&self) -> Result<u64> {
        let known = self.state.lock().next_index;
        match known {
            Some(index) => Ok(index),
            None => entries::next_index(self.subvolume.tree(), self.number),
        }
    }

    /// Takes the directory's next index. The caller has the directory locked (VFS).
    pub(in crate::fs) fn take_index(&self) -> Result<u64> {
        let index = self.next_index()?;
        self.state.lock().next_index = Some(index.checked_add(1).ok_or(ENOSPC)?);
        Ok(index)
    }

    /// A directory got or lost a name: its size is twice the bytes of its names.
    pub(in crate::fs) fn change_names(
        &self,
        txn: &dyn Allocate,
        change: impl FnOnce(Bytes) -> Bytes,
        now: &dyn Now,
    ) -> Result {
        self.change(txn, |attributes| {
            attributes.size = change(attributes.size);
            attributes.touch_contents(now.of(self));
        })
    }
}
