// SPDX-License-Identifier: GPL-2.0
//! Writing file data: reserve at write time, allocate at writeback, finish when the device has it.

use super::extents;
use super::filesystem::or_abort;
use super::{FileSystem, Inode, Time};
use crate::btree::Allocate;
use crate::disk::raw::RawFileExtentHead;
use crate::disk::{ExtentState, FileOffset, Kind, Logical, MAX_EXTENT_SIZE};
use crate::space::{DataExtent, Reservation, Space};
use crate::txn::{Handle, Units};
use kernel::sync::Arc;
use latch::prelude::*;

/// Bytes of data for which one finished extent is expected, when space is not in pieces.
const EXTENT_EXPECTED: u64 = 16 * 1024 * 1024;

/// Space promised to dirty bytes of a file: the data's, and the metadata's for finishing. Dropping it gives it back.
pub struct WriteReservation {
    data: Reservation,
    metadata: Reservation,
    /// The bytes that the metadata is for, allocated or not.
    covers: u64,
    cost: WriteCost,
}

impl WriteReservation {
    /// Takes what `len` of its bytes have: as much of the data as is not allocated yet, and a share of the metadata.
    /// `EINVAL` if it is for fewer bytes.
    pub fn split(&mut self, len: u64) -> Result<WriteReservation> {
        let covers = self.covers.checked_sub(len).ok_or(EINVAL)?;
        let share = share(self.metadata.bytes(), len, self.covers);
        let data = self.data.split(len.min(self.data.bytes())).ok_or(EINVAL)?;
        let metadata = match self.metadata.split(share) {
            Some(metadata) => metadata,
            None => {
                self.data.merge(data);
                return Err(EINVAL);
            }
        };
        self.covers = covers;
        Ok(Self {
            data,
            metadata,
            covers: len,
            cost: self.cost,
        })
    }

    /// Adds what `other` has, for bytes that follow or precede these: what one run needs less than two is given back.
    pub fn merge(&mut self, other: WriteReservation) {
        self.data.merge(other.data);
        self.metadata.merge(other.metadata);
        self.covers = self.covers.saturating_add(other.covers);
        self.metadata.give_back(
            self.metadata
                .bytes()
                .saturating_sub(self.cost.of(self.covers)),
        );
    }

    /// Data bytes not allocated yet.
    pub fn data_len(&self) -> u64 {
        self.data.bytes()
    }
}

/// What the metadata of finished data costs on a volume.
#[derive(Clone, Copy)]
struct WriteCost {
    sector_size: u64,
    sum_size: u64,
    node_size: u32,
}

impl WriteCost {
    /// For a run of `len` bytes. For each extent: its item with the one it splits off an older one, and the inode; and
    /// the checksums.
    fn units(&self, len: u64) -> Units {
        let extents = len
            .checked_div(EXTENT_EXPECTED)
            .unwrap_or(0)
            .saturating_add(1);
        let leaves = len
            .checked_div(self.sector_size)
            .unwrap_or(0)
            .saturating_mul(self.sum_size)
            .checked_div(u64::from(self.node_size / 2))
            .unwrap_or(0);
        let inserts = extents.saturating_mul(2).saturating_add(leaves);
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Units::inserts(count(inserts)).and(Units::updates(count(extents)))
    }

    /// The same in bytes.
    fn of(&self, len: u64) -> u64 {
        self.units(len).bytes(self.node_size)
    }
}

/// The part of `all` that `len` of `total` gets, rounded down. No `u128`: dividing one panics in the kernel.
fn share(all: u64, len: u64, total: u64) -> u64 {
    let (Some(each), Some(rest)) = (all.checked_div(total), all.checked_rem(total)) else {
        return 0;
    };
    let rest = rest.saturating_mul(len).checked_div(total).unwrap_or(0);
    each.saturating_mul(len).saturating_add(rest).min(all)
}

/// Where data is going to be written. Dropped, it is given back: the IO failed or never began, or its end could not be
/// entered; none is under way any more.
#[must_use = "dropped, the address is given back"]
pub struct NewExtent {
    space: Arc<Space>,
    extent: DataExtent,
    progress: Progress,
}

/// How far a new extent has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Not on the device.
    Allocated,
    /// On the device, in no tree.
    Written,
    /// Others see to it.
    Kept,
}

impl NewExtent {
    /// Where and how long.
    pub fn get(&self) -> DataExtent {
        self.extent
    }

    /// The device has put it elsewhere in the same group: a zone append.
    pub fn move_to(&mut self, logical: Logical) {
        self.extent.logical = logical;
    }

    /// It has reached the device.
    fn written(&mut self) -> Result {
        self.progress = Progress::Written;
        self.space.data_written(self.extent)
    }

    /// A transaction is going to enter it, or to be given up.
    fn keep(mut self) -> DataExtent {
        self.progress = Progress::Kept;
        self.extent
    }
}

impl Drop for NewExtent {
    fn drop(&mut self) {
        let DataExtent { logical, len } = self.extent;
        match self.progress {
            Progress::Allocated => self.space.release_unwritten(logical, len),
            Progress::Written => self.space.release_written(logical, len),
            Progress::Kept => {}
        }
    }
}

/// Data that has reached the device.
pub struct FinishedWrite<'a> {
    /// Where in the file; a multiple of the sector size.
    pub offset: FileOffset,
    /// Where on the volume; its length is the piece's, the last sector padded with zeroes.
    pub extent: NewExtent,
    /// One checksum per sector, back to back; empty for files without.
    pub checksums: &'a [u8],
    /// The file's size is raised to this if it is smaller: the end of the bytes the user wrote in this piece.
    pub new_size: u64,
    /// mtime and ctime, if they changed.
    pub now: Option<Time>,
}

impl FileSystem {
    /// Promises space for dirtying `[offset, offset + len)`, whole sectors. `ENOSPC` comes from here and from nowhere
    /// later: write dirty data out and ask again before you believe it, for finished data needs less than promised.
    /// `EROFS`, `EFBIG`.
    pub fn reserve_write(
        &self,
        inode: &Inode,
        offset: FileOffset,
        len: u64,
    ) -> Result<WriteReservation> {
        self.check_writable(inode.subvolume())?;
        let end = offset.get().checked_add(len).ok_or(EFBIG)?;
        if i64::try_from(end).is_err() {
            return Err(EFBIG);
        }
        let data = self.transactions().reserve_data(len)?;
        let cost = self.write_cost();
        let metadata = self.transactions().reserve(cost.units(len))?;
        Ok(WriteReservation {
            data,
            metadata,
            covers: len,
            cost,
        })
    }

    fn write_cost(&self) -> WriteCost {
        WriteCost {
            sector_size: self.sector_size(),
            sum_size: u64::try_from(self.format().checksum.size()).unwrap_or(u64::MAX),
            node_size: self.format().node_size,
        }
    }

    /// Takes an address for up to `len` bytes, whole sectors; may be shorter. Call again for the rest.
    pub fn allocate_write(
        &self,
        reservation: &mut WriteReservation,
        len: u64,
    ) -> Result<NewExtent> {
        let wanted = len.min(MAX_EXTENT_SIZE);
        let space = self.transactions().space();
        let min = self.sector_size();
        let mut idle = false;
        loop {
            let seen = space.data_ended();
            match space.allocate_data(&reservation.data, wanted, min) {
                // The device allows no more active zones until one is full.
                Err(error) if error == EAGAIN => {
                    if space.relieve_zones()? || space.await_data(seen) {
                        continue;
                    }
                    // The last write may have ended in between.
                    if core::mem::replace(&mut idle, true) {
                        return Err(error);
                    }
                }
                allocated => {
                    return Ok(NewExtent {
                        extent: allocated?,
                        space: space.clone(),
                        progress: Progress::Allocated,
                    })
                }
            }
        }
    }

    /// Puts data that is on the device into the file, in one transaction: what stood there before loses its
    /// references, the checksums go in, size and byte count follow. Pieces of one file may be finished at the same
    /// time, if they do not overlap.
    pub fn finish_write(
        &self,
        inode: &Inode,
        mut write: FinishedWrite<'_>,
        reservation: WriteReservation,
    ) -> Result {
        write.extent.written()?;
        let handle = self.transactions().join_with(reservation.metadata)?;
        let _extents = inode.lock_extents();
        or_abort(&handle, self.finish_in(&handle, inode, write))
    }

    fn finish_in(&self, handle: &Handle, inode: &Inode, write: FinishedWrite<'_>) -> Result {
        let extent = write.extent.keep();
        let DataExtent { logical, len } = extent;
        let start = write.offset.get();
        let piece = extents::whole(handle, ExtentState::Written, extent);
        let dropped = extents::replace(inode, handle, start, &piece)?;
        handle.add_data(&extents::reference(inode, start, &piece))?;
        self.insert_checksums(handle, logical, write.checksums)?;
        self.fill_hole_before(handle, inode, start)?;
        inode.change(handle, |attributes| {
            attributes.nbytes = attributes
                .nbytes
                .saturating_sub(dropped)
                .saturating_add(len);
            attributes.size = attributes.size.max(write.new_size);
            if let Some(now) = write.now {
                attributes.mtime = now;
                attributes.ctime = now;
            }
        })
    }

    /// Where holes must have items: one from the end of the file to `start`.
    pub(super) fn fill_hole_before(&self, txn: &dyn Allocate, inode: &Inode, start: u64) -> Result {
        if self.has_implicit_holes() {
            return Ok(());
        }
        let end = self.round_up(inode.attributes().size);
        if end >= start {
            return Ok(());
        }
        extents::fill_gaps(inode, txn, end..start, self.sector_size())
    }

    /// Puts all of a small file into the tree. Gives the reservation back if it does not qualify: write it as usual
    /// then.
    pub fn write_inline(
        &self,
        inode: &Inode,
        bytes: &[u8],
        reservation: WriteReservation,
    ) -> Result<Option<WriteReservation>> {
        let len = u64::try_from(bytes.len())?;
        let limit = u64::from(self.max_inline()).min(self.longest_inline());
        let limit = limit.min(self.sector_size().saturating_sub(1));
        if len == 0 || len > limit || inode.attributes().size > len {
            return Ok(Some(reservation));
        }
        let handle = self.transactions().join_with(reservation.metadata)?;
        let _extents = inode.lock_extents();
        or_abort(&handle, self.inline_in(&handle, inode, bytes, len))?;
        Ok(None)
    }

    fn inline_in(&self, handle: &Handle, inode: &Inode, bytes: &[u8], len: u64) -> Result {
        let dropped = extents::drop_range(inode, handle, 0..self.sector_size(), usize::MAX)?;
        let key = inode.key_of(Kind::EXTENT_DATA, 0);
        let item_len = RawFileExtentHead::SIZE.saturating_add(bytes.len());
        let generation = handle.generation();
        inode
            .subvolume()
            .tree()
            .insert_with(handle, &key, item_len, |item| {
                extents::fill_inline(item, generation, bytes)
            })??;
        inode.change(handle, |attributes| {
            attributes.nbytes = attributes
                .nbytes
                .saturating_sub(dropped.bytes)
                .saturating_add(len);
            attributes.size = attributes.size.max(len);
        })
    }
}
