// SPDX-License-Identifier: GPL-2.0
//! A subvolume: a tree with inodes, entered at its root directory.
//!
//! `promise`: what a snapshot waits for, bytes that have no other space than their preallocated.

mod promise;

pub use promise::NoPromises;
use promise::Promises;
pub(in crate::fs) use promise::{merge, split, Promise};

use crate::btree::Tree;
use crate::disk::{Flaw, Key, Kind, ObjectId, Site};
use crate::map::OrdMap;
use crate::registry::{Registered, Registry};
use crate::txn::{OpenTree, Transactions};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, NofsScope, Rank, RwLock};

/// A subvolume in use. It is in memory as long as there is one of these, and all of one subvolume share what is known of it.
#[derive(Clone)]
pub struct Subvolume(Registered<ObjectId, InUse>);

/// The lock of an inode's file extent items: held for writing while they are rearranged, and for reading by who must not see
/// that half done. It is one as long as somebody has it, so whoever moves a file's data needs no inode in memory.
pub(in crate::fs) type ExtentsLock = Registered<ObjectId, RwLock<()>>;

/// What is known of a subvolume in use.
struct InUse {
    tree: OpenTree,
    root_directory: ObjectId,
    read_only: bool,
    inode_numbers: Arc<Numbers>,
    extent_locks: Registry<ObjectId, RwLock<()>>,
    /// Held while [`super::Inodes::clean_orphans`] does its work. Inodes without names that nobody has open any more, and
    /// that could not be removed: they are known to be nobody's, as others without names are not.
    orphans: Mutex<Left>,
    /// Whether it has: from then on an inode without a name may be one that somebody has open.
    orphans_cleaned: AtomicBool,
    /// Bytes that are to be written where their preallocated space is.
    promises: Promises,
}

impl Subvolume {
    /// The subvolume's id, which is its tree's.
    pub fn id(&self) -> ObjectId {
        self.0.key()
    }

    /// The tree that has its inodes.
    pub fn tree(&self) -> &Tree {
        &self.0.tree
    }

    /// The inode number of the directory at the top, 256.
    pub fn root_directory(&self) -> ObjectId {
        self.0.root_directory
    }

    /// `EROFS` where changes of this subvolume are refused (C: `BTRFS_ROOT_SUBVOL_RDONLY`).
    pub fn check_writable(&self) -> Result {
        match self.0.read_only {
            true => Err(EROFS),
            false => Ok(()),
        }
    }

    /// Whether both are the same subvolume.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }

    /// Takes a number for a new inode. `ENOSPC` after the last.
    pub(in crate::fs) fn take_inode_number(&self) -> Result<ObjectId> {
        self.0.inode_numbers.take(self.tree())
    }

    /// The lock of the extents of the inode with this number.
    pub(in crate::fs) fn extents_of(&self, number: ObjectId) -> Result<ExtentsLock> {
        let lock = RwLock::new((), Rank::InodeExtents)?;
        self.0.extent_locks.add(number, lock)
    }

    /// What snapshots of it wait for.
    fn promises(&self) -> &Promises {
        &self.0.promises
    }

    /// Calls `clean` if nobody did before, whatever came of it, and returns when it is through.
    pub(in crate::fs) fn clean_orphans_once(
        &self,
        clean: impl FnOnce(&mut Left) -> Result,
    ) -> Result {
        if self.0.orphans_cleaned.load(Ordering::Acquire) {
            return Ok(());
        }
        // Whoever is evicted for memory is noted with the same lock.
        let _nofs = NofsScope::enter();
        let mut left = self.0.orphans.lock();
        if self.0.orphans_cleaned.load(Ordering::Acquire) {
            return Ok(());
        }
        let cleaned = clean(&mut left);
        self.0.orphans_cleaned.store(true, Ordering::Release);
        cleaned
    }

    /// An inode without names could not be removed, and nobody has it open.
    pub(in crate::fs) fn note_left(&self, number: ObjectId) {
        // To find memory must not evict an inode, which would be noted here, too.
        let _nofs = NofsScope::enter();
        self.0.orphans.lock().note(number);
    }

    /// Takes the inodes that were noted; they are noted no more.
    pub(in crate::fs) fn take_left(&self) -> KVVec<ObjectId> {
        core::mem::take(&mut self.0.orphans.lock().0)
    }
}

/// Inodes without names that nobody has open, and that could not be removed.
#[derive(Default)]
pub(in crate::fs) struct Left(KVVec<ObjectId>);

impl Left {
    /// The most that are kept in mind: those of a volume that holds more are left to the next mount.
    const MOST: usize = 1 << 16;

    /// Notes one more inode. Where there is no memory for that it is left to the next mount, too.
    pub(in crate::fs) fn note(&mut self, number: ObjectId) {
        if self.0.len() < Self::MOST {
            let _ = self.0.push(number, GFP_KERNEL);
        }
    }
}

/// Numbers that a tree's keys have as objectids and that new things get in turn.
struct Numbers {
    /// The next, once it was looked for. Outside tree block locks.
    next: Mutex<Option<u64>>,
}

impl Numbers {
    fn new(rank: Rank) -> Result<Self> {
        Ok(Self {
            next: Mutex::new(None, rank)?,
        })
    }

    /// Takes the next number: one above the highest in the tree. `ENOSPC` after the last.
    fn take(&self, tree: &Tree) -> Result<ObjectId> {
        let mut next = self.next.lock();
        let number = match *next {
            Some(number) => number,
            None => Self::first_unused(tree)?,
        };
        if number > ObjectId::LAST_FREE.get() {
            return Err(ENOSPC);
        }
        *next = Some(number.saturating_add(1));
        Ok(ObjectId::new(number))
    }

    fn first_unused(tree: &Tree) -> Result<u64> {
        let last = Key::new(ObjectId::LAST_FREE.get(), Kind::new(u8::MAX), u64::MAX);
        let highest = tree.floor(&last, |key, _| key.objectid.get())?;
        let lowest = ObjectId::FIRST_FREE.get();
        Ok(highest.map_or(lowest, |number| number.saturating_add(1).max(lowest)))
    }
}

/// The subvolumes in use.
pub(super) struct SubvolumesInUse {
    by_id: Registry<ObjectId, InUse>,
    /// Held from reading a root item until its subvolume is among those in use. Outside tree block locks. It has the inode
    /// numbers of all that were in use: what a subvolume gave out and lost again in one transaction, its tree does not
    /// tell, and file handles do.
    opening: Mutex<OrdMap<ObjectId, Arc<Numbers>>>,
}

impl SubvolumesInUse {
    /// Makes the set for a mount, when no subvolume is in use yet.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            by_id: Registry::new(Rank::Subvolumes, |_| true)?,
            opening: Mutex::new(OrdMap::new(), Rank::SubvolumeOpening)?,
        })
    }

    /// The subvolume with this id. `ENOENT` for one that is not there or is being deleted.
    pub(super) fn get(&self, txns: &Transactions, id: ObjectId) -> Result<Subvolume> {
        if !id.is_subvolume() {
            return Err(ENOENT);
        }
        let open = |numbers: &mut OrdMap<_, _>| open(txns, id, numbers);
        let found = self.by_id.get_or_make(id, &self.opening, open);
        found.map(Subvolume)
    }

    /// The one with the lowest id that is `from` or higher.
    pub(super) fn ceiling(&self, from: ObjectId) -> Option<Subvolume> {
        self.by_id.ceiling(&from).map(Subvolume)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// The number of a subvolume's topmost directory: the same in all of them, whatever the root item of the topmost one says
/// (C does not ask it). What the item names instead may be a file, or a directory that has a name elsewhere.
fn top_of(id: ObjectId, named: ObjectId) -> Result<ObjectId> {
    const TOP: ObjectId = ObjectId::FIRST_FREE;
    if named == TOP || id == ObjectId::FS_TREE {
        return Ok(TOP);
    }
    let what = "subvolume's topmost directory has another number";
    let flaw = Flaw::new(what, named.get(), TOP.get());
    Err(flaw.at(Site::Tree(id.into())).report())
}

/// Reads a subvolume into memory.
fn open(
    txns: &Transactions,
    id: ObjectId,
    numbers: &mut OrdMap<ObjectId, Arc<Numbers>>,
) -> Result<InUse> {
    let root_item = txns.root_item(id)?;
    let inode_numbers = match numbers.get(&id) {
        Some(known) => known.clone(),
        None => {
            let new = Arc::new(Numbers::new(Rank::NextInode)?, GFP_KERNEL)?;
            numbers.insert(id, new.clone())?;
            new
        }
    };
    Ok(InUse {
        tree: txns.tree(id)?,
        root_directory: top_of(id, root_item.root_dir)?,
        read_only: root_item.is_read_only(),
        inode_numbers,
        extent_locks: Registry::new(Rank::ExtentLocks, |_| true)?,
        orphans: Mutex::new(Left::default(), Rank::Orphans)?,
        orphans_cleaned: AtomicBool::new(false),
        promises: Promises::default(),
    })
}
