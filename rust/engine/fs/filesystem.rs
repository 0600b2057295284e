// SPDX-License-Identifier: GPL-2.0
//! The file system: its transactions, its parameters and the subvolumes in use.

use super::names::entries;
use super::subvolume::RootFacts;
use super::{items, Subvolume, Target};
use crate::btree::Tree;
use crate::disk::{Flaw, Format, Incompat, Key, Kind, ObjectId, Place, RootRef};
use crate::map::OrdMap;
use crate::txn::{Handle, Transactions, Units};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// Whether anything may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing reaches the devices.
    ReadOnly,
    /// As usual.
    ReadWrite,
}

/// Mount options that concern files.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Read-only or not, at first; see [`FileSystem::set_access`].
    pub access: Access,
    /// Files up to this many bytes are kept in the tree (C: `max_inline`, 2048).
    pub max_inline: u32,
    /// New files have checksums (C: `datasum`).
    pub checksums: bool,
}

impl Options {
    /// C's defaults.
    pub const fn new(access: Access) -> Self {
        Self {
            access,
            max_inline: 2048,
            checksums: true,
        }
    }
}

/// The root of the layer.
pub struct FileSystem {
    txns: Arc<Transactions>,
    format: Format,
    root_tree: Arc<Tree>,
    checksum_tree: Arc<Tree>,
    max_inline: AtomicU32,
    checksums: AtomicBool,
    read_only: AtomicBool,
    /// Those in use, so that all users of one share it. Outside tree block locks.
    subvolumes: Mutex<OrdMap<ObjectId, Arc<Subvolume>>>,
}

impl FileSystem {
    /// Opens the trees that files need. No subvolume is read before it is used.
    pub fn open(txns: Arc<Transactions>, options: Options) -> Result<Arc<FileSystem>> {
        let fs = FileSystem {
            format: *txns.volume().format(),
            root_tree: txns.tree(ObjectId::ROOT_TREE)?,
            checksum_tree: txns
                .tree(ObjectId::CSUM_TREE)
                .map_err(missing("checksum tree is missing", ObjectId::CSUM_TREE))?,
            max_inline: AtomicU32::new(options.max_inline),
            checksums: AtomicBool::new(options.checksums),
            read_only: AtomicBool::new(options.access == Access::ReadOnly),
            subvolumes: Mutex::new(OrdMap::new(), Rank::Subvolumes)?,
            txns,
        };
        Ok(Arc::new(fs, GFP_KERNEL)?)
    }

    /// The transactions under this file system.
    pub fn transactions(&self) -> &Arc<Transactions> {
        &self.txns
    }

    /// Changes between read-only and read-write (remount).
    pub fn set_access(&self, access: Access) {
        self.read_only
            .store(access == Access::ReadOnly, Ordering::Release);
    }

    /// Changes what becomes of new data and new files (remount).
    pub fn set_file_options(&self, max_inline: u32, checksums: bool) {
        self.max_inline.store(max_inline, Ordering::Relaxed);
        self.checksums.store(checksums, Ordering::Relaxed);
    }

    /// The subvolume that is mounted when no other is named.
    pub fn default_subvolume(&self) -> Result<Arc<Subvolume>> {
        let found = entries::find(&self.root_tree, ObjectId::ROOT_TREE_DIR, b"default")?;
        let id = match found {
            Some(Target::Subvolume(id)) => id,
            _ => ObjectId::FS_TREE,
        };
        self.subvolume(id)
            .map_err(missing("default subvolume is missing", id))
    }

    /// The subvolume with this id, the same object for every caller. `ENOENT` for one that is not there or is being
    /// deleted.
    pub fn subvolume(&self, id: ObjectId) -> Result<Arc<Subvolume>> {
        if !id.is_subvolume() {
            return Err(ENOENT);
        }
        let mut subvolumes = self.subvolumes.lock();
        if let Some(subvolume) = subvolumes.get(&id) {
            return Ok(subvolume.clone());
        }
        let facts = RootFacts::read(&self.root_tree, id)?;
        if facts.refs == 0 {
            return Err(ENOENT);
        }
        let subvolume = Subvolume::new(self.txns.tree(id)?, facts)?;
        subvolumes.insert(id, subvolume.clone())?;
        Ok(subvolume)
    }

    /// Where roots are.
    pub(super) fn root_tree(&self) -> &Tree {
        &self.root_tree
    }

    /// Where the data's checksums are.
    pub(super) fn checksum_tree(&self) -> &Tree {
        &self.checksum_tree
    }

    /// The constants of the format.
    pub(super) fn format(&self) -> &Format {
        &self.format
    }

    /// Bytes of a sector.
    pub(super) fn sector_size(&self) -> u64 {
        self.format.sector_size.into()
    }

    /// `bytes` up to whole sectors, or the highest whole sector.
    pub(super) fn round_up(&self, bytes: u64) -> u64 {
        let mask = self.sector_size().saturating_sub(1);
        bytes.saturating_add(mask) & !mask
    }

    /// Whether holes go without items.
    pub(super) fn has_implicit_holes(&self) -> bool {
        self.format.incompat.contains(Incompat::NO_HOLES)
    }

    /// Files up to this many bytes are kept in the tree.
    pub fn max_inline(&self) -> u32 {
        self.max_inline.load(Ordering::Relaxed)
    }

    /// Whether new files have checksums.
    pub(super) fn makes_checksums(&self) -> bool {
        self.checksums.load(Ordering::Relaxed)
    }

    /// `EROFS` where nothing may be changed.
    pub(super) fn check_writable(&self, subvolume: &Subvolume) -> Result {
        if self.read_only.load(Ordering::Acquire) || subvolume.is_read_only() {
            return Err(EROFS);
        }
        Ok(())
    }

    /// Starts a change of a subvolume.
    pub(super) fn start(&self, subvolume: &Subvolume, units: Units) -> Result<Handle> {
        self.check_writable(subvolume)?;
        self.txns.start(units)
    }

    /// Starts a change that gives space back.
    pub(super) fn start_freeing(&self, subvolume: &Subvolume, units: Units) -> Result<Handle> {
        self.check_writable(subvolume)?;
        self.txns.start_freeing(units)
    }

    /// Whether `child` has its place at this name of this directory, rather than where the snapshot was taken from.
    pub(super) fn is_placed(
        &self,
        parent: &Subvolume,
        dir: ObjectId,
        name: &[u8],
        child: ObjectId,
    ) -> Result<bool> {
        let key = Key {
            objectid: parent.id(),
            kind: Kind::ROOT_REF,
            offset: child.get(),
        };
        let found = items::get(&self.root_tree, &key, |item| {
            let place = RootRef::parse(item)?;
            Ok(place.dir == dir && place.name == name)
        })?;
        Ok(found.unwrap_or(false))
    }
}

/// Reports a tree that a mount cannot do without, where looking for it found none.
fn missing(what: &'static str, id: ObjectId) -> impl Fn(Error) -> Error {
    move |error| match error == ENOENT {
        true => Flaw::missing(what).at(Place::Tree(id)).report(),
        false => error,
    }
}

/// Passes `result` on; an error also gives the transaction up, because some of the items that belong together may be
/// there and others not.
pub(super) fn or_abort<R>(handle: &Handle, result: Result<R>) -> Result<R> {
    if let Err(error) = &result {
        handle.abort(*error);
    }
    result
}
