// SPDX-License-Identifier: GPL-2.0
//! Writing file data: space is reserved before bytes become dirty. What has an address is in `ordered`.

use super::extents::{self, cut, gaps};
use super::Data;
use crate::btree::{Allocate, Reach};
use crate::disk::{Bug, Bytes, FileOffset, MAX_FILE_END};
use crate::fs::filesystem::or_abort;
use crate::fs::subvolume::{self, Promise};
use crate::fs::Inode;
use crate::space::{Class, Reservation};
use crate::txn::{Handle, Units};
use latch::prelude::*;

/// Bytes of data for which one finished extent is expected, when space is not in pieces.
const EXTENT_EXPECTED: Bytes = Bytes::new(16 * 1024 * 1024);

/// Who splits a reservation asks for bytes that it is for.
const FEWER: Bug = Bug::new("a write reservation is for fewer bytes than are taken from it");

/// Space promised to dirty bytes of a file: the data's, and the metadata's for finishing. Dropping it gives it back.
pub struct WriteReservation {
    pub(in crate::fs) data: Reservation,
    pub(in crate::fs) metadata: Reservation,
    /// The bytes that the metadata is for, allocated or not.
    covers: Bytes,
    cost: WriteCost,
    /// What of the bytes goes to preallocated space. This stands behind the metadata: who waits for its end finds that given back.
    promise: Option<Promise>,
}

impl WriteReservation {
    /// Takes what `len` of its bytes have that go to new extents: as much of the data as is not allocated yet, and a share of
    /// the metadata. It is for as many bytes at least.
    pub fn split(&mut self, len: Bytes) -> Result<WriteReservation> {
        self.split_kinds(len, Bytes::ZERO)
    }

    /// Takes what `len` of its bytes have, `in_place` of which go to preallocated space. It is for as many at least; else
    /// nothing is changed.
    pub fn split_kinds(&mut self, len: Bytes, in_place: Bytes) -> Result<WriteReservation> {
        let covers = self.covers.checked_sub(len).ok_or(FEWER)?;
        let share = share(self.metadata.bytes(), len, self.covers);
        let data = len.saturating_sub(in_place).min(self.data.bytes());
        let promise = subvolume::split(&mut self.promise, in_place)?;
        let (data, metadata) = match (self.data.split(data), self.metadata.split(share)) {
            (Some(data), Some(metadata)) => (data, metadata),
            (data, metadata) => {
                if let Some(data) = data {
                    self.data.merge(data);
                }
                if let Some(metadata) = metadata {
                    self.metadata.merge(metadata);
                }
                subvolume::merge(&mut self.promise, promise);
                return Err(FEWER.report());
            }
        };
        self.covers = covers;
        Ok(Self {
            data,
            metadata,
            covers: len,
            cost: self.cost,
            promise,
        })
    }

    /// Adds what `other` has, for bytes that follow or precede these: what one run needs less than two is given back.
    pub fn merge(&mut self, other: WriteReservation) {
        self.data.merge(other.data);
        self.metadata.merge(other.metadata);
        subvolume::merge(&mut self.promise, other.promise);
        self.covers = self.covers.saturating_add(other.covers);
        self.metadata.give_back(
            self.metadata
                .bytes()
                .saturating_sub(self.cost.of(self.covers)),
        );
    }

    /// Takes all that is for metadata out.
    pub(in crate::fs) fn take_metadata(&self) -> Result<Reservation> {
        let all = self.metadata.bytes();
        Ok(self.metadata.split(all).ok_or(FEWER)?)
    }

    /// Adds metadata, for all that is still to be entered.
    pub(in crate::fs) fn add_metadata(&self, metadata: Reservation) {
        self.metadata.merge(metadata);
    }

    /// Data bytes not allocated yet.
    pub fn data_len(&self) -> Bytes {
        self.data.bytes()
    }
}

/// What the metadata of finished data costs on a volume.
#[derive(Clone, Copy)]
struct WriteCost {
    sector_size: Bytes,
    sum_size: Bytes,
    node_size: u32,
}

impl WriteCost {
    /// What a run of `len` bytes takes. For each extent: its item with the one it splits off an older one, and the inode; and
    /// the checksums.
    fn units(&self, len: Bytes) -> Units {
        let extents = len.count(EXTENT_EXPECTED).saturating_add(1);
        let sums = self.sum_size.saturating_mul(len.count(self.sector_size));
        let leaves = sums.count(Bytes::from(self.node_size / 2));
        let inserts = extents.saturating_mul(2).saturating_add(leaves);
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Units::inserts(count(inserts)).and(Units::updates(count(extents)))
    }

    /// The bytes of metadata that a run of `len` bytes needs.
    fn of(&self, len: Bytes) -> Bytes {
        self.units(len).bytes(self.node_size)
    }
}

/// The part of `all` that `len` of `total` gets, rounded down. No `u128`: dividing one panics in the kernel.
fn share(all: Bytes, len: Bytes, total: Bytes) -> Bytes {
    let rest = all.saturating_sub(all.round_down(total));
    let rest = rest.saturating_mul(len.get()).count(total);
    len.saturating_mul(all.count(total))
        .saturating_add(Bytes::new(rest))
        .min(all)
}

impl Data<'_> {
    /// Promises what [`Self::reserve_write`] says, with the data's space as `reserve` gives it.
    pub(in crate::fs) fn reserve_write_of(
        &self,
        inode: &Inode,
        offset: FileOffset,
        len: Bytes,
        reserve: impl FnOnce() -> Result<Reservation>,
    ) -> Result<WriteReservation> {
        self.prepare_write(inode, offset, len, Reach::Device)?;
        let data = reserve()?;
        let cost = self.write_cost();
        let metadata = self.fs.transactions().reserve(cost.units(len))?;
        Ok(WriteReservation {
            data,
            metadata,
            covers: len,
            cost,
            promise: None,
        })
    }

    /// Promises what dirtying `[offset, offset + len)` takes that [`InPlaceWrites::place`](super::InPlaceWrites::place) says can be
    /// written in place: space for metadata. `EAGAIN` while a snapshot is being made: ask for the place again. `EBUSY` while others
    /// have what there is for writing in place: ask again when some have ended. Who waits for that has no such promise himself, and
    /// nothing that they wait for. Errors else as of [`Self::reserve_write`].
    pub fn reserve_in_place(
        &self,
        inode: &Inode,
        offset: FileOffset,
        len: Bytes,
    ) -> Result<WriteReservation> {
        self.prepare_write(inode, offset, len, Reach::Device)?;
        let cost = self.write_cost();
        // Waits, perhaps for a commit with which a snapshot is made: so before the promise.
        let mut metadata = self.fs.transactions().reserve_promised(cost.units(len))?;
        let awaited = metadata.take_awaited();
        let promise = inode.subvolume().promise(len, awaited).ok_or(EAGAIN)?;
        Ok(WriteReservation {
            data: self.fs.transactions().space().reserve_nothing(Class::Data),
            metadata,
            covers: len,
            cost,
            promise: Some(promise),
        })
    }

    /// Promises space as [`Self::reserve_write`] does, for a caller that must not wait: `EAGAIN` where a chunk or a commit
    /// would be needed.
    pub fn try_reserve_write(
        &self,
        inode: &Inode,
        offset: FileOffset,
        len: Bytes,
    ) -> Result<WriteReservation> {
        self.prepare_write(inode, offset, len, Reach::Cache)?;
        let cost = self.write_cost();
        let (data, metadata) = self.fs.transactions().try_reserve(len, cost.units(len))?;
        Ok(WriteReservation {
            data,
            metadata,
            covers: len,
            cost,
            promise: None,
        })
    }

    /// Looks whether a write is possible, and gives the holes that it uncovers items: whoever finishes it can pay for one.
    fn prepare_write(&self, inode: &Inode, offset: FileOffset, len: Bytes, reach: Reach) -> Result {
        self.fs.check_writable(inode.subvolume())?;
        let end = offset.checked_add(len).ok_or(EFBIG)?;
        if end > MAX_FILE_END {
            return Err(EFBIG);
        }
        self.check_inline(inode, reach)?;
        self.prepare_growth(inode, end, reach)
    }

    fn write_cost(&self) -> WriteCost {
        WriteCost {
            sector_size: self.fs.sector_size(),
            sum_size: self.fs.format().checksum.size().into(),
            node_size: self.fs.format().node_size,
        }
    }

    /// Where holes must have items: one from the end of the file to `start`.
    pub(in crate::fs) fn fill_hole_before(
        &self,
        txn: &dyn Allocate,
        inode: &Inode,
        start: FileOffset,
    ) -> Result {
        if self.fs.has_implicit_holes() {
            return Ok(());
        }
        let end = FileOffset::after(self.fs.round_up(inode.attributes().size));
        if end >= start {
            return Ok(());
        }
        let sector = self.fs.sector_size();
        gaps::fill_gaps(inode, txn, end..start, sector, usize::MAX)?;
        Ok(())
    }

    /// Puts all of a small file into the tree. Gives the reservation back if it does not qualify: write it as usual
    /// then.
    pub fn write_inline(
        &self,
        inode: &Inode,
        bytes: &[u8],
        reservation: WriteReservation,
    ) -> Result<Option<WriteReservation>> {
        let len = Bytes::from(bytes.len());
        let limit = self.fs.max_inline().min(self.fs.longest_inline());
        let fits = len <= limit && len < self.fs.sector_size();
        if len.is_zero() || !fits || inode.attributes().size > len {
            return Ok(Some(reservation));
        }
        let handle = self.fs.transactions().join_with(reservation.metadata)?;
        let _extents = inode.lock_extents()?;
        let start = FileOffset::new(0);
        let sector = start.saturating_add(self.fs.sector_size());
        let dropped = cut::drop_range(inode, &handle, start..sector, usize::MAX)?;
        let put = self.put_inline(&handle, inode, bytes, dropped.bytes);
        or_abort(&handle, put)?;
        Ok(None)
    }

    /// Puts all bytes of a file where nothing stands any more; `dropped` of those before do not count as its any more.
    fn put_inline(&self, handle: &Handle, inode: &Inode, bytes: &[u8], dropped: Bytes) -> Result {
        let len = Bytes::from(bytes.len());
        let key = inode.extent_key(FileOffset::new(0));
        let extent = extents::inline(handle, bytes)?;
        let fill = |item: &mut [u8]| extent.write_to(item);
        let tree = inode.subvolume().tree();
        tree.insert_with(handle, &key, extent.encoded_len(), fill)??;
        inode.change(handle, |attributes| {
            attributes.exchange_bytes(dropped, len);
            attributes.size = attributes.size.max(len);
        })
    }
}
