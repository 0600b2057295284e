// SPDX-License-Identifier: GPL-2.0
//! Ordered extents: data that has an address and is on its way to the device, or there, and is in no tree yet.
//!
//! An [`OrderedExtent`] is opened by [`Data::allocate_write`] and the caller's checksums, and closed by
//! [`Data::finish_ordered`] when the device has the data. Dropped before, it gives address and space back. If the device has
//! only some of it, it is taken apart from the front: [`Data::finish_front`], [`OrderedExtent::lose_front`].

use super::extents::{self, cut};
use super::piece::{pass_sums, Piece};
use super::Data;
use crate::btree::Allocate;
use crate::disk::{Bug, Bytes, ExtentState, FileOffset, Logical, MAX_EXTENT_SIZE};
use crate::fs::filesystem::or_abort;
use crate::fs::{Inode, WriteReservation};
use crate::space::{DataExtent, DataWait, Relief, Reservation, Space};
use crate::txn::Handle;
use kernel::sync::Arc;
use latch::prelude::*;

/// Who parts off the front of an extent asks for bytes that it has.
const SHORTER: Bug = Bug::new("more is parted off a new extent than it has");

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
    /// The data are not on the device.
    Allocated,
    /// The data are on the device, and in no tree.
    Written,
    /// Others see to the extent.
    Kept,
}

impl NewExtent {
    /// Where the extent is, and how long it is.
    pub fn get(&self) -> DataExtent {
        self.extent
    }

    /// Bytes of a file that it takes as they are.
    pub fn plain_len(&self) -> Bytes {
        extents::plain_len(self.extent)
    }

    /// The device has put it elsewhere in the same group: a zone append.
    pub fn move_to(&mut self, logical: Logical) {
        self.extent.logical = logical;
    }

    /// Gives the address back, and its bytes to the reservation they were drawn from, as one: it is as if it had not been
    /// allocated. For what was not sent and will be sent later. An error, never `ENOMEM`: the bytes have no promise any
    /// more.
    pub fn take_back(mut self, reservation: &mut WriteReservation) -> Result {
        self.progress = Progress::Kept;
        let DataExtent { logical, len } = self.extent;
        self.space
            .take_back_unwritten(logical, len, &reservation.data)
            .map_err(|error| if error == ENOMEM { ENOSPC } else { error })
    }

    /// Parts off its first `len` bytes. It has as many.
    fn split_front(&mut self, len: Bytes) -> Result<NewExtent> {
        let DataExtent { logical, len: all } = self.extent;
        let rest = all.checked_sub(len).ok_or(SHORTER)?;
        let front = NewExtent {
            space: self.space.clone(),
            extent: DataExtent { logical, len },
            progress: self.progress,
        };
        self.extent = DataExtent {
            logical: logical.saturating_add(len),
            len: rest,
        };
        if rest.is_zero() {
            self.progress = Progress::Kept;
        }
        Ok(front)
    }

    /// The data has reached the device.
    pub(in crate::fs) fn written(&mut self) -> Result {
        self.progress = Progress::Written;
        self.space.data_written(self.extent)
    }

    /// A transaction is going to enter it, or to be given up.
    pub(in crate::fs) fn keep(mut self) -> DataExtent {
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

/// Data of a file between the allocation of its address and its entry in the trees (C: `struct btrfs_ordered_extent`).
#[must_use = "dropped, address and space are given back"]
pub struct OrderedExtent {
    /// Where in the file; a multiple of the sector size.
    pub offset: FileOffset,
    /// Bytes of the file that it has, whole sectors: the last is padded with zeroes.
    pub ram_len: Bytes,
    /// Where on the volume, and how long there.
    pub extent: NewExtent,
    /// One checksum for each sector on the volume, back to back; empty for files without.
    pub checksums: KVVec<u8>,
    /// The file's size is raised to this if it is smaller: the end of the bytes the user wrote in this piece.
    pub new_size: Bytes,
    /// What entering it takes.
    pub reservation: WriteReservation,
}

impl OrderedExtent {
    /// The first `len` bytes are lost, whole sectors: gives their address and space back.
    pub fn lose_front(&mut self, len: Bytes) -> Result {
        let reservation = self.reservation.split(len)?;
        let extent = self.extent.split_front(len)?;
        self.pass(len);
        drop((extent, reservation));
        Ok(())
    }

    /// The first `len` bytes of the ordered extent.
    fn front(&self, len: Bytes) -> Piece<'_> {
        Piece::front(
            &self.checksums,
            self.offset,
            (len, self.ram_len),
            self.new_size,
        )
    }

    /// The first `len` bytes do not belong to the ordered extent any more.
    fn pass(&mut self, len: Bytes) {
        pass_sums(&mut self.checksums, len, self.ram_len);
        self.offset = self.offset.saturating_add(len);
        self.ram_len = self.ram_len.saturating_sub(len);
    }
}

impl Data<'_> {
    /// Takes an address for up to `len` bytes, whole sectors; may be shorter. Call again for the rest. `EROFS` after an abort:
    /// an address that is free by trees that are wrong may be somebody's. `EAGAIN`: the device allows no more active zones, and
    /// none is about to be given back.
    pub fn allocate_write(
        &self,
        reservation: &mut WriteReservation,
        len: Bytes,
    ) -> Result<NewExtent> {
        let space = self.fs.transactions().space();
        loop {
            let seen = space.data_ended();
            match self.try_allocate(&reservation.data, len, self.fs.sector_size()) {
                // The device allows no more active zones until one is full.
                Err(error) if error == EAGAIN => match self.await_zone(seen)? {
                    Relief::Given => {}
                    Relief::None => return Err(error),
                },
                allocated => return allocated,
            }
        }
    }

    /// Waits for a zone that need not be active any more, since when `seen` data writes had ended. No handle may be held.
    pub(in crate::fs) fn await_zone(&self, seen: u64) -> Result<Relief> {
        let space = self.fs.transactions().space();
        if space.relieve_zones()? == Relief::Given || space.await_data(seen) == DataWait::OneEnded {
            return Ok(Relief::Given);
        }
        Ok(Relief::None)
    }

    /// Takes an address for all of `len` bytes, for a caller that must not wait. `EAGAIN`, and nothing was taken, where that is not
    /// to be had in one piece, or not before a zone is given back: [`Self::allocate_write`] can do it.
    pub fn try_allocate_write(
        &self,
        reservation: &mut WriteReservation,
        len: Bytes,
    ) -> Result<NewExtent> {
        match self.try_allocate(&reservation.data, len, len) {
            Err(error) if error == ENOSPC => Err(EAGAIN),
            allocated => allocated,
        }
    }

    /// Takes an address for up to `len` bytes and no fewer than `min`, drawn from `from`, as [`Self::try_allocate_write`] does.
    /// `ENOSPC` where no free range is as long.
    pub(in crate::fs) fn try_allocate(
        &self,
        from: &Reservation,
        len: Bytes,
        min: Bytes,
    ) -> Result<NewExtent> {
        self.fs.transactions().volume().check_sending()?;
        let space = self.fs.transactions().space();
        let extent = space.allocate_data(from, len.min(MAX_EXTENT_SIZE), min)?;
        Ok(NewExtent {
            extent,
            space: space.clone(),
            progress: Progress::Allocated,
        })
    }

    /// Puts data that is on the device into the file, in one transaction: what stood there before loses its
    /// references, the checksums go in, size and byte count follow. Pieces of one file may be finished at the same
    /// time, if they do not overlap.
    pub fn finish_ordered(&self, inode: &Inode, ordered: OrderedExtent) -> Result {
        let all = Piece {
            start: ordered.offset,
            len: ordered.ram_len,
            checksums: &ordered.checksums,
            new_size: ordered.new_size,
        };
        let metadata = ordered.reservation.take_metadata()?;
        let mut extent = ordered.extent;
        extent.written()?;
        let handle = self.fs.transactions().join_with(metadata)?;
        self.record(inode, &handle, extent, &all)
    }

    /// Does what [`Self::finish_ordered`] does for the first `len` bytes, whole sectors, which alone are known to be on the device.
    /// What is left is the rest, also after an error.
    pub fn finish_front(&self, inode: &Inode, ordered: &mut OrderedExtent, len: Bytes) -> Result {
        // A piece may cost as much as the whole, be it as short as it is: it has all there is, and leaves the rest.
        let metadata = ordered.reservation.take_metadata()?;
        let reservation = ordered.reservation.split(len)?;
        let mut extent = ordered.extent.split_front(len)?;
        let recorded = extent
            .written()
            .and_then(|()| self.fs.transactions().join_with(metadata))
            .and_then(|handle| {
                let recorded = self.record(inode, &handle, extent, &ordered.front(len));
                // Also where it failed: the rest may do better.
                ordered.reservation.add_metadata(handle.take_rest());
                recorded
            });
        ordered.pass(len);
        drop(reservation);
        recorded
    }

    /// Records data that is on the device.
    fn record(
        &self,
        inode: &Inode,
        handle: &Handle,
        extent: NewExtent,
        piece: &Piece<'_>,
    ) -> Result {
        let _extents = inode.lock_extents()?;
        let whole = extents::whole(handle, ExtentState::Written, extent.get(), piece.len);
        let dropped = cut::replace(inode, handle, piece.start, &whole)?;
        extent.keep();
        let added = handle.add_data(&extents::reference(inode, piece.start, &whole));
        let lens = (dropped, piece.len);
        let rest =
            added.and_then(|()| self.record_rest(handle, inode, whole.disk_addr, piece, lens));
        or_abort(handle, rest)
    }

    /// Does what is left to do when the file has the item: of its bytes `dropped` do not count any more, and `added` do.
    pub(super) fn record_rest(
        &self,
        handle: &Handle,
        inode: &Inode,
        logical: Logical,
        piece: &Piece<'_>,
        (dropped, added): (Bytes, Bytes),
    ) -> Result {
        self.insert_checksums(handle, logical, piece.checksums)?;
        self.fill_hole_before(handle, inode, piece.start)?;
        inode.change(handle, |attributes| {
            attributes.exchange_bytes(dropped, added);
            attributes.size = attributes.size.max(piece.new_size);
        })
    }
}
