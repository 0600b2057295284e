// SPDX-License-Identifier: GPL-2.0
//! Where a file's bytes are.

use super::extents::{is_extent_of, parse, start_of, LAST};
use super::Mappings;
use crate::btree::{Cursor, Reach, Sought};
use crate::disk::{
    Bug, Bytes, Compression, ExtentState, FileExtent, FileOffset, InlineExtent, Key, Logical,
    RegularExtent,
};
use crate::fs::Inode;
use latch::prelude::*;

/// A piece of a file: one answer for `[offset, offset + len)`.
#[derive(Debug)]
pub struct Mapping {
    /// Where the piece begins: the position asked for.
    pub offset: FileOffset,
    /// How far the answer holds; at least 1, at most what was asked for. May reach beyond the end of the file.
    pub len: Bytes,
    /// What is there.
    pub kind: MappingKind,
}

/// What is at a piece of a file.
#[derive(Debug)]
pub enum MappingKind {
    /// Nothing: reads as zeroes.
    Hole,
    /// Bytes in the tree: these, from the position asked for; zeroes follow to the end of the sector. May be none.
    Inline(KVec<u8>),
    /// Space that was never written: reads as zeroes.
    Prealloc {
        /// Where the position asked for will be.
        logical: Logical,
    },
    /// Bytes on the device.
    Data {
        /// Where the position asked for is.
        logical: Logical,
    },
    /// The bytes are compressed.
    Compressed(Compressed),
}

/// A piece of a compressed extent.
#[derive(Debug)]
pub struct Compressed {
    /// The algorithm that compressed them.
    pub algorithm: Compression,
    /// Bytes of the whole extent once unpacked.
    pub ram_len: Bytes,
    /// The position asked for, in the unpacked extent.
    pub offset: Bytes,
    /// The packed bytes.
    pub data: CompressedData,
}

/// Where packed bytes are.
#[derive(Debug)]
pub enum CompressedData {
    /// The bytes are in the tree: these, all of them.
    Inline(KVec<u8>),
    /// The bytes are on the device, as all of an extent.
    Extent {
        /// The extent's address.
        logical: Logical,
        /// The extent's length on disk.
        disk_len: Bytes,
    },
}

/// What is at a position, and the piece of the file that says so, with its key. None where no item covers the position, and of
/// bytes in the tree.
pub(super) struct Found {
    pub mapping: Mapping,
    pub piece: Option<(Key, RegularExtent)>,
}

/// What a search found around a position.
enum Around {
    /// An item that covers the position: how many bytes from there on, and what they are.
    Covered(Bytes, MappingKind, Option<(Key, RegularExtent)>),
    /// No item has it, up to this position.
    Gap(FileOffset),
}

impl Mappings<'_> {
    /// What is at `offset`, for at most `max_len` bytes: one tree search. A write of the same bytes must not be finished
    /// meanwhile; one of other bytes may.
    pub fn find(&self, inode: &Inode, offset: FileOffset, max_len: Bytes) -> Result<Mapping> {
        let _extents = inode.hold_extents()?;
        self.find_held(inode, offset, max_len)
    }

    /// Answers as [`Self::find`] does, for a caller that must not wait: `EAGAIN` where the answer is not in memory.
    pub fn find_cached(
        &self,
        inode: &Inode,
        offset: FileOffset,
        max_len: Bytes,
    ) -> Result<Mapping> {
        let _extents = inode.try_hold_extents()?;
        let found = self.find_within(inode, offset, max_len, Reach::Cache)?;
        Ok(found.mapping)
    }

    /// Answers as [`Self::find`] does. The caller holds the extents lock.
    pub(in crate::fs) fn find_held(
        &self,
        inode: &Inode,
        offset: FileOffset,
        max_len: Bytes,
    ) -> Result<Mapping> {
        let found = self.find_within(inode, offset, max_len, Reach::Device)?;
        Ok(found.mapping)
    }

    /// Answers as [`Self::find_held`] does, with the piece. `EAGAIN` where that is out of reach.
    pub(super) fn find_within(
        &self,
        inode: &Inode,
        offset: FileOffset,
        max_len: Bytes,
        reach: Reach,
    ) -> Result<Found> {
        let max_len = max_len
            .min(LAST.saturating_since(offset))
            .max(Bytes::new(1));
        let (len, kind, piece) = match self.look_around(inode, offset, reach)? {
            Around::Covered(len, kind, piece) => (len, kind, piece),
            Around::Gap(end) => (end.saturating_since(offset), MappingKind::Hole, None),
        };
        let len = len.min(max_len);
        let mapping = Mapping { offset, len, kind };
        Ok(Found { mapping, piece })
    }

    fn look_around(&self, inode: &Inode, at: FileOffset, reach: Reach) -> Result<Around> {
        let tree = inode.subvolume().tree();
        let mut cursor = Cursor::reaching(tree, reach).up_to(inode.extent_key(LAST));
        if cursor.seek_floor(&inode.extent_key(at))? == Sought::Found {
            const NOWHERE: Bug = Bug::new("cursor stands at no item");
            let (key, item) = cursor.item().ok_or(NOWHERE)?;
            if is_extent_of(&key, inode) {
                let within = at.saturating_since(start_of(&key));
                let extent = parse(inode, &key, item)?;
                if let Some((len, kind)) = self.cover(&extent, within)? {
                    let piece = match extent {
                        FileExtent::Regular(piece) => Some((key, piece)),
                        FileExtent::Inline(_) => None,
                    };
                    return Ok(Around::Covered(len, kind, piece));
                }
            }
            cursor.next()?;
        } else {
            cursor.seek(&inode.extent_key(at))?;
        }
        // Items of other kinds may stand between, if the floor was none of this inode's.
        Ok(Around::Gap(match cursor.item() {
            Some((key, _)) if is_extent_of(&key, inode) => start_of(&key),
            _ => LAST,
        }))
    }

    /// What an item says of a position `within` bytes behind its own, or `None` if it ends before.
    fn cover(
        &self,
        extent: &FileExtent<'_>,
        within: Bytes,
    ) -> Result<Option<(Bytes, MappingKind)>> {
        let len = match extent {
            FileExtent::Inline(inline) => self.fs.round_up(inline.ram_bytes),
            FileExtent::Regular(piece) => piece.len,
        };
        if within >= len {
            return Ok(None);
        }
        let kind = match extent {
            FileExtent::Inline(extent) => inline(extent, within)?,
            FileExtent::Regular(piece) => regular(piece, within),
        };
        Ok(Some((len.saturating_sub(within), kind)))
    }
}

fn inline(extent: &InlineExtent<'_>, within: Bytes) -> Result<MappingKind> {
    let mut bytes = KVec::new();
    if extent.compression != Compression::None {
        bytes.extend_from_slice(extent.data, GFP_KERNEL)?;
        return Ok(MappingKind::Compressed(Compressed {
            algorithm: extent.compression,
            ram_len: extent.ram_bytes,
            offset: within,
            data: CompressedData::Inline(bytes),
        }));
    }
    let start = usize::try_from(within).unwrap_or(usize::MAX);
    bytes.extend_from_slice(extent.data.get(start..).unwrap_or(&[]), GFP_KERNEL)?;
    Ok(MappingKind::Inline(bytes))
}

/// A piece was parsed, so all of it has addresses.
fn regular(piece: &RegularExtent, within: Bytes) -> MappingKind {
    match (piece.address_of(within), piece.state) {
        (Some(logical), ExtentState::Written) => MappingKind::Data { logical },
        (Some(logical), ExtentState::Preallocated) => MappingKind::Prealloc { logical },
        (None, _) if piece.is_hole() => MappingKind::Hole,
        (None, _) => MappingKind::Compressed(Compressed {
            algorithm: piece.compression,
            ram_len: piece.ram_bytes,
            offset: piece.offset.saturating_add(within),
            data: CompressedData::Extent {
                logical: piece.disk_addr,
                disk_len: piece.disk_len,
            },
        }),
    }
}
