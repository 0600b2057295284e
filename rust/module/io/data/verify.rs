// SPDX-License-Identifier: GPL-2.0

//! What was read is compared with its checksums; another copy serves where one is damaged.

use super::place::NO_DEVICE;
use super::{Check, FileIo};
use crate::io::checksums::digest;
use crate::linux::iomap::{Extent, Joins, Patience, ReadBio, Source};
use crate::linux::memory::Memory;
use engine::btree::Reach;
use engine::disk::{FileOffset, Logical};
use engine::fs::{Mapping, MappingKind, SectorSums};
use engine::volume::device::SECTOR;
use latch::prelude::*;

/// How often a read begins again because what it looked up was freed and used again before it ended.
const ATTEMPTS: u32 = 64;

impl<N: Send + Sync + 'static> FileIo<N> {
    /// What is at `pos`, for at most `len` bytes.
    pub(super) fn look_up(&self, pos: u64, len: u64, patience: Patience) -> Result<Extent> {
        let (fs, offset) = (&self.path.fs, FileOffset::new(pos));
        let found = match patience {
            Patience::Waits => fs.data().map(&self.inode, offset, len)?,
            Patience::None => fs.data().map_cached(&self.inode, offset, len)?,
        };
        self.as_extent(pos, found)
    }

    /// The checksums of what is at `logical`.
    pub(super) fn sums(
        &self,
        logical: Logical,
        len: u64,
        patience: Patience,
    ) -> Result<Option<SectorSums>> {
        let reach = match patience {
            Patience::Waits => Reach::Device,
            Patience::None => Reach::Cache,
        };
        self.path
            .fs
            .data()
            .checksums_within(&self.inode, logical, len, reach)
    }

    /// What was found at `pos`, as far as one device goes.
    fn as_extent(&self, pos: u64, found: Mapping) -> Result<Extent> {
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
                let run = self.path.volume.map(logical, found.len)?.len;
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

    /// Sends a read on its way, with the checksums that it must have.
    pub(super) fn send_read(&self, bio: ReadBio<Self>, patience: Patience) {
        let logical = Logical::new(bio.logical());
        let found = self
            .locate(logical, bio.len())
            .and_then(|place| Ok((place, self.sums(logical, bio.len(), patience)?)));
        match found {
            Ok(((device, at), sums)) => {
                let check = Check {
                    pos: bio.pos(),
                    logical,
                    sums,
                    reuses: bio.age(),
                };
                bio.submit(device, at.get() >> 9, check);
            }
            Err(error) => bio.fail(error),
        }
    }

    /// Checks the bytes read for `pos`, and reads those again that are wrong.
    pub(super) fn verify_read(&self, check: &Check, pos: u64, bytes: &mut [u8]) -> Result {
        // Else the checksums may be those of another file as well.
        if !self.is_still_there(check, pos, bytes.len() as u64)? {
            return self.read_blocks(pos, bytes);
        }
        let offset = pos.saturating_sub(check.pos);
        let mut index = usize::try_from(offset / SECTOR).map_err(|_| EIO)?;
        let mut at = pos;
        for sector in bytes.chunks_mut(SECTOR as usize) {
            if !self.matches(check.sums.as_ref(), index, (&*sector).into()) {
                // Another copy may be good, or the file has been rewritten since it was mapped.
                self.read_blocks(at, sector)?;
            }
            index = index.saturating_add(1);
            at = at.saturating_add(SECTOR);
        }
        Ok(())
    }

    /// How often addresses that were given up have been let go for others.
    pub(super) fn reuses(&self) -> u64 {
        self.path.fs.transactions().space().reuses()
    }

    /// Whether what was read was the file's all the time since it was looked up: nobody keeps a file from being written
    /// over, and the old extent from being used by another one after a commit, while it is read.
    pub(super) fn is_still_there(&self, check: &Check, pos: u64, len: u64) -> Result<bool> {
        if self.reuses() == check.reuses {
            return Ok(true);
        }
        let logical = check
            .logical
            .saturating_add(pos.saturating_sub(check.pos))
            .get();
        let now = self.look_up(pos, len, Patience::Waits)?;
        let reuses = self.reuses();
        // An address that went to another file takes two commits to come back.
        Ok(reuses == check.reuses.wrapping_add(1)
            && now.len >= len
            && matches!(now.source, Source::Mapped(at) if at == logical))
    }

    /// Reads and checks whole blocks; once more if what was looked up may have become another file's meanwhile.
    pub(super) fn read_blocks(&self, pos: u64, bytes: &mut [u8]) -> Result {
        for _ in 0..ATTEMPTS {
            let reuses = self.reuses();
            let result = self.read_blocks_once(pos, bytes);
            if self.reuses() == reuses {
                return result;
            }
        }
        Err(EIO)
    }

    fn read_blocks_once(&self, pos: u64, bytes: &mut [u8]) -> Result {
        let mut rest = bytes;
        let mut at = pos;
        while !rest.is_empty() {
            let extent = self.look_up(at, rest.len() as u64, Patience::Waits)?;
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

    /// Whether `sector` is what `sums` says of the sector with this index; no checksum at all is a yes.
    pub(super) fn matches(
        &self,
        sums: Option<&SectorSums>,
        index: usize,
        sector: Memory<'_>,
    ) -> bool {
        let Some(sums) = sums else {
            return true;
        };
        let kind = self.path.volume.format().checksum;
        let found = digest(kind, sector);
        sums.get(index)
            .is_some_and(|sum| found.get(..kind.size()) == Some(sum))
    }

    /// Reads whole sectors from the first copy of them that is good.
    fn read_data(&self, pos: u64, logical: Logical, bytes: &mut [u8]) -> Result {
        let sums = self.sums(logical, bytes.len() as u64, Patience::Waits)?;
        let mapping = self.path.volume.map(logical, bytes.len() as u64)?;
        for place in mapping.copies() {
            let device = self.path.volume.device(place.device).ok_or(NO_DEVICE)?;
            if device.read(place.at, bytes).is_err() {
                continue;
            }
            let mut sectors = bytes.chunks(SECTOR as usize).enumerate();
            if sectors.all(|(index, sector)| self.matches(sums.as_ref(), index, sector.into())) {
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
}
