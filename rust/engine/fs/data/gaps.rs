// SPDX-License-Identifier: GPL-2.0
//! Holes that have items of their own, for volumes where each must have one.

use super::cut::replace;
use super::extents::{hole, is_extent_of, len, parse, round_up, start_of, LAST};
use crate::btree::Allocate;
use crate::disk::FileOffset;
use crate::fs::Inode;
use core::ops::{ControlFlow, Range};
use latch::prelude::*;

/// Gives holes in `range` items of their own, for volumes where a hole must have one.
pub(in crate::fs) fn fill_gaps(
    inode: &Inode,
    txn: &dyn Allocate,
    range: Range<FileOffset>,
    sector: u64,
) -> Result {
    let mut at = range.start;
    while at < range.end {
        let next = gap(inode, at, sector)?;
        let end = next.end.min(range.end);
        if next.start < end {
            // What stands there may be an item of no bytes.
            let piece = hole(txn, end.saturating_since(next.start));
            replace(inode, txn, next.start, &piece)?;
        }
        at = next.end;
    }
    Ok(())
}

/// The first range at or behind `at` that no item covers, up to the item behind it. Empty only at the end of all.
fn gap(inode: &Inode, at: FileOffset, sector: u64) -> Result<Range<FileOffset>> {
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
