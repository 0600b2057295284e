// SPDX-License-Identifier: GPL-2.0
//! The file system: its transactions and its parameters. Its parts are handed out where they stand.

use super::progress::Progress;
use super::subvolume::SubvolumesInUse;
use super::Subvolume;
use crate::btree::Tree;
use crate::disk::{leaf_area, Bytes, Format, Incompat, InlineExtent, ObjectId, ITEM_HEAD};
use crate::txn::{Handle, Transactions, Units};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;

/// How many bytes of a file are kept in the tree at most where nothing else is said (C: `BTRFS_DEFAULT_MAX_INLINE`).
pub const MAX_INLINE: Bytes = Bytes::new(2048);

/// Mount options that concern files.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Files up to this length are kept in the tree (C: `max_inline`).
    pub max_inline: Bytes,
    /// New files have checksums (C: `datasum`).
    pub checksums: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Makes the options that C has where none are given.
    pub const fn new() -> Self {
        Self {
            max_inline: MAX_INLINE,
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
    max_inline: AtomicU64,
    checksums: AtomicBool,
    /// The subvolumes in use.
    pub(super) in_use: SubvolumesInUse,
    /// How far data has been moved out of block groups.
    pub(super) moved: Progress,
}

impl FileSystem {
    /// Opens the trees that files need. No subvolume is read before it is used.
    pub fn open(txns: Arc<Transactions>, options: Options) -> Result<Arc<FileSystem>> {
        let fs = FileSystem {
            format: *txns.volume().format(),
            root_tree: txns.required_tree(ObjectId::ROOT_TREE)?,
            checksum_tree: txns.required_tree(ObjectId::CSUM_TREE)?,
            max_inline: AtomicU64::new(options.max_inline.get()),
            checksums: AtomicBool::new(options.checksums),
            in_use: SubvolumesInUse::new()?,
            moved: Progress::new()?,
            txns,
        };
        Ok(Arc::new(fs, GFP_KERNEL)?)
    }

    /// Changes the volume's label; durable on return. `EROFS`, `ENOSPC`.
    pub fn set_label(&self, label: &[u8]) -> Result {
        self.txns.volume().check_changing()?;
        let handle = self.txns.start(Units::updates(1))?;
        self.txns.volume().superblocks().set_label(label);
        handle.note_superblock();
        handle.commit()
    }

    /// The transactions under this file system.
    pub fn transactions(&self) -> &Arc<Transactions> {
        &self.txns
    }

    /// Changes what becomes of new data and new files (remount).
    pub fn set_options(&self, options: &Options) {
        let max_inline = options.max_inline.get();
        self.max_inline.store(max_inline, Ordering::Relaxed);
        self.checksums.store(options.checksums, Ordering::Relaxed);
    }

    /// Where roots are.
    pub(super) fn root_tree(&self) -> &Arc<Tree> {
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
    pub(super) fn sector_size(&self) -> Bytes {
        self.format.sector_size.into()
    }

    /// `bytes` up to whole sectors, or the highest whole sector.
    pub(super) fn round_up(&self, bytes: Bytes) -> Bytes {
        bytes.round_up(self.sector_size())
    }

    /// Whether holes go without items.
    pub(super) fn has_implicit_holes(&self) -> bool {
        self.format.incompat.contains(Incompat::NO_HOLES)
    }

    /// Files up to this many bytes are kept in the tree.
    pub fn max_inline(&self) -> Bytes {
        Bytes::new(self.max_inline.load(Ordering::Relaxed))
    }

    /// Whether new files have checksums.
    pub fn makes_checksums(&self) -> bool {
        self.checksums.load(Ordering::Relaxed)
    }

    /// The most bytes that an inline extent can have in a leaf (C: `BTRFS_MAX_INLINE_DATA_SIZE`).
    pub(super) fn longest_inline(&self) -> Bytes {
        let node_size = self.format().node_size;
        let overhead = ITEM_HEAD.saturating_add(InlineExtent::HEAD);
        Bytes::from(leaf_area(node_size)).saturating_sub(overhead.into())
    }

    /// `EROFS` where files of `subvolume` do not change: the volume's do not, or this one is read-only.
    pub(super) fn check_writable(&self, subvolume: &Subvolume) -> Result {
        self.txns.volume().check_changing()?;
        subvolume.check_writable()
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

    /// Starts one that can be put off: it waits for nobody to give something back.
    pub(super) fn start_freeing_now(&self, subvolume: &Subvolume, units: Units) -> Result<Handle> {
        self.check_writable(subvolume)?;
        self.txns.start_freeing_now(units)
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
