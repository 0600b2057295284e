// SPDX-License-Identifier: GPL-2.0
//! Moving one extent: its data, its checksums, and all that refers to it, in one transaction.

use super::extents::{reference, FileHolders, InUse};
use super::pieces::{Held, Pieces};
use super::Relocation;
use crate::btree::{Allocate, Reach, Tree};
use crate::disk::{Bytes, FileRef, Logical};
use crate::fs::subvolume::ExtentsLock;
use crate::fs::{NewExtent, SectorSums, Subvolume};
use crate::space::{DataExtent, Reservation};
use crate::txn::{Handle, Units};
use latch::prelude::*;

/// What became of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The extent is elsewhere; so many bytes were written.
    Moved(Bytes),
    /// Nobody refers to it any more.
    Gone,
    /// The extent has more holders than it was seen to have, or than are counted.
    Changed,
    /// What is free is in pieces that are too short.
    NoPlace,
    /// There is a place in zones that may not be active before others are full; so many data writes had ended.
    NoZone(u64),
    /// The extent cannot be moved.
    Stays,
}

/// A file that refers to the extent, and the lock of its extents.
pub(super) struct FileHolder {
    subvolume: Subvolume,
    file: FileRef,
    lock: ExtentsLock,
}

impl FileHolder {
    fn held(&self, extent: DataExtent) -> Held<'_> {
        Held {
            tree: self.subvolume.tree(),
            file: &self.file,
            extent,
        }
    }
}

/// The holders of an extent.
pub(super) enum Found {
    /// All of them; none: nobody refers to it any more.
    All(KVec<FileHolder>),
    /// Files have more items than the extent tree counts: it will, if references are queued, and is wrong otherwise.
    Uncounted,
    /// The extent cannot be moved: some holders cannot be followed, or it is too long to be written in one piece.
    Others,
}

impl Relocation<'_> {
    /// Moves an extent to space drawn from `space`. After an error but an abort it may be in both places, each of them in use.
    ///
    /// All of it is done with one handle, from finding who refers to the extent to the change of the last item: as long as
    /// that is held, no zone is reset in which something was freed since, so what is read is what the items mean.
    pub(super) fn move_extent(
        &self,
        extents: &Tree,
        seen: &InUse,
        space: &Reservation,
        buf: &mut KVVec<u8>,
    ) -> Result<Fate> {
        let DataExtent { logical, len } = seen.extent;
        let Some(items) = seen.items() else {
            return Ok(Fate::Stays);
        };
        if len > self.longest() {
            return Ok(Fate::Stays);
        }
        buf.resize(usize::try_from(len.get())?, 0, GFP_KERNEL)?;
        let txns = self.fs.transactions();
        let handle = txns.start_freeing_now(self.units(len, items))?;
        let now = InUse::first(extents, logical, logical.saturating_add(Bytes::new(1)))?;
        let Some(now) = now.filter(|now| now.extent == seen.extent) else {
            return Ok(Fate::Gone);
        };
        if now.items().is_none_or(|now| now > items) {
            return Ok(Fate::Changed);
        }
        let holders = match self.holders(&handle, &now)? {
            Found::All(holders) if holders.is_empty() => return Ok(Fate::Gone),
            Found::All(holders) => holders,
            Found::Uncounted => return Ok(Fate::Changed),
            Found::Others => return Ok(Fate::Stays),
        };
        let sums = self.read(seen.extent, buf)?;
        // Nobody waits for others' writes with a handle: to be entered they may wait for a commit, which waits for it.
        let ended = txns.space().data_ended();
        let mut new = match self.fs.data().try_allocate(space, len, len) {
            Err(error) if error == ENOSPC => return Ok(Fate::NoPlace),
            Err(error) if error == EAGAIN => return Ok(Fate::NoZone(ended)),
            new => new?,
        };
        new.move_to(txns.volume().data().write_extent(new.get().logical, buf)?);
        new.written()?;
        self.record(&handle, &holders, seen.extent, new, &sums)
    }

    /// The longest extent that can be written in one piece.
    fn longest(&self) -> Bytes {
        self.fs.transactions().volume().rules().max_extent_len()
    }

    /// What moving an extent changes: the checksums, and the items. Those of one holder are close together; each may have a tree
    /// of its own.
    fn units(&self, len: Bytes, items: u32) -> Units {
        let sector = self.fs.sector_size();
        let size = u64::try_from(self.fs.format().checksum.size()).unwrap_or(u64::MAX);
        let half_leaf = u64::from(self.fs.format().node_size / 2);
        let sums = len.count(sector).saturating_mul(size);
        let leaves = u32::try_from(sums.checked_div(half_leaf).unwrap_or(0)).unwrap_or(u32::MAX);
        Units::inserts(leaves.saturating_add(2))
            .and(Units::updates(items.min(64).saturating_add(items / 8)))
    }

    /// Who refers to the extent now, if it can be moved.
    pub(super) fn holders(&self, handle: &Handle, in_use: &InUse) -> Result<Found> {
        let FileHolders::Files(files) = &in_use.holders else {
            return Ok(Found::Others);
        };
        if in_use.extent.len > self.longest() {
            return Ok(Found::Others);
        }
        let mut holders = KVec::with_capacity(files.len(), GFP_NOFAIL)?;
        let mut is_counted = true;
        for file in files {
            let subvolume = match self.fs.subvolumes().get(file.root) {
                // Half deleted.
                Err(error) if error == ENOENT => return Ok(Found::Others),
                found => found?,
            };
            let lock = subvolume.extents_of(file.inode)?;
            let file = *file;
            let holder = FileHolder {
                subvolume,
                file,
                lock,
            };
            match holder.held(in_use.extent).look(handle)? {
                Pieces::None => {}
                Pieces::Own(count) => {
                    is_counted &= u32::try_from(count).is_ok_and(|count| count <= file.count);
                    holders.push_within_capacity(holder).map_err(|_| ENOMEM)?;
                }
                Pieces::Shared => return Ok(Found::Others),
            }
        }
        Ok(match is_counted {
            true => Found::All(holders),
            false => Found::Uncounted,
        })
    }

    /// Reads the data, as far as there are checksums only what they are of.
    fn read(&self, extent: DataExtent, buf: &mut [u8]) -> Result<SectorSums> {
        let DataExtent { logical, len } = extent;
        let sums = self.fs.data().sums_of(logical, len, Reach::Device)?;
        let volume = self.fs.transactions().volume();
        let kind = self.fs.format().checksum;
        let matches = |(index, sector): (usize, &[u8])| {
            let digest = volume.checksums().digest(kind, sector);
            let sum = digest.get(..kind.size());
            sums.get(index).is_none_or(|wanted| Some(wanted) == sum)
        };
        let sector = usize::try_from(self.fs.sector_size().get())?;
        volume.data().read_good(logical, buf, &|bytes| {
            bytes.chunks(sector.max(1)).enumerate().all(matches)
        })?;
        Ok(sums)
    }

    /// Records the new place for the old one wherever that still is.
    ///
    /// A reference of our own keeps the new place as long as that takes: what others do to a file that was let go of must not take
    /// it away before the next file has it.
    fn record(
        &self,
        handle: &Handle,
        holders: &[FileHolder],
        old: DataExtent,
        new: NewExtent,
        sums: &SectorSums,
    ) -> Result<Fate> {
        let Some(first) = holders.first() else {
            return Ok(Fate::Gone);
        };
        let ours = reference(&first.file, new.get());
        handle.add_data(&ours)?;
        let recorded = self.record_held(handle, holders, old, new.keep(), sums);
        handle.release_data(&ours)?;
        recorded
    }

    /// Who looks a new address up finds its checksums: those go in before any item has it.
    fn record_held(
        &self,
        handle: &Handle,
        holders: &[FileHolder],
        old: DataExtent,
        to: DataExtent,
        sums: &SectorSums,
    ) -> Result<Fate> {
        self.insert_sums(handle, to.logical, sums)?;
        let mut replaced = 0_u32;
        for holder in holders {
            let _extents = holder.lock.write();
            replaced = replaced.saturating_add(holder.held(old).replace(handle, to)?);
        }
        Ok(match replaced {
            0 => Fate::Gone,
            _ => Fate::Moved(to.len),
        })
    }

    fn insert_sums(&self, handle: &Handle, logical: Logical, sums: &SectorSums) -> Result {
        for (sector, run) in sums.runs() {
            let within = self.fs.sector_size().saturating_mul(u64::try_from(sector)?);
            let at = logical.saturating_add(within);
            self.fs.data().insert_checksums(handle, at, run)?;
        }
        Ok(())
    }
}
