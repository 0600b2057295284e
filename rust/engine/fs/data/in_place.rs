// SPDX-License-Identifier: GPL-2.0
//! Writing to preallocated space where it is.
//!
//! Bytes that go there have their address before they are written, and need no other. [`InPlaceWrites::find`] says where; when
//! the device has them, [`InPlaceWrites::finish`] makes the piece a written one, cut out of the unwritten one around it, and
//! joins it with the written ones beside it. In between the file's items say that nothing is there, and so they do after a
//! crash.
//!
//! A snapshot that is made in between has the extent, too, and reads zeroes: its item stays an unwritten one, and from then on
//! both write elsewhere. Who has promised bytes no other space keeps snapshots away as long (`promise`).

use super::extents::{self, cut};
use super::piece::{pass_sums, Piece};
use super::report::piece_at;
use super::{InPlaceWrites, MappingKind, WriteKind};
use crate::btree::Allocate;
use crate::disk::{Bug, Bytes, ExtentState, FileOffset, InodeFlags, Key, Logical, RegularExtent};
use crate::fs::filesystem::or_abort;
use crate::fs::{Inode, WriteReservation};
use crate::space::Class;
use crate::txn::{Handle, Sharing};
use core::ops::Range;
use latch::prelude::*;

/// Who gives up a range of a file waits until no write of it is under way.
const GONE: Bug = Bug::new("space that was written in place is not the file's any more");

/// Bytes that the device has where the file's preallocated space is.
pub struct WrittenInPlace {
    /// Where in the file, in whole sectors.
    pub range: Range<FileOffset>,
    /// Where on the volume, as [`InPlaceWrites::find`] said.
    pub logical: Logical,
    /// One checksum for each sector, back to back; empty for files without.
    pub checksums: KVVec<u8>,
    /// The file's size is raised to this if it is smaller.
    pub new_size: Bytes,
    /// What entering it takes; what it has for data is given back.
    pub reservation: WriteReservation,
}

impl WrittenInPlace {
    /// How many bytes there are.
    pub fn bytes(&self) -> Bytes {
        self.range.end.saturating_since(self.range.start)
    }

    /// The first `len` bytes are lost, whole sectors: their space stays unwritten.
    pub fn lose_front(&mut self, len: Bytes) -> Result {
        let promised = self.reservation.split_kinds(len, len)?;
        self.pass(len);
        drop(promised);
        Ok(())
    }

    /// The first `len` bytes of the write.
    fn front(&self, len: Bytes) -> Piece<'_> {
        Piece::front(
            &self.checksums,
            self.range.start,
            (len, self.bytes()),
            self.new_size,
        )
    }

    /// The first `len` bytes do not belong to the write any more.
    fn pass(&mut self, len: Bytes) {
        let all = self.bytes();
        pass_sums(&mut self.checksums, len, all);
        self.range.start = self.range.start.saturating_add(len);
        self.logical = self.logical.saturating_add(len);
    }
}

/// Space to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// Where the first byte goes.
    pub logical: Logical,
    /// How many bytes there are.
    pub len: Bytes,
}

/// What is to become of bytes that are about to be dirty, as far as one answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// What becomes of them.
    pub kind: WriteKind,
    /// How many bytes there are of this kind; at most what was asked for, and not always all.
    pub len: Bytes,
}

/// How many pieces of a file [`InPlaceWrites::place`] looks at.
const MOST_PIECES: u32 = 64;

impl InPlaceWrites<'_> {
    /// What is to become of bytes at `offset`, for at most `max_len` of them. The answer may be old at once: who promises
    /// space by it asks [`Self::is_possible`] when nobody can write there any more.
    pub fn place(&self, inode: &Inode, offset: FileOffset, max_len: Bytes) -> Result<Placed> {
        if !self.may_have_space(inode) {
            let kind = WriteKind::Cow;
            return Ok(Placed { kind, len: max_len });
        }
        let mut all = self.place_one(inode, offset, max_len)?;
        for _ in 1..MOST_PIECES {
            let left = max_len.saturating_sub(all.len);
            if left == Bytes::ZERO {
                break;
            }
            let next = self.place_one(inode, offset.saturating_add(all.len), left)?;
            if next.kind != all.kind {
                break;
            }
            all.len = all.len.saturating_add(next.len);
        }
        Ok(all)
    }

    /// Answers as [`Self::place`] does, and for all of them, for a caller that must not wait: `EAGAIN` where the answer is not
    /// in memory, and where some of the bytes may be written in place.
    pub fn place_cached(&self, inode: &Inode, offset: FileOffset, len: Bytes) -> Result<Placed> {
        let (mut at, end) = (offset, offset.saturating_add(len));
        let mappings = self.fs.mappings();
        while self.may_have_space(inode) && at < end {
            let found = mappings.find_cached(inode, at, end.saturating_since(at))?;
            if let MappingKind::Prealloc { .. } = found.kind {
                return Err(EAGAIN);
            }
            at = at.saturating_add(found.len);
        }
        let kind = WriteKind::Cow;
        Ok(Placed { kind, len })
    }

    /// Whether a file may have space to be written in place at all.
    fn may_have_space(&self, inode: &Inode) -> bool {
        self.fs.transactions().volume().rules().rewrites_in_place()
            && inode.attributes().flags.contains(InodeFlags::PREALLOC)
            && !inode.subvolume().promises_nothing()
    }

    /// What is to become of the bytes of one piece of a file.
    fn place_one(&self, inode: &Inode, offset: FileOffset, max_len: Bytes) -> Result<Placed> {
        let found = self.fs.mappings().find(inode, offset, max_len)?;
        let mut placed = Placed {
            kind: WriteKind::Cow,
            len: found.len,
        };
        if let MappingKind::Prealloc { .. } = found.kind {
            if let Some(space) = self.find(inode, offset, found.len)? {
                placed.kind = WriteKind::InPlace;
                placed.len = space.len;
            }
        }
        Ok(placed)
    }

    /// Whether all of `range`, of which [`Self::place`] said so, can still be written in place. What is promised so stays so,
    /// as long as nobody else writes to the range or gives it up.
    pub fn is_possible(&self, inode: &Inode, range: Range<FileOffset>) -> Result<bool> {
        let _extents = inode.hold_extents()?;
        let mut at = range.start;
        while at < range.end {
            match piece_at(inode, at)? {
                Some((key, piece)) if is_own_space(inode, &piece) => {
                    at = extents::start_of(&key).saturating_add(piece.len);
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The unwritten space that the file alone has at `offset`, for at most `max_len` bytes; `None` where bytes need another
    /// place. It stays the file's until the caller, who keeps others from giving up the range, has written to it.
    pub fn find(
        &self,
        inode: &Inode,
        offset: FileOffset,
        max_len: Bytes,
    ) -> Result<Option<InPlace>> {
        let txns = self.fs.transactions();
        // Nothing is changed: no space, and no wait where somebody waits for the end of a write. Nor is it asked whether the
        // volume may be written: what was promised before it was made read-only goes to its place.
        let handle = txns.join_with(txns.space().reserve_nothing(Class::Metadata))?;
        let _extents = inode.hold_extents()?;
        let Some((key, piece)) = piece_at(inode, offset)? else {
            return Ok(None);
        };
        let start = extents::start_of(&key);
        let within = offset.saturating_since(start);
        let Some(logical) = piece.address_of(within) else {
            return Ok(None);
        };
        if !is_own_space(inode, &piece) {
            return Ok(None);
        }
        let data = extents::reference(inode, start, &piece);
        let sharing = txns.sharing(Some(&handle), &data, &[])?;
        let len = piece.len.saturating_sub(within).min(max_len);
        Ok((sharing == Sharing::Alone).then_some(InPlace { logical, len }))
    }

    /// Makes the space that was written to a written piece of the file, in one transaction.
    pub fn finish(&self, inode: &Inode, written: WrittenInPlace) -> Result {
        let all = Piece {
            start: written.range.start,
            len: written.bytes(),
            checksums: &written.checksums,
            new_size: written.new_size,
        };
        let metadata = written.reservation.take_metadata()?;
        let handle = self.fs.transactions().join_with(metadata)?;
        self.record(inode, &handle, written.logical, &all)
    }

    /// Does what [`Self::finish`] does for the first `len` bytes, whole sectors, which alone are known to be on the device. What is
    /// left is the rest, also after an error.
    pub fn finish_front(&self, inode: &Inode, written: &mut WrittenInPlace, len: Bytes) -> Result {
        // It has all the metadata there is, as [`Data::finish_front`] has.
        let metadata = written.reservation.take_metadata()?;
        let reservation = written.reservation.split_kinds(len, len)?;
        let joined = self.fs.transactions().join_with(metadata);
        let recorded = joined.and_then(|handle| {
            let front = written.front(len);
            let recorded = self.record(inode, &handle, written.logical, &front);
            // Also where it failed, as there.
            written.reservation.add_metadata(handle.take_rest());
            recorded
        });
        written.pass(len);
        drop(reservation);
        recorded
    }

    /// Records bytes that the device has.
    fn record(
        &self,
        inode: &Inode,
        handle: &Handle,
        logical: Logical,
        written: &Piece<'_>,
    ) -> Result {
        let _extents = inode.lock_extents()?;
        let piece = RegularExtent {
            generation: handle.generation(),
            state: ExtentState::Written,
            ..unwritten(inode, logical, written)?
        };
        let (at, joined) = join(inode, written.start, piece);
        let reference = extents::reference(inode, at, &joined);
        // First: the extent must not lose its last reference in between.
        handle.share_data(&reference)?;
        let dropped = match cut::replace(inode, handle, at, &joined) {
            Ok(dropped) => dropped,
            Err(error) => {
                handle.release_data(&reference)?;
                return Err(error);
            }
        };
        let (data, lens) = (self.fs.data(), (dropped, joined.len));
        let rest = data.record_rest(handle, inode, logical, written, lens);
        or_abort(handle, rest)
    }
}

/// Whether a piece is unwritten space that no snapshot has. What a snapshot may have is not asked for: it may go on to have
/// it.
fn is_own_space(inode: &Inode, piece: &RegularExtent) -> bool {
    piece.state == ExtentState::Preallocated
        && piece.generation > inode.subvolume().tree().last_snapshot()
}

/// The part of the file's unwritten piece that was written to.
fn unwritten(inode: &Inode, logical: Logical, written: &Piece<'_>) -> Result<RegularExtent> {
    let (start, len) = (written.start, written.len);
    let (key, piece) = piece_at(inode, start)?.ok_or(GONE)?;
    let within = start.saturating_since(extents::start_of(&key));
    let is_there = piece.state == ExtentState::Preallocated
        && piece.address_of(within) == Some(logical)
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

/// `piece` at `start` together with the written pieces on both sides that have the bytes of the same extent before and behind
/// its own; and where they begin. A file that is written in small steps, in whatever order, had an item for each of them otherwise.
/// One that cannot be read stays apart.
fn join(inode: &Inode, start: FileOffset, piece: RegularExtent) -> (FileOffset, RegularExtent) {
    let (mut at, mut joined) = (start, piece);
    let before = match start.get().checked_sub(1) {
        Some(before) => piece_at(inode, FileOffset::new(before)).unwrap_or(None),
        None => None,
    };
    if let Some((left_at, left)) = beside(inode, &before, (start, &piece)) {
        at = left_at;
        joined.offset = left.offset;
        joined.len = joined.len.saturating_add(left.len);
    }
    let behind = piece_at(inode, start.saturating_add(piece.len)).unwrap_or(None);
    if let Some((_, right)) = beside(inode, &behind, (start, &piece)) {
        joined.len = joined.len.saturating_add(right.len);
    }
    (at, joined)
}

/// The neighbour `found` of `piece`, if it can be one with it: written bytes of its extent, that the file has in the same
/// order. One that a snapshot may have stays apart: a joined piece counts as younger than that.
fn beside<'a>(
    inode: &Inode,
    found: &'a Option<(Key, RegularExtent)>,
    (start, piece): (FileOffset, &RegularExtent),
) -> Option<(FileOffset, &'a RegularExtent)> {
    let (key, other) = found.as_ref()?;
    let at = extents::start_of(key);
    let is_same = other.state == ExtentState::Written
        && other.compression == piece.compression
        && (other.disk_addr, other.disk_len) == (piece.disk_addr, piece.disk_len)
        && other.ram_bytes == piece.ram_bytes
        && other.extent_start(at) == piece.extent_start(start)
        && other.generation > inode.subvolume().tree().last_snapshot();
    is_same.then_some((at, other))
}
