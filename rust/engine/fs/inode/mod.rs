// SPDX-License-Identifier: GPL-2.0
//! An inode in use: its attributes as they go to disk.
//!
//! | module       | what it has                                                       |
//! |--------------|-------------------------------------------------------------------|
//! | `attributes` | the attributes, and what may be changed of them                    |
//! | `create`     | making inodes, with a name or without                              |
//! | `flags`      | an inode's flags, and the property that names its compression        |
//! | `now`        | the moment of a change                                             |
//! | `evict`      | removing inodes that have no name, now or after a crash            |
//! | `orphans`    | the notes by which a mount finds inodes without names               |
//! | `refs`       | an inode's names as items beside it                                |
//! | `xattr`      | extended attributes and symbolic link targets                       |

mod attributes;
mod create;
mod evict;
mod flags;
mod now;
pub(super) mod orphans;
pub(super) mod refs;
mod xattr;

pub use attributes::{Changes, Times};
pub use create::{New, NewKind};
pub use flags::Compression;
pub use now::Now;
pub use xattr::XattrMode;

use crate::btree::Allocate;
use crate::disk::{Bytes, FileOffset, Flaw, InodeItem, Key, Kind, ObjectId, Place};
use crate::fs::names::entries;
use crate::fs::{items, Attributes, FileSystem, Subvolume};
use crate::txn::{Handle, Units};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An inode in use. The VFS keeps one per inode number and subvolume; the engine keeps no table.
///
/// The attributes are the truth for what goes to disk; the VFS inode mirrors them after every operation.
pub struct Inode {
    subvolume: Subvolume,
    number: ObjectId,
    /// Held for writing while the file's extent items are rearranged, and for reading by who must not see that half
    /// done. Outside `state`.
    extents: RwLock<()>,
    state: Mutex<State>,
    /// It was looked at, and no inline extent is longer than a sector. None becomes so.
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
            extents: RwLock::new((), Rank::InodeExtents)?,
            state: Mutex::new(state, Rank::InodeState)?,
            has_short_inline: AtomicBool::new(false),
        };
        Ok(Arc::new(inode, GFP_NOFAIL)?)
    }

    /// The subvolume it lives in.
    pub fn subvolume(&self) -> &Subvolume {
        &self.subvolume
    }

    /// Its number, unique in the subvolume.
    pub fn number(&self) -> ObjectId {
        self.number
    }

    /// A copy of the attributes.
    pub fn attributes(&self) -> Attributes {
        self.state.lock().attributes
    }

    /// Shows the attributes while nobody changes them: who keeps a copy for others to see writes it in here, and in what is
    /// passed to [`Self::note_times_by`] and [`Inodes::set_attributes_by`], so that no older one comes after a newer.
    pub fn show(&self, show: impl FnOnce(&Attributes)) {
        show(&self.state.lock().attributes);
    }

    /// Whether this is the directory at the top of its subvolume.
    pub fn is_subvolume_root(&self) -> bool {
        self.number == self.subvolume.root_directory()
    }

    /// Notes times in memory; they go out with the next change or by [`Inodes::write_attributes`].
    pub fn note_times(&self, times: &Times) {
        self.state.lock().note(times);
    }

    /// As [`Self::note_times`], with what `times` says while nobody else changes the attributes. After an error nothing
    /// is noted.
    pub fn note_times_by(&self, times: impl FnOnce() -> Result<Times>) -> Result {
        let mut state = self.state.lock();
        state.note(&times()?);
        Ok(())
    }

    /// As [`Self::note_times_by`]; `EAGAIN` where others are at the attributes.
    pub fn try_note_times_by(&self, times: impl FnOnce() -> Result<Times>) -> Result {
        let mut state = self.state.try_lock().ok_or(EAGAIN)?;
        state.note(&times()?);
        Ok(())
    }

    /// Keeps others from rearranging the file's extents, and from looking.
    pub(in crate::fs) fn lock_extents(&self) -> RwLockWriteGuard<'_, ()> {
        self.extents.write()
    }

    /// Waits until the file's extents are in order, and keeps them so.
    pub(in crate::fs) fn hold_extents(&self) -> RwLockReadGuard<'_, ()> {
        self.extents.read()
    }

    /// Keeps the file's extents in order if they are so now; `None` where one would have to wait for that.
    pub(in crate::fs) fn try_hold_extents(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.extents.try_read()
    }

    /// Whether it is known that no inline extent is longer than a sector.
    pub(in crate::fs) fn has_short_inline(&self) -> bool {
        self.has_short_inline.load(Ordering::Relaxed)
    }

    /// No inline extent is longer than a sector.
    pub(in crate::fs) fn note_short_inline(&self) {
        self.has_short_inline.store(true, Ordering::Relaxed);
    }

    /// The inode item's key.
    pub(in crate::fs) fn key(&self) -> Key {
        Key {
            objectid: self.number,
            kind: Kind::INODE_ITEM,
            offset: 0,
        }
    }

    /// The key of one of the inode's items.
    pub(in crate::fs) fn key_of(&self, kind: Kind, offset: u64) -> Key {
        Key {
            objectid: self.number,
            kind,
            offset,
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

    /// As [`Self::change`], what `changes` says of the attributes as they are.
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

/// What is said of an inode that is not there.
#[cold]
fn missing(subvolume: &Subvolume, number: ObjectId) -> Error {
    if number != subvolume.root_directory() {
        return ESTALE;
    }
    let flaw = Flaw::missing("topmost directory of a subvolume is missing");
    flaw.at(Place::Inode(subvolume.id(), number)).report()
}

/// The inodes of a file system.
#[derive(Clone, Copy)]
pub struct Inodes<'a> {
    pub(super) fs: &'a FileSystem,
}

impl Inodes<'_> {
    /// Reads an inode. `ESTALE` where there is none; the top of a subvolume is always there. The caller sees to it that it makes no second object.
    pub fn get(&self, subvolume: &Subvolume, number: ObjectId) -> Result<Arc<Inode>> {
        let key = Key::new(number.get(), Kind::INODE_ITEM, 0);
        let attributes = items::get(subvolume.tree(), &key, InodeItem::parse)?;
        let attributes = attributes.ok_or_else(|| missing(subvolume, number))?;
        Inode::new(subvolume, number, attributes)
    }

    /// The inode of the subvolume's topmost directory.
    pub fn root(&self, subvolume: &Subvolume) -> Result<Arc<Inode>> {
        self.get(subvolume, subvolume.root_directory())
    }

    /// The number of the directory that `inode` is in, for NFS; of several one. `None` for the top of a subvolume and
    /// for an inode without names.
    pub fn parent(&self, inode: &Inode) -> Result<Option<ObjectId>> {
        if inode.is_subvolume_root() {
            return Ok(None);
        }
        refs::parent(inode.subvolume().tree(), inode.number())
    }

    /// Changes attributes and writes them, in one transaction. `EROFS`, `ENOSPC`.
    pub fn set_attributes(&self, inode: &Inode, changes: &Changes) -> Result {
        self.set_attributes_by(inode, |_| *changes)
    }

    /// As [`Self::set_attributes`], with what `changes` says while nobody else changes the attributes. It is asked at most
    /// once, and not where space or the right to write is missing.
    pub fn set_attributes_by(
        &self,
        inode: &Inode,
        changes: impl FnOnce(&Attributes) -> Changes,
    ) -> Result {
        let handle = self.fs.start(inode.subvolume(), Units::updates(1))?;
        inode.change_by(&handle, changes)
    }

    /// Writes what [`Inode::note_times`] left in memory; nothing if nothing was left. Where there is no space they stay there:
    /// `ENOSPC`.
    pub fn write_attributes(&self, inode: &Inode) -> Result {
        self.write_noted(inode, FileSystem::start)
    }

    /// As [`Self::write_attributes`], for an fsync: a change of one item that is there may draw on the global reserve, as
    /// what gives space back does. Times that nobody waits for must not: they would use up what removing needs.
    pub(super) fn sync_attributes(&self, inode: &Inode) -> Result {
        self.write_noted(inode, FileSystem::start_freeing)
    }

    fn write_noted(
        &self,
        inode: &Inode,
        start: impl FnOnce(&FileSystem, &Subvolume, Units) -> Result<Handle>,
    ) -> Result {
        if !inode.state.lock().dirty {
            return Ok(());
        }
        let handle = start(self.fs, inode.subvolume(), Units::updates(1));
        if handle.as_ref().err() == Some(&ENOSPC) {
            pr_warn!("no space for the times of inode {}\n", inode.number());
        }
        inode.change(&handle?, |_| ())
    }
}
