// SPDX-License-Identifier: GPL-2.0
//! Removing inodes that have no name, now or after a crash.

use crate::disk::{FileOffset, Key, Kind, ObjectId};
use crate::fs::data::extents::cut::{self, Dropped};
use crate::fs::filesystem::or_abort;
use crate::fs::items::orphans;
use crate::fs::subvolume::Left;
use crate::fs::{Inode, Inodes, Subvolume};
use crate::txn::{Handle, Units};
use latch::prelude::*;
use latch::NofsScope;

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
    /// Something is left: another batch has to follow.
    Some,
}

/// How an inode is removed.
#[derive(Clone, Copy)]
enum Pace<'a> {
    /// All of it is removed; others that give space back are waited for.
    Through,
    /// Cleaning goes on as long as this says so, and waits for nobody.
    While(&'a dyn Fn() -> bool),
}

impl Inodes<'_> {
    /// Removes an inode without names that nobody has open: data, attributes, orphan item, in batches. A crash in between
    /// leaves the orphan item for [`Self::clean_orphans`], and an error for [`Self::clean_left`], too. `EINVAL` for an inode that
    /// has a name.
    pub fn evict(&self, inode: &Inode) -> Result {
        if inode.attributes().nlink != 0 {
            return Err(EINVAL);
        }
        self.remove(inode, Pace::Through)
            .inspect_err(|_| self.leave(inode))
    }

    /// Leaves an inode without names that nobody has open to [`Self::clean_left`]; nothing is written.
    pub fn leave(&self, inode: &Inode) {
        inode.subvolume().note_left(inode.number());
    }

    /// Tries once more to remove what was left of inodes that nobody has open, in all subvolumes in use, as long as `go_on`
    /// says so; of the others they are orphans, which are cleaned when these are used again. It waits for nobody to give
    /// space back. An error: some are left still, and one of them for this reason.
    pub fn clean_left(&self, go_on: &dyn Fn() -> bool) -> Result {
        let _nofs = NofsScope::enter();
        let (mut from, mut result) = (Some(ObjectId::new(0)), Ok(()));
        while let Some(subvolume) = from.and_then(|from| self.fs.in_use.ceiling(from)) {
            // Nobody waits for the list meanwhile, and one that cannot be removed keeps no other from it.
            for number in subvolume.take_left() {
                let cleaned = self.clean_next(result, &subvolume, number, Pace::While(go_on));
                if cleaned.is_err() {
                    subvolume.note_left(number);
                    result = cleaned;
                }
            }
            from = subvolume.id().next();
        }
        result
    }

    fn remove(&self, inode: &Inode, pace: Pace<'_>) -> Result {
        loop {
            let start = |units| match pace {
                Pace::Through => self.fs.start_freeing(inode.subvolume(), units),
                Pace::While(go_on) if go_on() => {
                    self.fs.start_freeing_now(inode.subvolume(), units)
                }
                Pace::While(_) => Err(EAGAIN),
            };
            let (handle, items) = match start(BATCH.units) {
                Err(error) if error == ENOSPC => (start(LITTLE.units)?, LITTLE.items),
                started => (started?, BATCH.items),
            };
            let _extents = inode.lock_extents()?;
            if self.evict_some(&handle, inode, items)? == Rest::Nothing {
                return Ok(());
            }
        }
    }

    /// Removes one batch of an inode, of what can be read: an error that is met before the first change has no other
    /// consequence. An error behind it gives the transaction up.
    fn evict_some(&self, handle: &Handle, inode: &Inode, items: usize) -> Result<Rest> {
        let dropped = cut::drop_tail(inode, handle, START, self.fs.sector_size(), items)?;
        let rest = match dropped.reached == START {
            true => rest_of(inode),
            false => Ok(Rest::Some),
        };
        let removed = match rest {
            Ok(Rest::Some) if dropped.reached == START => remove_rest(handle, inode, items),
            // What was dropped is whole without the rest.
            rest => rest.or(Ok(Rest::Some)),
        };
        let done = removed.and_then(|left| match left {
            Rest::Nothing => remove_item(handle, inode).map(|()| left),
            Rest::Some => note_dropped(handle, inode, &dropped).map(|()| left),
        });
        rest.and(or_abort(handle, done))
    }

    /// Finishes what a crash cut: removes inodes without names, and notes of those that have some. It does its work once,
    /// before the first inode in the subvolume is made without a name or loses its last: that one may be open. Whoever calls
    /// does something else: an error is logged, and the rest left to [`Self::clean_left`]. `EROFS` where the subvolume may not
    /// be written.
    pub fn clean_orphans(&self, subvolume: &Subvolume) -> Result {
        self.fs.check_writable(subvolume)?;
        if let Err(error) = subvolume.clean_orphans_once(|left| self.clean_all(subvolume, left)) {
            let tree = subvolume.id();
            pr_warn!("tree {tree}: orphans cannot be cleaned: {error:?}\n");
        }
        Ok(())
    }

    /// Those that stay come to what is `left`: none is open yet. After `ENOSPC` and the like no other is tried.
    fn clean_all(&self, subvolume: &Subvolume, left: &mut Left) -> Result {
        let (mut from, mut count, mut result) = (0, 0_u64, Ok(()));
        while let Some(number) = orphans::first(subvolume.tree(), from)? {
            let cleaned = self.clean_next(result, subvolume, number, Pace::Through);
            match cleaned {
                Ok(()) => count = count.saturating_add(1),
                Err(_) => {
                    left.note(number);
                    result = cleaned;
                }
            }
            match number.next() {
                Some(next) => from = next.get(),
                None => break,
            }
        }
        if count > 0 {
            pr_info!("tree {}: cleaned {count} orphans\n", subvolume.id());
        }
        result
    }

    /// Cleans an orphan, unless what those before came to keeps all others, too: then it is that again.
    fn clean_next(
        &self,
        before: Result,
        subvolume: &Subvolume,
        number: ObjectId,
        pace: Pace<'_>,
    ) -> Result {
        match before {
            Err(error) if [ENOSPC, EROFS, EAGAIN].contains(&error) => Err(error),
            _ => self.clean_orphan(subvolume, number, pace),
        }
    }

    fn clean_orphan(&self, subvolume: &Subvolume, number: ObjectId, pace: Pace<'_>) -> Result {
        match self.get(subvolume, number) {
            Ok(inode) if inode.attributes().nlink == 0 => return self.remove(&inode, pace),
            // The note of a truncate, or of another inode that had the number before: C leaves the inode alone, too.
            Ok(_) => {}
            Err(error) if error == ESTALE => {}
            Err(error) => return Err(error),
        }
        let handle = self.fs.start_freeing(subvolume, Units::updates(1))?;
        orphans::remove(subvolume.tree(), &handle, number)
    }
}

fn note_dropped(handle: &Handle, inode: &Inode, dropped: &Dropped) -> Result {
    inode.change(handle, |attributes| {
        attributes.nbytes = attributes.nbytes.saturating_sub(dropped.bytes);
        attributes.size = attributes.size.min(dropped.reached.before());
    })
}

/// Whether the trees have more of an inode without data than its item. That is looked for from the end: behind it would be
/// others' leaves, which need not be readable.
fn rest_of(inode: &Inode) -> Result<Rest> {
    let last = inode
        .subvolume()
        .tree()
        .floor(&last_key(inode), |key, _| key)?;
    match last > Some(inode.key()) {
        true => Ok(Rest::Some),
        false => Ok(Rest::Nothing),
    }
}

/// Removes a batch of what an inode without data has beside its item.
fn remove_rest(handle: &Handle, inode: &Inode, items: usize) -> Result<Rest> {
    let tree = inode.subvolume().tree();
    let first = inode.key_of(Kind::new(Kind::INODE_ITEM.get().saturating_add(1)), 0);
    match tree.remove_range(handle, &first, &last_key(inode), items)? {
        removed if removed == items => Ok(Rest::Some),
        _ => Ok(Rest::Nothing),
    }
}

/// Removes the item of an inode that has nothing else, and the orphan item.
fn remove_item(handle: &Handle, inode: &Inode) -> Result {
    let tree = inode.subvolume().tree();
    tree.remove(handle, &inode.key())?;
    orphans::remove(tree, handle, inode.number())
}

/// No key of the inode is behind this one.
fn last_key(inode: &Inode) -> Key {
    inode.key_of(Kind::new(u8::MAX), u64::MAX)
}
