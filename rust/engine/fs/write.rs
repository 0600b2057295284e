// SPDX-License-Identifier: GPL-2.0
//! Writing file data: reserve at write time, allocate at writeback, finish when the device has it.

use super::{FileSystem, Inode, Time};
use crate::disk::FileOffset;
use crate::space::{DataExtent, Reservation};
use kernel::prelude::*;

/// Space promised to dirty bytes of a file: the data's, and the metadata's for finishing. Dropping it gives it back.
pub struct WriteReservation {
    data: Reservation,
    metadata: Reservation,
}

impl WriteReservation {
    /// Takes `len` data bytes and a share of the metadata out, for one of several extents. `ENOSPC` if less is left.
    pub fn split(&mut self, _len: u64) -> Result<WriteReservation> {
        Err(EOPNOTSUPP)
    }

    /// Adds what `other` has.
    pub fn merge(&mut self, _other: WriteReservation) {}

    /// Data bytes not allocated yet.
    pub fn data_len(&self) -> u64 {
        0
    }
}

/// Data that has reached the device.
pub struct FinishedWrite<'a> {
    /// Where in the file; a multiple of the sector size.
    pub offset: FileOffset,
    /// Where on the volume; its length is the piece's, the last sector padded with zeroes.
    pub extent: DataExtent,
    /// One checksum per sector, back to back; empty for files without.
    pub checksums: &'a [u8],
    /// The file's size is raised to this if it is smaller: the end of the bytes the user wrote in this piece.
    pub new_size: u64,
    /// mtime and ctime, if they changed.
    pub now: Option<Time>,
}

impl FileSystem {
    /// Promises space for dirtying `[offset, offset + len)`, whole sectors. `ENOSPC` comes from here and from nowhere
    /// later; `EROFS`, `EFBIG`.
    pub fn reserve_write(&self, _inode: &Inode, _offset: FileOffset, _len: u64) -> Result<WriteReservation> {
        Err(EOPNOTSUPP)
    }

    /// Takes an address for up to `len` bytes; may be shorter. Call again for the rest.
    pub fn allocate_write(&self, _reservation: &mut WriteReservation, _len: u64) -> Result<DataExtent> {
        Err(EOPNOTSUPP)
    }

    /// Puts data that is on the device into the file, in one transaction: what stood there before loses its
    /// references, the checksums go in, size and byte count follow. Pieces of one file may be finished at the same time.
    pub fn finish_write(
        &self,
        _inode: &Inode,
        _write: &FinishedWrite<'_>,
        _reservation: WriteReservation,
    ) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Gives an address that was allocated and not finished back: the IO failed or the file was cut.
    pub fn abandon_write(&self, _extent: DataExtent) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Puts all of a small file into the tree. `false`: it does not qualify, write it as usual.
    pub fn write_inline(
        &self,
        _inode: &Inode,
        _bytes: &[u8],
        _reservation: WriteReservation,
    ) -> Result<Option<WriteReservation>> {
        Err(EOPNOTSUPP)
    }

    /// Puts unwritten space into the holes of `[offset, offset + len)` and raises the size to `new_size` if given.
    pub fn preallocate(
        &self,
        _inode: &Inode,
        _offset: FileOffset,
        _len: u64,
        _new_size: Option<u64>,
        _now: Time,
    ) -> Result {
        Err(EOPNOTSUPP)
    }
}
