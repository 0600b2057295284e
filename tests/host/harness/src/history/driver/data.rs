// SPDX-License-Identifier: GPL-2.0
//! The driver's steps that change what is in a file.

use super::super::op::Id;
use super::super::reader::{checksums, read};
use super::Driver;
use crate::punch::PunchHole;
use engine::disk::{Bytes, FileOffset};
use engine::fs::{Changes, InPlace, Inode, MappingKind, NewExtent, OrderedExtent, Times};
use engine::fs::{WriteKind, WriteReservation, WrittenInPlace};
use kernel::prelude::*;
use kernel::sync::Arc;

const SECTOR: u64 = 4096;
const MAX_INLINE: u64 = 2048;

/// How a small file may be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In the tree if it qualifies.
    Any,
    /// In extents.
    Regular,
}

fn align_down(value: u64) -> u64 {
    value / SECTOR * SECTOR
}

fn align_up(value: u64) -> u64 {
    value.next_multiple_of(SECTOR)
}

impl Driver {
    /// The bytes of `[offset, offset + buf.len())`, zeros beyond the end of the file.
    pub(super) fn read(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result {
        read(&self.mounted, inode, offset, buf)
    }

    pub(super) fn write(&mut self, inode: &Arc<Inode>, offset: u64, data: &[u8]) -> Result {
        let end = offset + data.len() as u64;
        let size = inode.attributes().size;
        if offset > align_up(size.get()) {
            self.settle_tail(inode)?;
        } else if offset > size.get() {
            // The write below covers the tail.
            return self.write_extended(inode, size.get(), offset, data);
        }
        self.write_sectors(
            inode,
            offset,
            data,
            size.max(Bytes::new(end)).get(),
            Form::Any,
        )
    }

    /// Writes with the gap between the size and `offset` filled.
    pub(super) fn write_extended(
        &mut self,
        inode: &Arc<Inode>,
        size: u64,
        offset: u64,
        data: &[u8],
    ) -> Result {
        let mut bytes = std::vec![0; (offset - size) as usize];
        bytes.extend_from_slice(data);
        let end = offset + data.len() as u64;
        self.write_sectors(inode, size, &bytes, end, Form::Any)
    }

    /// Rewrites the sector with the end of the file: nothing but zeros is behind the end, and it is not in the tree.
    /// For when the file is about to grow.
    pub(super) fn settle_tail(&mut self, inode: &Arc<Inode>) -> Result {
        let size = inode.attributes().size;
        if size.get() % SECTOR == 0 {
            return Ok(());
        }
        let start = align_down(size.get());
        if matches!(
            self.mounted
                .fs
                .mappings()
                .find(inode, FileOffset::new(start), Bytes::new(SECTOR))?
                .kind,
            MappingKind::Hole
        ) {
            return Ok(());
        }
        let mut tail = std::vec![0; (size.get() - start) as usize];
        self.read(inode, start, &mut tail)?;
        self.write_sectors(inode, start, &tail, size.get(), Form::Regular)
    }

    /// Writes the sectors that `data` touches; the file's size is `new_size` when all is done.
    fn write_sectors(
        &mut self,
        inode: &Arc<Inode>,
        offset: u64,
        data: &[u8],
        new_size: u64,
        form: Form,
    ) -> Result {
        let (start, end) = (align_down(offset), align_up(offset + data.len() as u64));
        let mut bytes = std::vec![0; (end - start) as usize];
        let within = (offset - start) as usize;
        if within > 0 {
            self.read(inode, start, &mut bytes[..SECTOR as usize])?;
        }
        let last = bytes.len() - SECTOR as usize;
        if (offset + data.len() as u64) % SECTOR != 0 && (last > 0 || within == 0) {
            self.read(inode, start + last as u64, &mut bytes[last..])?;
        }
        bytes[within..within + data.len()].copy_from_slice(data);
        let mut reservation = self.mounted.fs.data().reserve_write(
            inode,
            FileOffset::new(start),
            Bytes::new(end - start),
        )?;
        if form == Form::Any && start == 0 && new_size <= MAX_INLINE {
            let all = &bytes[..new_size as usize];
            match self
                .mounted
                .fs
                .data()
                .write_inline(inode, all, reservation)?
            {
                None => return self.note_contents(inode),
                Some(back) => reservation = back,
            }
        }
        self.write_extents(inode, start, &bytes, new_size, reservation)
    }

    /// For what changes contents and takes no time.
    fn note_contents(&self, inode: &Inode) -> Result {
        let changes = Changes {
            mtime: Some(self.now),
            ctime: Some(self.now),
            ..Changes::default()
        };
        self.mounted.fs.inodes().set_attributes(inode, |_| changes)
    }

    fn write_extents(
        &mut self,
        inode: &Inode,
        start: u64,
        bytes: &[u8],
        new_size: u64,
        reservation: WriteReservation,
    ) -> Result {
        let mut reservation = reservation;
        let (mut at, mut rest) = (start, bytes);
        while !rest.is_empty() {
            let done = self.write_in_place(inode, at, rest, new_size, &mut reservation)?;
            if done > 0 {
                at += done;
                rest = &rest[done as usize..];
                continue;
            }
            let extent = self.place(&mut reservation, rest)?;
            let len = extent.get().len;
            let (now, later) = rest.split_at(len.get() as usize);
            let for_later = reservation.split(Bytes::from(later.len()))?;
            let mut sums = KVVec::new();
            sums.extend_from_slice(&checksums(&self.mounted, now), GFP_KERNEL)?;
            let offset = FileOffset::new(at);
            let new_size = new_size.min(at + len.get());
            let ordered = OrderedExtent {
                ram_len: len,
                offset,
                extent,
                checksums: sums,
                new_size: Bytes::new(new_size),
                reservation,
            };
            inode.note_times(&Times {
                mtime: Some(self.now),
                ctime: Some(self.now),
                ..Times::default()
            });
            self.mounted.fs.data().finish_ordered(inode, ordered)?;
            reservation = for_later;
            at += len.get();
            rest = later;
        }
        Ok(())
    }

    /// Writes the first of `bytes` to unwritten space that the file has there; how many.
    fn write_in_place(
        &mut self,
        inode: &Inode,
        at: u64,
        bytes: &[u8],
        new_size: u64,
        reservation: &mut WriteReservation,
    ) -> Result<u64> {
        let fs = &self.mounted.fs;
        let start = FileOffset::new(at);
        let placed = fs
            .in_place()
            .place(inode, start, Bytes::from(bytes.len()))?;
        if placed.kind == WriteKind::Cow {
            return Ok(0);
        }
        let space = fs.in_place().find(inode, start, placed.len)?;
        let InPlace { logical, len } = space.ok_or(EIO)?;
        let bytes = &bytes[..len.get() as usize];
        self.mounted.write_data(logical, bytes)?;
        let mut sums = KVVec::new();
        sums.extend_from_slice(&checksums(&self.mounted, bytes), GFP_KERNEL)?;
        inode.note_times(&Times {
            mtime: Some(self.now),
            ctime: Some(self.now),
            ..Times::default()
        });
        let written = WrittenInPlace {
            range: start..FileOffset::new(at + len.get()),
            logical,
            checksums: sums,
            new_size: Bytes::new(new_size.min(at + len.get())),
            reservation: reservation.split(len)?,
        };
        fs.in_place().finish(inode, written)?;
        Ok(len.get())
    }

    /// Puts the first of `bytes` on the devices; where and how many.
    fn place(&self, reservation: &mut WriteReservation, bytes: &[u8]) -> Result<NewExtent> {
        let fs = &self.mounted.fs;
        let wanted = Bytes::from(bytes.len()).min(self.mounted.volume.rules().max_extent_len());
        let mut extent = fs.data().allocate_write(reservation, wanted)?;
        let len = extent.get().len.get() as usize;
        self.mounted.put_data(&mut extent, &bytes[..len])?;
        Ok(extent)
    }

    pub(super) fn truncate(&mut self, id: Id, size: u64) -> Result {
        let inode = self.inode(id)?;
        let old = inode.attributes().size;
        if size > old.get() {
            self.settle_tail(&inode)?;
        }
        self.mounted
            .fs
            .file_space()
            .truncate(&inode, Bytes::new(size), self.now)?;
        if size < old.get() {
            self.settle_tail(&inode)?;
        }
        Ok(())
    }

    pub(super) fn punch_hole(&mut self, id: Id, offset: u64, len: u64) -> Result {
        let inode = self.inode(id)?;
        let size = inode.attributes().size;
        let end = offset + len;
        let (first, last) = (align_up(offset), align_down(end));
        if first < last {
            self.mounted.fs.file_space().punch_hole(
                &inode,
                FileOffset::new(first),
                Bytes::new(last - first),
                self.now,
            )?;
        }
        // Partial sectors at both ends, or one.
        for (from, to) in [(offset, first.min(end)), (last.max(offset), end)] {
            let to = to.min(size.get());
            if from < to && !(from == offset && to <= from) {
                self.write_sectors(
                    &inode,
                    from,
                    &std::vec![0; (to - from) as usize],
                    size.get(),
                    Form::Any,
                )?;
            }
            if first > last {
                break;
            }
        }
        self.note_contents(&inode)
    }

    pub(super) fn preallocate(&mut self, id: Id, offset: u64, len: u64) -> Result {
        let inode = self.inode(id)?;
        let (start, end) = (align_down(offset), align_up(offset + len));
        self.settle_tail(&inode)?;
        let new_size = (offset + len > inode.attributes().size.get()).then_some(offset + len);
        self.mounted.fs.file_space().preallocate(
            &inode,
            FileOffset::new(start),
            Bytes::new(end - start),
            new_size.map(Bytes::new),
            self.now,
        )
    }
}
