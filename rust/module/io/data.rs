// SPDX-License-Identifier: GPL-2.0

//! File data: between the page cache (iomap) and the engine.
//!
//! The life of a written byte: [`FileData::delay`] reserves space when it becomes dirty; writeback takes it with its
//! reservation and [`FileData::send`]s it to a newly allocated extent; when the device has it, a worker puts extent and
//! checksums into the trees ([`FileData::written`]), and only then writeback of its folio ends. So an fsync that waited
//! for writeback has all it must commit, and a reader never meets a mapping older than its folio.
//!
//! Lock order: inode lock or folio lock, then the delayed ranges (never across a call), then the engine's locks.

use crate::linux::file_bio::{Append, Destination, Ioend, ReadBio};
use crate::linux::iomap::{Extent, FileData, Joins, Source, WriteEnd};
use crate::linux::queue::OwnedQueue;
use crate::linux::{self, BlockDevice};
use engine::disk::{FileOffset, InodeFlags, Logical, Physical};
use engine::fs::{
    Added, Delalloc, FileSystem, FinishedWrite, Inode, MappingKind, NewExtent, SectorSums,
    WriteReservation,
};
use engine::space::DataExtent;
use engine::volume::device::SECTOR;
use engine::volume::Volume;
use kernel::sync::Arc;
use latch::prelude::*;

/// The longest data extent, in bytes (C: `BTRFS_MAX_EXTENT_SIZE`).
const MAX_EXTENT: u64 = 128 << 20;

/// What the files of a mount share.
pub(crate) struct DataPath {
    pub(crate) fs: Arc<FileSystem>,
    pub(crate) volume: Arc<Volume>,
    /// The device that the volume was mounted from: new bios name it until they get their own.
    pub(crate) device: Arc<BlockDevice>,
    /// By the engine's device index.
    pub(crate) devices: KVec<Arc<BlockDevice>>,
    /// Where completions run.
    pub(crate) queue: OwnedQueue,
}

/// What a regular file's inode owns: its data, and `node`, what inodes of all kinds own.
pub(crate) struct FileIo<N> {
    /// What inodes of all kinds own.
    pub(crate) node: N,
    path: Arc<DataPath>,
    inode: Arc<Inode>,
    delalloc: Delalloc<WriteReservation>,
}

/// What finishing a write takes.
pub(crate) struct Write {
    pos: u64,
    extent: NewExtent,
    checksums: KVec<u8>,
    new_size: u64,
    append: Append,
    reservation: WriteReservation,
}

/// What checking a read takes.
pub(crate) struct Read {
    sums: Option<SectorSums>,
}

impl<N: Send + Sync + 'static> FileIo<N> {
    /// The data of `inode`.
    pub(crate) fn new(path: Arc<DataPath>, inode: Arc<Inode>, node: N) -> Result<Self> {
        Ok(Self {
            node,
            path,
            inode,
            delalloc: Delalloc::new()?,
        })
    }

    fn has_checksums(&self) -> bool {
        !self
            .inode
            .attributes()
            .flags
            .contains(InodeFlags::NODATASUM)
    }

    /// The device and sector of the first copy of a logical address, and how far it goes.
    fn locate(&self, logical: Logical, len: u64) -> Result<(&Arc<BlockDevice>, Physical, u64)> {
        let mapping = self.path.volume.map(logical, len)?;
        let place = mapping.copies().first().ok_or(EUCLEAN)?;
        let device = self.path.devices.get(place.device).ok_or(EUCLEAN)?;
        Ok((device, place.at, mapping.len))
    }

    /// Whether `sector` is what `sums` says of the sector with this index; no checksum at all is a yes.
    fn matches(&self, sums: Option<&SectorSums>, index: usize, sector: &[u8]) -> bool {
        let Some(sums) = sums else {
            return true;
        };
        let kind = self.path.volume.format().checksum;
        let found = self.path.volume.checksums().digest(kind, sector);
        sums.get(index)
            .is_some_and(|sum| found.get(..kind.size()) == Some(sum))
    }

    /// Reads whole sectors from the first copy of them that is good.
    fn read_data(&self, pos: u64, logical: Logical, bytes: &mut [u8]) -> Result {
        let sums = self
            .path
            .fs
            .checksums(&self.inode, logical, bytes.len() as u64)?;
        let mapping = self.path.volume.map(logical, bytes.len() as u64)?;
        for place in mapping.copies() {
            let device = self.path.volume.device(place.device).ok_or(EUCLEAN)?;
            if device.read(place.at, bytes).is_err() {
                continue;
            }
            let mut sectors = bytes.chunks(SECTOR as usize).enumerate();
            if sectors.all(|(index, sector)| self.matches(sums.as_ref(), index, sector)) {
                return Ok(());
            }
        }
        pr_err!(
            "inode {} of tree {}: data at file offset {} (logical {}) is damaged: no copy has the right checksum\n",
            self.inode.number(),
            self.inode.subvolume().id(),
            pos,
            logical
        );
        Err(EIO)
    }

    /// The checksums of what `ioend` will write.
    fn checksums(&self, ioend: &Ioend<Self>) -> Result<KVec<u8>> {
        let mut sums = KVec::new();
        if !self.has_checksums() {
            return Ok(sums);
        }
        let kind = self.path.volume.format().checksum;
        let sectors = usize::try_from(ioend.len() / SECTOR).map_err(|_| EFBIG)?;
        sums.reserve(sectors.saturating_mul(kind.size()), GFP_KERNEL)?;
        let mut result = Ok(());
        ioend.bytes(&mut |run| {
            for sector in run.chunks(SECTOR as usize) {
                let digest = self.path.volume.checksums().digest(kind, sector);
                let sum = digest.get(..kind.size()).unwrap_or(&digest);
                result = result.and(sums.extend_from_slice(sum, GFP_KERNEL));
            }
        });
        result?;
        // One for each sector, or the file could not be read back.
        if sums.len() != sectors.saturating_mul(kind.size()) {
            return Err(EIO);
        }
        Ok(sums)
    }

    /// Puts the bytes of a small file into the tree instead of an extent. Gives back what it did not do.
    fn send_inline(
        &self,
        ioend: Ioend<Self>,
        reservation: WriteReservation,
    ) -> Result<Option<(Ioend<Self>, WriteReservation)>> {
        let size = ioend.user_end();
        if ioend.pos() != 0 || size > u64::from(self.path.fs.max_inline()) || ioend.len() > SECTOR {
            return Ok(Some((ioend, reservation)));
        }
        let mut bytes = KVec::with_capacity(SECTOR as usize, GFP_KERNEL)?;
        let mut result = Ok(());
        ioend.bytes(&mut |run| result = result.and(bytes.extend_from_slice(run, GFP_KERNEL)));
        result?;
        let size = usize::try_from(size).map_err(|_| EFBIG)?;
        let bytes = bytes.get(..size).ok_or(EIO)?;
        match self.path.fs.write_inline(&self.inode, bytes, reservation) {
            Ok(None) => {
                ioend.end(Ok(()));
                Ok(None)
            }
            Ok(Some(reservation)) => Ok(Some((ioend, reservation))),
            Err(error) => {
                ioend.end(Err(error));
                Err(error)
            }
        }
    }

    /// Allocates for as much of `ioend` as one extent takes, and sends that. Gives back the rest.
    fn send_piece(
        &self,
        mut ioend: Ioend<Self>,
        reservation: &mut WriteReservation,
    ) -> Result<Option<Ioend<Self>>> {
        let max = self.path.volume.max_extent_len().min(MAX_EXTENT);
        // What an append cannot take must not be allocated: whether it is one is known only then.
        let wanted = match self.path.volume.is_zoned() {
            true => ioend.append_len(ioend.len().min(max), SECTOR)?,
            false => ioend.len().min(max),
        };
        let mut piece = reservation.split(wanted)?;
        let new = self
            .path
            .fs
            .allocate_write(&mut piece, wanted)
            .inspect_err(|error| {
                pr_err!("{wanted} bytes of data find no place: {error:?}\n");
            })?;
        let extent = new.get();
        let (destination, device, append) = self.destination(extent)?;
        let front = ioend.split(extent.len, append)?;
        let (front, rest) = match front {
            Some(front) => (front, Some(ioend)),
            None => (ioend, None),
        };
        if extent.len < wanted {
            reservation.merge(piece.split(wanted.saturating_sub(extent.len))?);
        }
        if front.len() != extent.len {
            // Not even the limits that were asked for allow it.
            return Err(EIO);
        }
        let checksums = self.checksums(&front)?;
        let write = Write {
            pos: front.pos(),
            extent: new,
            checksums,
            new_size: front.user_end(),
            append,
            reservation: piece,
        };
        front.submit(device, destination, write)?;
        Ok(rest)
    }

    fn destination(&self, extent: DataExtent) -> Result<(Destination, &Arc<BlockDevice>, Append)> {
        let chunk = self.path.volume.chunk(extent.logical)?;
        let (device, at, len) = self.locate(extent.logical, extent.len)?;
        if len < extent.len {
            return Err(EUCLEAN);
        }
        if !self.path.volume.is_sequential(&chunk) {
            return Ok((Destination::At(at.get() >> 9), device, Append::No));
        }
        let zone = chunk.stripes.first().ok_or(EUCLEAN)?.at;
        Ok((Destination::Append(zone.get() >> 9), device, Append::Yes))
    }

    /// Where a zone append went.
    fn appended_at(&self, extent: DataExtent, sector: u64) -> Result<Logical> {
        let chunk = self.path.volume.chunk(extent.logical)?;
        let zone = chunk.stripes.first().ok_or(EUCLEAN)?.at;
        let at = Physical::new(sector.checked_shl(9).ok_or(EIO)?);
        let offset = at.checked_since(zone).ok_or(EIO)?;
        if offset.saturating_add(extent.len) > chunk.len {
            pr_err!(
                "zone append landed at {}, outside of its zone at {}\n",
                at,
                zone
            );
            return Err(EIO);
        }
        chunk.logical.checked_add(offset).ok_or(EIO)
    }
}

impl<N: Send + Sync + 'static> FileData for FileIo<N> {
    type Reservation = WriteReservation;
    type Write = Write;
    type Read = Read;

    fn of(inode: &linux::Inode) -> Option<&Self> {
        inode.payload()
    }

    fn block_device(&self) -> &BlockDevice {
        &self.path.device
    }

    fn queue(&self) -> &kernel::workqueue::Queue {
        &self.path.queue
    }

    fn map(&self, pos: u64, len: u64) -> Result<Extent> {
        let found = self.path.fs.map(&self.inode, FileOffset::new(pos), len)?;
        let mut extent = Extent {
            pos,
            len: found.len,
            source: Source::Hole,
            joins: Joins::Previous,
        };
        match found.kind {
            MappingKind::Hole | MappingKind::Prealloc { .. } => {}
            MappingKind::Inline(bytes) => extent.source = Source::Inline(bytes),
            MappingKind::Data { logical } => {
                let chunk = self.path.volume.chunk(logical)?;
                let (_, _, run) = self.locate(logical, found.len)?;
                extent.len = run;
                extent.source = Source::Mapped(logical.get());
                if chunk.logical == logical {
                    extent.joins = Joins::Nothing;
                }
            }
            MappingKind::Compressed(_) => {
                pr_warn!(
                    "inode {} of tree {}: compressed data cannot be read yet\n",
                    self.inode.number(),
                    self.inode.subvolume().id()
                );
                return Err(EOPNOTSUPP);
            }
        }
        Ok(extent)
    }

    fn delay(&self, start: u64, end: u64) -> Result {
        loop {
            let missing = self.delalloc.uncovered(start, end);
            if missing == 0 {
                return Ok(());
            }
            let offset = FileOffset::new(start);
            let reservation = self.path.fs.reserve_write(&self.inode, offset, missing)?;
            match self.delalloc.add(start, end, reservation, missing)? {
                Added::Covered => return Ok(()),
                // A fault or writeback came in between: the reservation goes back, and once more.
                Added::Changed(..) => {}
            }
        }
    }

    fn is_delayed(&self, start: u64, end: u64) -> bool {
        self.delalloc.uncovered(start, end) == 0
    }

    fn punch(&self, start: u64, end: u64) {
        if self.delalloc.punch(start, end).is_err() {
            // Out of memory for splitting a range: its space stays reserved until the file is closed for good.
            pr_warn!("inode {}: delayed space kept\n", self.inode.number());
        }
    }

    fn take(&self, start: u64, end: u64) -> Result<Option<(u64, WriteReservation)>> {
        self.delalloc.take(start, end)
    }

    fn send(&self, ioend: Ioend<Self>, mut reservation: WriteReservation) -> Result {
        let Some((ioend, rest)) = self.send_inline(ioend, reservation)? else {
            return Ok(());
        };
        reservation = rest;
        let mut next = Some(ioend);
        while let Some(ioend) = next {
            next = self.send_piece(ioend, &mut reservation)?;
        }
        Ok(())
    }

    fn written(&self, mut write: Write, end: WriteEnd) -> Result {
        end.result?;
        if write.append == Append::Yes {
            let at = self.appended_at(write.extent.get(), end.sector)?;
            write.extent.move_to(at);
        }
        let finished = FinishedWrite {
            offset: FileOffset::new(write.pos),
            extent: write.extent,
            checksums: &write.checksums,
            new_size: write.new_size,
            now: None,
        };
        self.path
            .fs
            .finish_write(&self.inode, finished, write.reservation)
    }

    fn read(&self, bio: ReadBio<Self>) {
        let logical = Logical::new(bio.logical());
        let found = self.locate(logical, bio.len()).and_then(|place| {
            let sums = self.path.fs.checksums(&self.inode, logical, bio.len())?;
            Ok((place, sums))
        });
        match found {
            Ok(((device, at, len), sums)) if len >= bio.len() => {
                bio.submit(device, at.get() >> 9, Read { sums });
            }
            Ok(_) => bio.fail(EUCLEAN),
            Err(error) => bio.fail(error),
        }
    }

    fn verify(&self, read: &Read, pos: u64, offset: u64, bytes: &mut [u8]) -> Result {
        let mut index = usize::try_from(offset / SECTOR).map_err(|_| EIO)?;
        let mut at = pos;
        for sector in bytes.chunks_mut(SECTOR as usize) {
            if !self.matches(read.sums.as_ref(), index, sector) {
                // Another copy may be good, or the file has been rewritten since it was mapped.
                self.read_now(at, sector)?;
            }
            index = index.saturating_add(1);
            at = at.saturating_add(SECTOR);
        }
        Ok(())
    }

    fn read_now(&self, pos: u64, bytes: &mut [u8]) -> Result {
        let mut rest = bytes;
        let mut at = pos;
        while !rest.is_empty() {
            let extent = self.map(at, rest.len() as u64)?;
            let run = usize::try_from(extent.len)
                .unwrap_or(rest.len())
                .min(rest.len());
            let Some((part, behind)) = rest.split_at_mut_checked(run) else {
                return Err(EIO);
            };
            match extent.source {
                Source::Hole => part.fill(0),
                Source::Inline(data) => {
                    let (head, tail) = part.split_at_mut(data.len().min(run));
                    head.copy_from_slice(data.get(..head.len()).ok_or(EIO)?);
                    tail.fill(0);
                }
                Source::Mapped(logical) => self.read_data(at, Logical::new(logical), part)?,
            }
            at = at.saturating_add(run as u64);
            rest = behind;
        }
        Ok(())
    }
}
