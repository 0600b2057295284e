// SPDX-License-Identifier: GPL-2.0
//! Cutting files and making holes.

use super::extents::cut::Dropped;
use super::extents::{self, cut};
use super::FileSpace;
use crate::btree::Reach;
use crate::disk::{Bytes, FileOffset, MAX_FILE_END, MAX_NODE_SIZE};
use crate::fs::filesystem::or_abort;
use crate::fs::{Compressed, CompressedData, Inode, MappingKind, Now};
use crate::space::Reservation;
use crate::txn::{Handle, Units};
use core::ops::Range;
use latch::prelude::*;

/// Items removed in one transaction.
const BATCH: usize = 128;

/// Which of the batches that a file is cut by was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// Nothing is left behind the new end.
    Last,
    /// Another batch has to follow.
    More,
}

/// The leaves that a batch of neighbours can lie in, the items it may cut in two, and the inode.
fn batch_units() -> Units {
    Units::updates(8).and(Units::inserts(2))
}

/// A file's new size, granted: all that can refuse it was asked, and what its first step may need is reserved. So the
/// page cache can be cut between asking and doing. Dropped, it has changed nothing.
#[must_use = "dropped, it has changed nothing"]
pub struct Truncation<'a> {
    space: FileSpace<'a>,
    inode: &'a Inode,
    size: Bytes,
    reservation: Reservation,
}

impl Truncation<'_> {
    /// Sets the size. Shrinking goes in batches from the end and the size follows: a crash, or an error of a later
    /// batch, leaves a shorter file that is not yet as short as asked for. The caller has zeroed the tail of the last
    /// page and no write of the cut range is under way.
    pub fn run(self, now: impl Now) -> Result {
        let (space, inode, size) = (self.space, self.inode, self.size);
        let handle = space.fs.transactions().join_with(self.reservation)?;
        // Writes that ended meanwhile may have made the file longer than it was.
        if size > inode.attributes().size {
            let _extents = inode.lock_extents()?;
            return or_abort(&handle, space.raise_size(&handle, inode, Some(size), &now));
        }
        match space.shrink_batch(handle, inode, size, &now)? {
            Batch::Last => Ok(()),
            Batch::More => space.shrink(inode, size, &now),
        }
    }
}

/// A hole, granted as a [`Truncation`] is. The page cache is emptied of it between asking and doing.
#[must_use = "dropped, it has changed nothing"]
pub struct Punch<'a> {
    space: FileSpace<'a>,
    inode: &'a Inode,
    range: Range<FileOffset>,
    reservation: Reservation,
}

impl Punch<'_> {
    /// Makes the hole, in batches from its beginning: a crash, or an error of a later batch, leaves a shorter one. No write
    /// of the range is under way, and nobody reads it until this is done: what was read in between would be old.
    pub fn run(self, now: impl Now) -> Result {
        let Self {
            space,
            inode,
            range,
            reservation,
        } = self;
        let mut handle = space.fs.transactions().join_with(reservation)?;
        let mut at = range.start;
        loop {
            let extents = inode.lock_extents()?;
            let dropped = cut::drop_range(inode, &handle, at..range.end, BATCH)?;
            let reached = dropped.reached;
            let punched = space.note_hole(&handle, inode, at, dropped, &now);
            or_abort(&handle, punched)?;
            at = reached;
            drop((extents, handle));
            if at >= range.end {
                return Ok(());
            }
            handle = space.fs.start_freeing(inode.subvolume(), batch_units())?;
        }
    }
}

impl<'a> FileSpace<'a> {
    /// Asks for a new size of a file. `EFBIG`, `EROFS`, `ENOSPC`, `EUCLEAN`; `EOPNOTSUPP` to cut within a compressed inline
    /// extent.
    pub fn ask_truncate(&self, inode: &'a Inode, size: Bytes) -> Result<Truncation<'a>> {
        if i64::try_from(size.get()).is_err() {
            return Err(EFBIG);
        }
        self.fs.check_writable(inode.subvolume())?;
        if size > Bytes::ZERO {
            self.fs.data().check_inline(inode, Reach::Device)?;
        }
        let reservation = if size > inode.attributes().size {
            self.fill_most_before(inode, size)?;
            let units = Units::inserts(1).and(Units::updates(1));
            self.fs.transactions().reserve(units)?
        } else {
            self.check_cut(inode, size)?;
            self.fs.transactions().reserve_freeing(batch_units())?
        };
        Ok(Truncation {
            space: *self,
            inode,
            size,
            reservation,
        })
    }

    /// Asks for a new size and sets it; see [`Truncation::run`].
    pub fn truncate(&self, inode: &Inode, new_size: Bytes, now: impl Now) -> Result {
        self.fs.file_space().ask_truncate(inode, new_size)?.run(now)
    }

    /// Removes all behind `new_size`, also where the size is that already.
    fn shrink(&self, inode: &Inode, new_size: Bytes, now: &dyn Now) -> Result {
        self.check_cut(inode, new_size)?;
        loop {
            let handle = self.fs.start_freeing(inode.subvolume(), batch_units())?;
            if self.shrink_batch(handle, inode, new_size, now)? == Batch::Last {
                return Ok(());
            }
        }
    }

    /// Removes one batch, in a transaction of its own.
    fn shrink_batch(
        &self,
        handle: Handle,
        inode: &Inode,
        new_size: Bytes,
        now: &dyn Now,
    ) -> Result<Batch> {
        let _extents = inode.lock_extents()?;
        self.shrink_some(&handle, inode, new_size, now)
    }

    /// `EOPNOTSUPP` where the new end is within bytes that are packed in the tree.
    fn check_cut(&self, inode: &Inode, new_size: Bytes) -> Result {
        if new_size == Bytes::ZERO || new_size >= Bytes::from(MAX_NODE_SIZE) {
            return Ok(());
        }
        match self
            .fs
            .mappings()
            .find(inode, FileOffset::new(0), Bytes::new(1))?
            .kind
        {
            MappingKind::Compressed(Compressed {
                data: CompressedData::Inline(_),
                ram_len,
                ..
            }) if ram_len > new_size => Err(EOPNOTSUPP),
            _ => Ok(()),
        }
    }

    /// Removes one batch. Where the file's end cannot be read nothing is changed.
    fn shrink_some(
        &self,
        handle: &Handle,
        inode: &Inode,
        new_size: Bytes,
        now: &dyn Now,
    ) -> Result<Batch> {
        let (sector, end) = (self.fs.sector_size(), FileOffset::after(new_size));
        let dropped = cut::drop_tail(inode, handle, end, sector, BATCH)?;
        let done = dropped.reached <= end;
        let changed = inode.change(handle, |attributes| {
            attributes.nbytes = attributes.nbytes.saturating_sub(dropped.bytes);
            attributes.size = attributes.size.min(dropped.reached.max(end).before());
            if done {
                attributes.touch_contents(now.of(inode));
            }
        });
        or_abort(handle, changed)?;
        Ok(match done {
            true => Batch::Last,
            false => Batch::More,
        })
    }

    /// Asks for a hole of `range`, whole sectors. `EFBIG`, `EROFS`, `ENOSPC`, `EUCLEAN`.
    pub fn ask_punch(&self, inode: &'a Inode, range: Range<FileOffset>) -> Result<Punch<'a>> {
        if range.end > MAX_FILE_END {
            return Err(EFBIG);
        }
        self.fs.check_writable(inode.subvolume())?;
        self.fs.data().check_inline(inode, Reach::Device)?;
        Ok(Punch {
            space: *self,
            inode,
            range,
            reservation: self.fs.transactions().reserve_freeing(batch_units())?,
        })
    }

    /// Makes a hole known from which a batch was taken out, from `start` on.
    fn note_hole(
        &self,
        handle: &Handle,
        inode: &Inode,
        start: FileOffset,
        dropped: Dropped,
        now: &dyn Now,
    ) -> Result {
        let Dropped { bytes, reached, .. } = dropped;
        // Beyond the end of the file a hole needs no item.
        let size = self.fs.round_up(inode.attributes().size);
        let hole_end = reached.min(FileOffset::after(size));
        if !self.fs.has_implicit_holes() && hole_end > start {
            let piece = extents::hole(handle, hole_end.saturating_since(start));
            extents::insert(inode, handle, start, &piece)?;
        }
        inode.change(handle, |attributes| {
            attributes.nbytes = attributes.nbytes.saturating_sub(bytes);
            attributes.touch_contents(now.of(inode));
        })
    }
}
