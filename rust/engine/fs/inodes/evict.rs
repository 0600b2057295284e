// SPDX-License-Identifier: GPL-2.0
//! Removing inodes that have no name, now or after a crash.

use crate::disk::{FileOffset, Kind, ObjectId};
use crate::fs::data::cut;
use crate::fs::filesystem::or_abort;
use crate::fs::items::orphans;
use crate::fs::{Inode, Inodes, Subvolume};
use crate::txn::{Handle, Units};
use latch::prelude::*;

/// Where a file begins.
const START: FileOffset = FileOffset::new(0);

/// How much is removed with one handle.
struct Batch {
    items: usize,
    units: Units,
}

/// The leaves of neighbours, twice, and the orphan item.
const BATCH: Batch = Batch {
    items: 128,
    units: Units::updates(17),
};

/// On a tiny volume that is full no more is to be had: less than an unlink takes.
const LITTLE: Batch = Batch {
    items: 2,
    units: Units::updates(5),
};

/// What is left of an inode after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// The trees have nothing of it.
    Nothing,
    /// Another batch has to follow.
    Some,
}

impl Inodes<'_> {
    /// Removes an inode without names that nobody has open: data, attributes, orphan item, in batches. A crash in between
    /// leaves the orphan item for [`Self::clean_orphans`], and an error for [`Self::clean_left`], too. `EINVAL` for an inode that
    /// has a name.
    pub fn evict(&self, inode: &Inode) -> Result {
        if inode.attributes().nlink != 0 {
            return Err(EINVAL);
        }
        self.remove(inode).inspect_err(|_| {
            // Where there is no memory for that, the next mount finds it.
            let _ = inode.subvolume().note_left(inode.number());
        })
    }

    /// Tries once more to remove what [`Self::evict`] has left of inodes, in all subvolumes in use; of the others they are
    /// orphans, which are cleaned when these are used again. An error: some are left still.
    pub fn clean_left(&self) -> Result {
        let (mut from, mut result) = (Some(ObjectId::new(0)), Ok(()));
        while let Some(subvolume) = from.and_then(|from| self.fs.in_use.ceiling(from)) {
            let cleaned = subvolume.clean_left(|number| self.clean_orphan(&subvolume, number));
            result = result.and(cleaned);
            from = subvolume.id().next();
        }
        result
    }

    fn remove(&self, inode: &Inode) -> Result {
        loop {
            let (handle, items) = match self.fs.start_freeing(inode.subvolume(), BATCH.units) {
                Err(error) if error == ENOSPC => (
                    self.fs.start_freeing(inode.subvolume(), LITTLE.units)?,
                    LITTLE.items,
                ),
                started => (started?, BATCH.items),
            };
            let _extents = inode.lock_extents()?;
            if or_abort(&handle, self.evict_some(&handle, inode, items))? == Rest::Nothing {
                return Ok(());
            }
        }
    }

    /// Removes one batch of an inode.
    fn evict_some(&self, handle: &Handle, inode: &Inode, items: usize) -> Result<Rest> {
        let dropped = cut::drop_tail(inode, handle, START, self.fs.sector_size(), items)?;
        if dropped.reached == START && remove_rest(handle, inode, items)? == Rest::Nothing {
            return Ok(Rest::Nothing);
        }
        inode.change(handle, |attributes| {
            attributes.nbytes = attributes.nbytes.saturating_sub(dropped.bytes);
            attributes.size = attributes.size.min(dropped.reached.before());
        })?;
        Ok(Rest::Some)
    }

    /// Finishes what a crash cut: removes inodes without names, and notes of those that have some. It does its work once,
    /// where the subvolume may be written, and before the first inode in it is made without a name or loses its last: that
    /// one may be open. Returns how many it treated.
    pub fn clean_orphans(&self, subvolume: &Subvolume) -> Result<u64> {
        if self.fs.check_writable(subvolume).is_err() {
            return Ok(0);
        }
        subvolume.clean_orphans_once(|| self.clean_all(subvolume))
    }

    /// As [`Self::clean_orphans`], for whoever does something else: an error is logged, and the rest left to the next mount.
    /// `EROFS` where the subvolume may not be written.
    pub fn try_clean_orphans(&self, subvolume: &Subvolume) -> Result {
        self.fs.check_writable(subvolume)?;
        if let Err(error) = subvolume.clean_orphans_once(|| self.clean_all(subvolume)) {
            let tree = subvolume.id();
            pr_warn!("tree {tree}: orphans cannot be cleaned: {error:?}\n");
        }
        Ok(())
    }

    fn clean_all(&self, subvolume: &Subvolume) -> Result<u64> {
        let (mut from, mut count) = (0, 0_u64);
        while let Some(number) = orphans::first(subvolume.tree(), from)? {
            self.clean_orphan(subvolume, number)?;
            count = count.saturating_add(1);
            match number.next() {
                Some(next) => from = next.get(),
                None => break,
            }
        }
        if count > 0 {
            pr_info!("tree {}: cleaned {count} orphans\n", subvolume.id());
        }
        Ok(count)
    }

    fn clean_orphan(&self, subvolume: &Subvolume, number: ObjectId) -> Result {
        match self.get(subvolume, number) {
            Ok(inode) if inode.attributes().nlink == 0 => return self.remove(&inode),
            // The note of a truncate, or of another inode that had the number before: C leaves the inode alone, too.
            Ok(_) => {}
            Err(error) if error == ESTALE => {}
            Err(error) => return Err(error),
        }
        let handle = self.fs.start_freeing(subvolume, Units::updates(1))?;
        orphans::remove(subvolume.tree(), &handle, number)
    }
}

/// Removes what is left of an inode without data, the inode item and the orphan item last.
fn remove_rest(handle: &Handle, inode: &Inode, items: usize) -> Result<Rest> {
    let tree = inode.subvolume().tree();
    let first = inode.key_of(Kind::new(Kind::INODE_ITEM.get().saturating_add(1)), 0);
    let last = inode.key_of(Kind::new(u8::MAX), u64::MAX);
    // Most have none, and to look costs less than to lock for writing.
    let next = tree.ceiling(&first, |key, _| key)?;
    if next.is_some_and(|key| key <= last) {
        let removed = tree.remove_range(handle, &first, &last, items)?;
        if removed == items {
            return Ok(Rest::Some);
        }
    }
    match tree.remove(handle, &inode.key()) {
        // Whoever guesses its number by a file handle ends here as well.
        Err(error) if error == ENOENT => {}
        removed => removed?,
    }
    orphans::remove(tree, handle, inode.number())?;
    Ok(Rest::Nothing)
}
