// SPDX-License-Identifier: GPL-2.0
//! Writing to preallocated space where it is.
//!
//! Bytes that go there have their address before they are written, and need no other. [`Data::find_in_place`] says where; when
//! the device has them, [`Data::finish_in_place`] makes the piece a written one, cut out of the unwritten one around it. In
//! between the file's items say that nothing is there, and so they do after a crash.
//!
//! A snapshot that is made in between has the extent, too, and reads zeroes: its item stays an unwritten one, and from then on
//! both write elsewhere.

use super::report::piece_at;
use super::Data;
use super::{cut, extents};
use crate::btree::Allocate;
use crate::disk::{Bug, ExtentState, FileOffset, Logical, RegularExtent};
use crate::fs::filesystem::or_abort;
use crate::fs::{Inode, WriteReservation};
use crate::txn::{Handle, Sharing, Units};
use core::ops::Range;
use latch::prelude::*;

/// Who gives up a range of a file waits until no write of it is under way.
const GONE: Bug = Bug::new("space that was written in place is not the file's any more");

/// Bytes that the device has where the file's preallocated space is.
pub struct WrittenInPlace {
    /// Where in the file, in whole sectors.
    pub range: Range<FileOffset>,
    /// Where on the volume, as [`Data::find_in_place`] said.
    pub logical: Logical,
    /// One checksum for each sector, back to back; empty for files without.
    pub checksums: KVVec<u8>,
    /// The file's size is raised to this if it is smaller.
    pub new_size: u64,
    /// What entering it takes; what it has for data is given back.
    pub reservation: WriteReservation,
}

/// Space to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// Where the first byte goes.
    pub logical: Logical,
    /// How many bytes there are.
    pub len: u64,
}

impl Data<'_> {
    /// The unwritten space that the file alone has at `offset`, for at most `max_len` bytes; `None` where bytes need another
    /// place. It stays the file's until the caller, who keeps others from giving up the range, has written to it.
    pub fn find_in_place(
        &self,
        inode: &Inode,
        offset: FileOffset,
        max_len: u64,
    ) -> Result<Option<InPlace>> {
        let handle = self.fs.start(inode.subvolume(), Units::inserts(0))?;
        let _extents = inode.hold_extents();
        let Some((key, piece)) = piece_at(inode, offset)? else {
            return Ok(None);
        };
        let start = extents::start_of(&key);
        let within = offset.saturating_since(start);
        let (ExtentState::Preallocated, Some(logical)) = (piece.state, piece.address_of(within))
        else {
            return Ok(None);
        };
        // What a snapshot may have is not asked for: it may go on to have it.
        if piece.generation <= inode.subvolume().tree().last_snapshot() {
            return Ok(None);
        }
        let data = extents::reference(inode, start, &piece);
        let sharing = self.fs.transactions().sharing(Some(&handle), &data, &[])?;
        let len = piece.len.saturating_sub(within).min(max_len);
        Ok((sharing == Sharing::Alone).then_some(InPlace { logical, len }))
    }

    /// Makes the space that was written to a written piece of the file, in one transaction.
    pub fn finish_in_place(&self, inode: &Inode, written: WrittenInPlace) -> Result {
        let metadata = written.reservation.take_metadata()?;
        let handle = self.fs.transactions().join_with(metadata)?;
        let _extents = inode.lock_extents();
        or_abort(&handle, self.enter_in_place(&handle, inode, &written))
    }

    fn enter_in_place(&self, handle: &Handle, inode: &Inode, written: &WrittenInPlace) -> Result {
        let piece = unwritten(inode, written)?;
        let start = written.range.start;
        let piece = RegularExtent {
            generation: handle.generation(),
            state: ExtentState::Written,
            ..piece
        };
        // First: the extent must not lose its last reference in between.
        handle.share_data(&extents::reference(inode, start, &piece))?;
        let dropped = cut::replace(inode, handle, start, &piece)?;
        self.insert_checksums(handle, written.logical, &written.checksums)?;
        self.fill_hole_before(handle, inode, start)?;
        inode.change(handle, |attributes| {
            let nbytes = attributes.nbytes.saturating_sub(dropped);
            attributes.nbytes = nbytes.saturating_add(piece.len);
            attributes.size = attributes.size.max(written.new_size);
        })
    }
}

/// The part of the file's unwritten piece that was written to.
fn unwritten(inode: &Inode, written: &WrittenInPlace) -> Result<RegularExtent> {
    let start = written.range.start;
    let len = written.range.end.saturating_since(start);
    let (key, piece) = piece_at(inode, start)?.ok_or(GONE)?;
    let within = start.saturating_since(extents::start_of(&key));
    let is_there = piece.state == ExtentState::Preallocated
        && piece.address_of(within) == Some(written.logical)
        && within.saturating_add(len) <= piece.len;
    if !is_there {
        return Err(GONE.report());
    }
    Ok(RegularExtent {
        offset: piece.offset.saturating_add(within),
        len,
        ..piece
    })
}
