// SPDX-License-Identifier: GPL-2.0

//! Where a file has bytes, in the words of fiemap and of lseek.
//!
//! C header: `include/uapi/linux/fiemap.h`

use crate::linux::bindings as b;
use crate::linux::Inode;
use latch::prelude::*;
use units::{Bytes, FileOffset, Logical};

/// The bits `FIEMAP_EXTENT_*` of an extent.
pub(crate) mod flags {
    use super::b;
    /// Within the tree.
    pub(crate) const INLINE: u32 = b::FIEMAP_EXTENT_DATA_INLINE | b::FIEMAP_EXTENT_NOT_ALIGNED;
    /// The bytes are compressed.
    pub(crate) const ENCODED: u32 = b::FIEMAP_EXTENT_ENCODED;
    /// Space that reads as zeroes.
    pub(crate) const UNWRITTEN: u32 = b::FIEMAP_EXTENT_UNWRITTEN;
    /// Others have the extent, too.
    pub(crate) const SHARED: u32 = b::FIEMAP_EXTENT_SHARED;
    /// The extent is yet to get its address.
    pub(crate) const DELAYED: u32 = b::FIEMAP_EXTENT_DELALLOC | b::FIEMAP_EXTENT_UNKNOWN;
}

/// A piece of a file that is no hole.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    /// Where in the file.
    pub(crate) pos: FileOffset,
    /// How long it is.
    pub(crate) len: Bytes,
    /// The piece's logical address; zero for what has none.
    pub(crate) address: Logical,
    /// The bits of [`flags`] that are set.
    pub(crate) flags: u32,
}

impl Piece {
    pub(super) fn end(&self) -> FileOffset {
        self.pos.saturating_add(self.len)
    }

    /// Whether `next` goes on where this ends, in the file and on the volume.
    pub(super) fn goes_on_with(&self, next: &Self) -> bool {
        let address = self.address.checked_add(self.len);
        const ALONE: u32 = flags::INLINE | flags::ENCODED | flags::DELAYED;
        let has_address = (self.flags | next.flags) & ALONE == 0;
        has_address
            && next.pos == self.end()
            && Some(next.address) == address
            && next.flags == self.flags
    }
}

/// What is at a position.
pub(crate) enum Found {
    /// No byte, up to this position.
    HoleUntil(FileOffset),
    /// A piece; what is next begins at the second member.
    Piece(Piece, FileOffset),
}

/// Whether there are bytes at a position, for who seeks them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// None: it reads as zeroes.
    Hole,
    /// Some, be they on the device or not.
    Data,
}

/// Files of which it can be told where their bytes are. What is dirty counts, and is not written out for it.
pub(crate) trait Extents: 'static {
    /// What is at `pos`, as far as `end`.
    fn find(inode: &Inode, pos: FileOffset, end: FileOffset) -> Result<Found>;
    /// Whether there are bytes at `pos`, and up to where that is so at least: behind `pos`, and not behind `end`.
    fn look(inode: &Inode, pos: FileOffset, end: FileOffset) -> Result<(Content, FileOffset)>;
}

/// A file may have very many extents.
pub(super) fn may_go_on() -> Result {
    match latch::is_killed() {
        true => Err(EINTR),
        false => Ok(()),
    }
}
