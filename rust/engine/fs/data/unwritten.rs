// SPDX-License-Identifier: GPL-2.0
//! Taking bytes out of a file and leaving it the space that it was given: what is unwritten stays so.

use super::FileSpace;
use crate::disk::{Bytes, FileOffset};
use crate::fs::filesystem::or_abort;
use crate::fs::{Inode, MappingKind, Now, Punch};
use crate::space::Reservation;
use crate::txn::Units;
use core::ops::Range;
use latch::prelude::*;

/// Unwritten space for a range that is to read as zeroes, granted: all that can refuse it was asked, there is space for what
/// has none or must have other, and what the first step needs is reserved. Dropped, it has changed nothing.
#[must_use = "dropped, it has changed nothing"]
pub struct Zeroing<'a> {
    space: FileSpace<'a>,
    inode: &'a Inode,
    whole: Range<FileOffset>,
    touched: Range<FileOffset>,
    data: Reservation,
    first: Option<Punch<'a>>,
}

impl Zeroing<'_> {
    /// Does it. A crash, or an error on the way, leaves a part of the range as it was, and a part with no space.
    pub fn run(self, now: impl Now) -> Result {
        if let Some(first) = self.first {
            first.run(&now)?;
        }
        self.space.drop_written(self.inode, self.whole, &now)?;
        self.space
            .fill(self.inode, self.touched, self.data, None, &now)
    }
}

impl<'a> FileSpace<'a> {
    /// Asks for unwritten space in all of `whole`, whatever is there, and in the holes of `touched`, which has all of the
    /// former. What is written keeps no space of its own, as the last commit may still have it: `ENOSPC` where there is no
    /// other. Other errors as of [`Self::preallocate`].
    pub fn ask_zero(
        &self,
        inode: &'a Inode,
        whole: Range<FileOffset>,
        touched: Range<FileOffset>,
    ) -> Result<Zeroing<'a>> {
        self.ask_preallocate(inode, touched.end)?;
        let holes = self.holes(inode, touched.clone())?;
        let written = self.count(inode, whole.clone(), is_written)?;
        let data = self.reserve_all(holes.saturating_add(written))?;
        let first = match self.next_written(inode, whole.clone())? {
            Some(range) => Some(self.ask_punch(inode, range)?),
            None => None,
        };
        Ok(Zeroing {
            space: *self,
            inode,
            whole,
            touched,
            data,
            first,
        })
    }

    /// Takes back what a write that failed has put behind `size`, the file's size before. Space that the file was given there
    /// and that was not written to stays. The file is locked, and nobody else writes to it.
    pub fn forget_growth(&self, inode: &Inode, size: Bytes, now: impl Now) -> Result {
        let kept = FileOffset::after(self.fs.round_up(size));
        let end = FileOffset::after(self.fs.round_up(inode.attributes().size));
        // Before the size: nothing that was written is behind the end of a file.
        self.drop_written(inode, kept..end, &now)?;
        let handle = self
            .fs
            .start_freeing(inode.subvolume(), Units::updates(1))?;
        let changed = inode.change(&handle, |attributes| {
            attributes.size = attributes.size.min(size);
            attributes.touch_contents(now.of(inode));
        });
        or_abort(&handle, changed)
    }

    /// Makes holes of all in `range` that is not unwritten.
    fn drop_written(&self, inode: &Inode, range: Range<FileOffset>, now: &dyn Now) -> Result {
        let mut at = range.start;
        while let Some(next) = self.next_written(inode, at..range.end)? {
            at = next.end;
            self.ask_punch(inode, next)?.run(now)?;
        }
        Ok(())
    }

    /// The first written bytes in `range`, with what follows up to unwritten space.
    fn next_written(
        &self,
        inode: &Inode,
        range: Range<FileOffset>,
    ) -> Result<Option<Range<FileOffset>>> {
        let (mut at, mut start) = (range.start, None);
        while at < range.end {
            let wanted = range.end.saturating_since(at);
            let found = self.fs.mappings().find(inode, at, wanted)?;
            match found.kind {
                MappingKind::Prealloc { .. } if start.is_some() => break,
                MappingKind::Prealloc { .. } | MappingKind::Hole => {}
                _ => start = start.or(Some(at)),
            }
            at = at.saturating_add(found.len);
        }
        Ok(start.map(|start| start..at))
    }
}

fn is_written(kind: &MappingKind) -> bool {
    !matches!(kind, MappingKind::Hole | MappingKind::Prealloc { .. })
}
