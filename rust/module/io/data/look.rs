// SPDX-License-Identifier: GPL-2.0

//! What is at a position of a file, and its bytes: looked up again where that became old meanwhile.
//!
//! Nobody keeps a file from being written over while it is read. After a commit the old address may be another file's,
//! or its chunk may be gone. Its checksums go even before. So an address that turns out to be no good says nothing by
//! itself: only if the file still has it, and nothing was given up for others since the look-up, is anybody told.

use super::{FileIo, SECTOR_SIZE};
use crate::linux::iomap::{Extent, Joins, Patience, Source};
use engine::disk::{Bug, Bytes, Corrupt, FileOffset, Logical};
use engine::fs::{Mapping, MappingKind};
use engine::volume::{no_chunk, NO_DEVICE};
use latch::prelude::*;

/// How often a read begins again because what it looked up was freed and used again before it ended.
const ATTEMPTS: u32 = 64;

/// A run of what is read is cut to what is wanted.
const OUTSIDE: Bug = Bug::new("a run of a file goes beyond the bytes that are read");

/// Bytes of a file, and where the look-up said that they are.
struct Piece {
    pos: FileOffset,
    logical: Logical,
    len: Bytes,
}

/// Why something was not found or read. Nothing of it has been logged but errors.
enum Unread {
    /// An error that has had its line, or needs none.
    Failed(Error),
    /// The file says what cannot be.
    Corrupt(Corrupt),
    /// No copy of this has the right checksum.
    Damaged(Piece),
    /// The devices fail to read any copy of this.
    Unreadable(Piece),
}

/// What came of a look that may have been at old addresses.
type Looked<T> = core::result::Result<T, Unread>;

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Bug> for Unread {
    fn from(bug: Bug) -> Self {
        Self::Failed(bug.report())
    }
}

impl From<Corrupt> for Unread {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl<N: Send + Sync + 'static> FileIo<N> {
    /// What is at `pos`, for at most `len` bytes.
    pub(super) fn look_up(
        &self,
        pos: FileOffset,
        len: Bytes,
        patience: Patience,
    ) -> Result<Extent> {
        self.until_steady(|| self.look_up_once(pos, len, patience))
    }

    /// Reads and checks whole blocks.
    pub(super) fn read_blocks(&self, pos: FileOffset, bytes: &mut [u8]) -> Result {
        self.until_steady(|| self.read_blocks_once(pos, bytes))
    }

    /// Logs why something was not read, and gives the error for the caller.
    fn tell(&self, unread: Unread) -> Error {
        let (Piece { pos, logical, .. }, what) = match unread {
            Unread::Failed(error) => return error,
            Unread::Corrupt(corrupt) => return corrupt.report(),
            Unread::Damaged(piece) => (piece, "is damaged: no copy has the right checksum"),
            Unread::Unreadable(piece) => (piece, "cannot be read from the device"),
        };
        pr_err!(
            "inode {} of tree {}: data at file offset {pos} (logical {logical}) {what}\n",
            self.inode.number(),
            self.inode.subvolume().id()
        );
        EIO
    }

    /// Does `read`; once more if what it looked up was written over meanwhile, or may have become another file's.
    fn until_steady<T>(&self, mut read: impl FnMut() -> Looked<T>) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let reuses = self.reuses();
            let result = read();
            // That somebody would have to wait says nothing of the data.
            let would_wait = matches!(result, Err(Unread::Failed(error)) if error == EAGAIN);
            let is_current = match &result {
                Err(Unread::Damaged(piece) | Unread::Unreadable(piece)) => self.still_has(piece),
                _ => true,
            };
            if would_wait || (is_current && self.reuses() == reuses) {
                return result.map_err(|unread| self.tell(unread));
            }
        }
        pr_err!(
            "inode {} of tree {}: {ATTEMPTS} reads in turn met space that was used for something else meanwhile\n",
            self.inode.number(),
            self.inode.subvolume().id()
        );
        Err(EIO)
    }

    /// Whether the file has all of a piece where it was found, or it cannot be told.
    fn still_has(&self, piece: &Piece) -> bool {
        let &Piece { pos, logical, len } = piece;
        let now = self.look_up_once(pos, len, Patience::Waits);
        now.map_or(true, |now| is_all_at(&now, logical, len))
    }

    fn look_up_once(&self, pos: FileOffset, len: Bytes, patience: Patience) -> Looked<Extent> {
        let mappings = self.path.fs.mappings();
        let found = match patience {
            Patience::Waits => mappings.find(&self.inode, pos, len)?,
            Patience::None => mappings.find_cached(&self.inode, pos, len)?,
        };
        self.as_extent(pos, found)
    }

    /// What was found at `pos`, as far as one device goes.
    fn as_extent(&self, pos: FileOffset, found: Mapping) -> Looked<Extent> {
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
                let place = self.path.volume.find(logical, found.len);
                let place = place.ok_or_else(|| no_chunk(logical))?;
                extent.len = place.len;
                extent.source = Source::Mapped(logical);
                if place.chunk == logical {
                    extent.joins = Joins::Nothing;
                }
            }
            MappingKind::Compressed(_) => {
                pr_warn!(
                    "inode {} of tree {}: compressed data cannot be read yet\n",
                    self.inode.number(),
                    self.inode.subvolume().id()
                );
                return Err(EOPNOTSUPP.into());
            }
        }
        Ok(extent)
    }

    fn read_blocks_once(&self, pos: FileOffset, bytes: &mut [u8]) -> Looked<()> {
        let mut rest = bytes;
        let mut at = pos;
        while !rest.is_empty() {
            let extent = self.look_up_once(at, rest.len().into(), Patience::Waits)?;
            let run = usize::try_from(extent.len)
                .unwrap_or(rest.len())
                .min(rest.len());
            let (part, behind) = rest.split_at_mut_checked(run).ok_or(OUTSIDE)?;
            match extent.source {
                Source::Hole => part.fill(0),
                Source::Inline(data) => {
                    let (head, tail) = part.split_at_mut(data.len().min(run));
                    head.copy_from_slice(data.get(..head.len()).ok_or(OUTSIDE)?);
                    tail.fill(0);
                }
                Source::Mapped(logical) => self.read_data(at, logical, part)?,
            }
            at = at.saturating_add(run.into());
            rest = behind;
        }
        Ok(())
    }

    /// Reads whole sectors from the first copy of them that is good.
    fn read_data(&self, pos: FileOffset, logical: Logical, bytes: &mut [u8]) -> Looked<()> {
        let len = bytes.len().into();
        let sums = self.sums(logical, len, Patience::Waits)?;
        let mapping = self.path.volume.find(logical, len);
        let mapping = mapping.ok_or_else(|| no_chunk(logical))?;
        let piece = Piece { pos, logical, len };
        let mut is_read = false;
        for place in mapping.copies() {
            let device = self.path.volume.device(place.devid).ok_or(NO_DEVICE)?;
            if device.read(place.at, bytes).is_err() {
                continue;
            }
            let mut sectors = bytes.chunks(SECTOR_SIZE).enumerate();
            if sectors.all(|(index, sector)| self.matches(sums.as_ref(), index, sector.into())) {
                return Ok(());
            }
            is_read = true;
        }
        Err(match is_read {
            true => Unread::Damaged(piece),
            false => Unread::Unreadable(piece),
        })
    }
}

/// Whether what was found is `len` bytes at `logical`.
pub(super) fn is_all_at(found: &Extent, logical: Logical, len: Bytes) -> bool {
    found.len >= len && matches!(found.source, Source::Mapped(at) if at == logical)
}
