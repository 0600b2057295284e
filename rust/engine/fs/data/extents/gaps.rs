// SPDX-License-Identifier: GPL-2.0
//! Holes that have items of their own, for volumes where each must have one.

use super::cut::replace;
use super::{hole, is_extent_of, len, parse, round_up, start_of, LAST};
use crate::btree::{Allocate, Reach};
use crate::disk::{Bytes, FileOffset, InodeFlags};
use crate::fs::data::Data;
use crate::fs::filesystem::or_abort;
use crate::fs::Inode;
use crate::txn::Units;
use core::ops::{ControlFlow, Range};
use latch::prelude::*;

/// Holes that get items in one transaction.
const BATCH: usize = 64;

/// The leaves that those and the pieces between them can lie in.
fn batch_units() -> Units {
    Units::inserts(8)
}

impl Data<'_> {
    /// Where holes must have items: gives those before `start` theirs, in transactions of their own, if there are several:
    /// [`Data::fill_hole_before`] pays for one. For a caller with no handle: behind the end of the file an item of a hole says
    /// nothing, so a crash may come at any time.
    pub(in crate::fs) fn fill_most_before(&self, inode: &Inode, start: FileOffset) -> Result {
        if self.fs.has_implicit_holes() {
            return Ok(());
        }
        let sector = self.fs.sector_size();
        let mut at = FileOffset::after(self.fs.round_up(inode.attributes().size));
        while at < start && self.gap_held(inode, at)?.end < start {
            let handle = self.fs.start(inode.subvolume(), batch_units())?;
            let _extents = inode.lock_extents()?;
            let filled = fill_gaps(inode, &handle, at..start, sector, BATCH);
            at = or_abort(&handle, filled)?;
        }
        Ok(())
    }

    /// To be called before space is promised for a write that ends at `end`: where holes must have items, those that it
    /// uncovers get theirs, but for the last, which whoever finishes the write pays for. `EAGAIN` for who must not wait.
    pub fn prepare_growth(&self, inode: &Inode, end: FileOffset, reach: Reach) -> Result {
        if self.fs.has_implicit_holes() {
            return Ok(());
        }
        let attributes = inode.attributes();
        // Only preallocated pieces stand behind the end of a file, and several gaps between them.
        let uncovers = attributes.flags.contains(InodeFlags::PREALLOC)
            && end > FileOffset::after(self.fs.round_up(attributes.size));
        match reach {
            _ if !uncovers => Ok(()),
            Reach::Device => self.fill_most_before(inode, end),
            Reach::Cache => Err(EAGAIN),
        }
    }

    fn gap_held(&self, inode: &Inode, at: FileOffset) -> Result<Range<FileOffset>> {
        let _extents = inode.hold_extents()?;
        gap(inode, at, self.fs.sector_size())
    }
}

/// Gives holes in `range` items of their own, at most `most` of them, for volumes where a hole must have one. How far it
/// came.
pub(in crate::fs) fn fill_gaps(
    inode: &Inode,
    txn: &dyn Allocate,
    range: Range<FileOffset>,
    sector: Bytes,
    most: usize,
) -> Result<FileOffset> {
    let (mut at, mut filled) = (range.start, 0_usize);
    while at < range.end && filled < most {
        let next = gap(inode, at, sector)?;
        let end = next.end.min(range.end);
        if next.start < end {
            // What stands there may be an item of no bytes.
            let piece = hole(txn, end.saturating_since(next.start));
            replace(inode, txn, next.start, &piece)?;
            filled = filled.saturating_add(1);
        }
        at = next.end;
    }
    Ok(at.min(range.end))
}

/// The first range at or behind `at` that no item covers, up to the item behind it. Empty only at the end of all.
fn gap(inode: &Inode, at: FileOffset, sector: Bytes) -> Result<Range<FileOffset>> {
    let tree = inode.subvolume().tree();
    let mut start = at;
    let floor = tree.floor(&inode.extent_key(at), |key, item| {
        is_extent_of(&key, inode).then(|| {
            let extent = parse(inode, &key, item)?;
            Ok::<_, Error>(start_of(&key).saturating_add(len(&extent)))
        })
    })?;
    if let Some(found) = floor.flatten() {
        start = start.max(round_up(found?, sector));
    }
    let mut end = LAST;
    let first = inode.extent_key(start);
    let last = inode.extent_key(LAST);
    tree.scan(first..=last, |key, item| {
        if start_of(&key) > start {
            end = start_of(&key);
            return Ok(ControlFlow::Break(()));
        }
        let len = len(&parse(inode, &key, item)?);
        start = round_up(start_of(&key).saturating_add(len), sector).max(start);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(start..end.max(start))
}
