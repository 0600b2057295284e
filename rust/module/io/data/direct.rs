// SPDX-License-Identifier: GPL-2.0

//! Direct IO: between user memory and the engine.
//!
//! A write is an ordered extent from the moment its bio gets an address until a worker has put extent and checksums into
//! the trees; only then is the bio given back. A read is checked in place. Memory belongs to the user meanwhile: a check
//! that fails is repeated on memory of ours before anybody is told.

use super::delay::goal;
use super::{Check, FileIo, TakenSpace, SECTOR_SIZE};
use crate::linux::iomap::direct::{DirectData, DirectRead};
use crate::linux::iomap::{Extent, Goal, Ioend, Patience, Scope, Source};
use crate::linux::memory::MemoryMut;
use crate::linux::Sector;
use core::sync::atomic::Ordering;
use engine::disk::{Bytes, FileOffset, InodeFlags};
use engine::fs::{Placed, WriteKind};
use engine::volume::device::SECTOR;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::NofsScope;

impl<N: Send + Sync + 'static> DirectData for FileIo<N> {
    type Check = Check;

    fn needs_stable_writes(&self) -> bool {
        self.has_checksums()
    }

    fn excludes_overlaps(&self) -> bool {
        let flags = self.inode.attributes().flags;
        flags.contains(InodeFlags::PREALLOC)
    }

    fn reserve_direct(
        &self,
        space: &mut TakenSpace,
        pos: FileOffset,
        len: Bytes,
        patience: Patience,
    ) -> Result<(Bytes, Goal)> {
        let _nofs = NofsScope::enter();
        let wanted = pos..pos.saturating_add(len);
        loop {
            let Placed { kind, len } = self.place(&wanted, Scope::Front, patience)?;
            let Some(reservation) = self.reserve_space(pos, len, kind, patience)? else {
                continue;
            };
            let range = pos..pos.saturating_add(len);
            // Nobody else writes there, and no snapshot is made, now that space is promised.
            if kind == WriteKind::Cow || self.path.fs.in_place().is_possible(&self.inode, range)? {
                space.add(reservation);
                return Ok((len, goal(kind)));
            }
        }
    }

    fn send_direct(&self, ioend: Ioend<Self>, space: &mut TakenSpace, patience: Patience) {
        self.send_pieces(ioend, space, patience);
    }

    fn forget_behind(&self, size: Bytes) -> Result {
        let attributes = self.inode.attributes();
        if attributes.size <= size {
            return Ok(());
        }
        // The block with the old end may have been written as a whole.
        self.tail.forget();
        let _nofs = NofsScope::enter();
        self.path
            .fs
            .file_space()
            .forget_growth(&self.inode, size, attributes.mtime)
    }

    fn stored_size(&self) -> Bytes {
        self.inode.attributes().size
    }

    fn find(
        &self,
        pos: FileOffset,
        len: Bytes,
        patience: Patience,
    ) -> Result<(Extent, Option<Arc<Check>>)> {
        let reuses = self.reuses();
        let extent = self.look_up(pos, len, patience)?;
        let Source::Mapped(logical) = extent.source else {
            return Ok((extent, None));
        };
        let check = Check {
            pos,
            logical,
            sums: self.sums(logical, extent.len, patience)?,
            reuses,
        };
        Ok((extent, Some(Arc::new(check, GFP_KERNEL)?)))
    }

    fn read_direct(&self, bio: DirectRead<Self>) {
        match self.locate(bio.logical(), bio.len()) {
            Some((device, at)) => bio.submit(device, Sector::of(at)),
            None => bio.read_again(),
        }
    }

    fn verify_direct(&self, check: &Check, pos: FileOffset, bytes: MemoryMut<'_>) -> Result {
        let is_there = self.is_still_there(check, pos, bytes.len().into())?;
        if is_there && check.sums.is_none() {
            return Ok(());
        }
        each_sector(pos, bytes, |at, bytes| {
            let index = usize::try_from(at.saturating_since(check.pos).count(SECTOR))?;
            match is_there && self.matches(check.sums.as_ref(), index, bytes.as_memory()) {
                true => Ok(()),
                false => self.reread(at, bytes),
            }
        })
    }

    fn reread_direct(&self, pos: FileOffset, bytes: MemoryMut<'_>) -> Result {
        each_sector(pos, bytes, |at, bytes| self.reread(at, bytes))
    }
}

impl<N: Send + Sync + 'static> FileIo<N> {
    /// Reads the sector at `pos` of the file again, into memory of ours, and gives it to the user.
    fn reread(&self, pos: FileOffset, bytes: MemoryMut<'_>) -> Result {
        self.path.tally.reread.fetch_add(1, Ordering::Relaxed);
        let mut copy = KVec::from_elem(0, SECTOR_SIZE, GFP_KERNEL)?;
        self.read_blocks(pos, &mut copy)?;
        bytes.copy_from(&copy);
        Ok(())
    }
}

/// Calls `each` for the sectors of `bytes`, the first of which stands at `pos`.
fn each_sector(
    mut pos: FileOffset,
    bytes: MemoryMut<'_>,
    mut each: impl FnMut(FileOffset, MemoryMut<'_>) -> Result,
) -> Result {
    let mut rest = bytes;
    while rest.len() > 0 {
        let (sector, behind) = rest.split_at(SECTOR_SIZE);
        each(pos, sector)?;
        pos = pos.saturating_add(SECTOR);
        rest = behind;
    }
    Ok(())
}
