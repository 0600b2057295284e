// SPDX-License-Identifier: GPL-2.0
//! Giving a file space before it is written.

use super::extents::{self, cut};
use super::FileSpace;
use crate::btree::{Allocate, Reach};
use crate::disk::{
    Bytes, ExtentState, FileOffset, InodeFlags, RegularExtent, MAX_EXTENT_SIZE, MAX_FILE_END,
};
use crate::fs::filesystem::or_abort;
use crate::fs::{Inode, MappingKind, Now};
use crate::space::{Class, Reservation};
use crate::txn::{Handle, Units};
use core::ops::Range;
use latch::prelude::*;

impl FileSpace<'_> {
    /// Puts unwritten space into the holes of `[offset, offset + len)`, whole sectors, and raises the size to
    /// `new_size` if given. `ENOSPC` at once, and nothing is used, where there is less than all the holes take. `EOPNOTSUPP`
    /// on zoned volumes, where space that was passed over cannot be written later. What there was before an error that
    /// comes later, for want of metadata, is the file's, as in C.
    pub fn preallocate(
        &self,
        inode: &Inode,
        offset: FileOffset,
        len: Bytes,
        new_size: Option<Bytes>,
        now: impl Now,
    ) -> Result {
        let end = offset.checked_add(len).ok_or(EFBIG)?;
        self.ask_preallocate(inode, end)?;
        let nothing = self.fs.transactions().space().reserve_nothing(Class::Data);
        self.fill(inode, offset..end, nothing, new_size, &now)
    }

    /// What may refuse to give a file space up to `end`.
    pub(super) fn ask_preallocate(&self, inode: &Inode, end: FileOffset) -> Result {
        self.check_preallocate(inode)?;
        if end > MAX_FILE_END {
            return Err(EFBIG);
        }
        self.fs.data().check_inline(inode, Reach::Device)
    }

    /// Fills all holes of `range` as [`Self::preallocate`] does, with `data` and what it lacks.
    pub(super) fn fill(
        &self,
        inode: &Inode,
        range: Range<FileOffset>,
        data: Reservation,
        new_size: Option<Bytes>,
        now: &dyn Now,
    ) -> Result {
        let holes = self.holes(inode, range.clone())?;
        data.merge(self.reserve_all(holes.saturating_sub(data.bytes()))?);
        let mut at = range.start;
        while at < range.end {
            let wanted = range.end.saturating_since(at).min(MAX_EXTENT_SIZE);
            let found = self.fs.mappings().find(inode, at, wanted)?;
            let done = match found.kind {
                MappingKind::Hole => self.fill_hole(inode, at, found.len, &data)?,
                _ => found.len,
            };
            at = at.saturating_add(done.max(Bytes::new(1)));
        }
        if let Some(size) = new_size {
            self.fill_most_before(inode, size)?;
        }
        let handle = self
            .fs
            .start(inode.subvolume(), Units::inserts(1).and(Units::updates(1)))?;
        let _extents = inode.lock_extents()?;
        let done = self.raise_size(&handle, inode, new_size, now);
        or_abort(&handle, done)
    }

    /// Whether a file can be given space before it is written at all: `EOPNOTSUPP`, `EROFS`.
    pub fn check_preallocate(&self, inode: &Inode) -> Result {
        match self.fs.transactions().volume().rules().rewrites_in_place() {
            true => self.fs.check_writable(inode.subvolume()),
            false => Err(EOPNOTSUPP),
        }
    }

    /// Promises `bytes`. In steps, as a single promise may need no more than a few new chunks.
    pub(super) fn reserve_all(&self, bytes: Bytes) -> Result<Reservation> {
        let txns = self.fs.transactions();
        let is_too_much = || bytes > txns.space().statistics().available;
        if is_too_much() {
            txns.commit()?;
            if is_too_much() {
                return Err(ENOSPC);
            }
        }
        let all = txns.space().reserve_nothing(Class::Data);
        while all.bytes() < bytes {
            let step = bytes.saturating_sub(all.bytes()).min(MAX_EXTENT_SIZE);
            all.merge(txns.reserve_data(step)?);
        }
        Ok(all)
    }

    /// How many bytes of `range` are in holes.
    pub(super) fn holes(&self, inode: &Inode, range: Range<FileOffset>) -> Result<Bytes> {
        self.count(inode, range, |kind| matches!(kind, MappingKind::Hole))
    }

    /// How many bytes of `range` are of a kind.
    pub(super) fn count(
        &self,
        inode: &Inode,
        range: Range<FileOffset>,
        is_counted: impl Fn(&MappingKind) -> bool,
    ) -> Result<Bytes> {
        let (mut at, mut bytes) = (range.start, Bytes::ZERO);
        while at < range.end {
            let wanted = range.end.saturating_since(at);
            let found = self.fs.mappings().find(inode, at, wanted)?;
            if is_counted(&found.kind) {
                bytes = bytes.saturating_add(found.len);
            }
            at = at.saturating_add(found.len);
        }
        Ok(bytes)
    }

    /// Fills the front of a hole with an unwritten extent out of `data`, as long as one is to be had. Gives how far it came.
    fn fill_hole(
        &self,
        inode: &Inode,
        at: FileOffset,
        len: Bytes,
        data: &Reservation,
    ) -> Result<Bytes> {
        let units = Units::inserts(3).and(Units::updates(1));
        let handle = self.fs.start(inode.subvolume(), units)?;
        let _extents = inode.lock_extents()?;
        // A write may have been finished here since.
        let found = self.fs.mappings().find_held(inode, at, len)?;
        if !matches!(found.kind, MappingKind::Hole) {
            return Ok(found.len);
        }
        let len = found.len.min(data.bytes());
        if len == Bytes::ZERO {
            // Holes were made meanwhile.
            return Err(ENOSPC);
        }
        let extent = self
            .fs
            .data()
            .try_allocate(data, len, self.fs.sector_size())?;
        let len = extent.plain_len();
        let piece = extents::whole(&handle, ExtentState::Preallocated, extent.get(), len);
        let dropped = cut::replace(inode, &handle, at, &piece)?;
        extent.keep();
        let noted = note_prealloc(&handle, inode, at, &piece, dropped);
        or_abort(&handle, noted)?;
        Ok(len)
    }

    /// Gives most of the holes items that a new size will uncover, where they must have some: [`Self::raise_size`] has to pay
    /// for one.
    pub(in crate::fs) fn fill_most_before(&self, inode: &Inode, new_size: Bytes) -> Result {
        let end = FileOffset::after(self.fs.round_up(new_size));
        self.fs.data().fill_most_before(inode, end)
    }

    /// Raises the size; where holes must have items, those that this uncovers get some.
    pub(in crate::fs) fn raise_size(
        &self,
        handle: &Handle,
        inode: &Inode,
        new_size: Option<Bytes>,
        now: &dyn Now,
    ) -> Result {
        if let Some(new_size) = new_size {
            self.fs.data().fill_hole_before(
                handle,
                inode,
                FileOffset::after(self.fs.round_up(new_size)),
            )?;
        }
        inode.change(handle, |attributes| {
            attributes.size = attributes.size.max(new_size.unwrap_or(Bytes::ZERO));
            attributes.touch_contents(now.of(inode));
        })
    }
}

/// Does what is left to do when the file has the unwritten `piece`: `dropped` bytes do not count as its any more.
fn note_prealloc(
    handle: &Handle,
    inode: &Inode,
    at: FileOffset,
    piece: &RegularExtent,
    dropped: Bytes,
) -> Result {
    handle.add_data(&extents::reference(inode, at, piece))?;
    inode.change(handle, |attributes| {
        attributes.exchange_bytes(dropped, piece.len);
        attributes.flags = attributes.flags.with(InodeFlags::PREALLOC);
    })
}
