// SPDX-License-Identifier: GPL-2.0

//! What was read is compared with its checksums; another copy serves where one is damaged.

use super::look::is_all_at;
use super::{Check, FileIo, SECTOR_SIZE};
use crate::io::checksums::digest;
use crate::linux::iomap::{Patience, ReadBio};
use crate::linux::memory::Memory;
use crate::linux::Sector;
use engine::btree::Reach;
use engine::disk::{Bytes, FileOffset, Logical};
use engine::fs::SectorSums;
use engine::volume::device::SECTOR;
use latch::prelude::*;

/// How far a task goes for metadata.
pub(super) fn reach(patience: Patience) -> Reach {
    match patience {
        Patience::Waits => Reach::Device,
        Patience::None => Reach::Cache,
    }
}

impl<N: Send + Sync + 'static> FileIo<N> {
    /// The checksums of what is at `logical`.
    pub(super) fn sums(
        &self,
        logical: Logical,
        len: Bytes,
        patience: Patience,
    ) -> Result<Option<SectorSums>> {
        self.path
            .fs
            .data()
            .checksums_within(&self.inode, logical, len, reach(patience))
    }

    /// Sends a read on its way, with the checksums that it must have.
    pub(super) fn send_read(&self, bio: ReadBio<Self>, patience: Patience) {
        let (logical, len) = (bio.logical(), bio.len());
        let check = |sums| Check {
            pos: bio.pos(),
            logical,
            sums,
            reuses: bio.age(),
        };
        let check = match self.sums(logical, len, patience) {
            Ok(sums) => check(sums),
            // Readahead found them in memory, and now their block is locked. That is no error, of which those who watch the
            // file system would hear: a worker may wait.
            Err(error) if error == EAGAIN => {
                let unknown = check(None);
                return bio.read_again(unknown);
            }
            Err(error) => return bio.fail(error),
        };
        match self.locate(logical, len) {
            Some((device, at)) => bio.submit(device, Sector::of(at), check),
            None => bio.read_again(check),
        }
    }

    /// Checks the bytes read for `pos`, and reads those again that are wrong.
    pub(super) fn verify_read(&self, check: &Check, pos: FileOffset, bytes: &mut [u8]) -> Result {
        // Else the checksums may be those of another file as well.
        if !self.is_still_there(check, pos, bytes.len().into())? {
            return self.read_blocks(pos, bytes);
        }
        let offset = pos.saturating_since(check.pos);
        let mut index = usize::try_from(offset.count(SECTOR))?;
        let mut at = pos;
        for sector in bytes.chunks_mut(SECTOR_SIZE) {
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
    pub(super) fn is_still_there(
        &self,
        check: &Check,
        pos: FileOffset,
        len: Bytes,
    ) -> Result<bool> {
        if self.reuses() == check.reuses {
            return Ok(true);
        }
        // Data may have moved away and back at once, and been read in between, when the zone was empty.
        if self.path.volume.rules().frees_whole_groups() {
            return Ok(false);
        }
        let logical = check
            .logical
            .saturating_add(pos.saturating_since(check.pos));
        let now = self.look_up(pos, len, Patience::Waits)?;
        let reuses = self.reuses();
        // An address that went to another file takes two commits to come back.
        Ok(reuses == check.reuses.wrapping_add(1) && is_all_at(&now, logical, len))
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
}
