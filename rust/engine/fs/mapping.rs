// SPDX-License-Identifier: GPL-2.0
//! Where a file's bytes are, and their checksums.

use super::{FileSystem, Inode};
use crate::disk::{FileOffset, Logical};
use kernel::prelude::*;

/// A piece of a file: one answer for `[offset, offset + len)`.
#[derive(Debug)]
pub struct Mapping {
    /// Where the piece begins: the position asked for.
    pub offset: FileOffset,
    /// How far the answer holds; at least 1, at most what was asked for. May reach beyond the end of the file.
    pub len: u64,
    /// What is there.
    pub kind: MappingKind,
}

/// What is at a piece of a file.
#[derive(Debug)]
pub enum MappingKind {
    /// Nothing: reads as zeroes.
    Hole,
    /// Bytes in the tree: these, from the position asked for; zeroes follow to the end of the sector.
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
    /// Compressed bytes.
    Compressed(Compressed),
}

/// A piece of a compressed extent.
#[derive(Debug)]
pub struct Compressed {
    /// The algorithm (C: `BTRFS_COMPRESS_*`: 1 zlib, 2 lzo, 3 zstd).
    pub algorithm: u8,
    /// Bytes of the whole extent once unpacked.
    pub ram_len: u64,
    /// The position asked for, in the unpacked extent.
    pub offset: u64,
    /// The packed bytes.
    pub data: CompressedData,
}

/// Where packed bytes are.
#[derive(Debug)]
pub enum CompressedData {
    /// In the tree: these, all of them.
    Inline(KVec<u8>),
    /// On the device, all of the extent.
    Extent {
        /// The extent's address.
        logical: Logical,
        /// Its length there.
        len: u64,
    },
}

/// The checksums of consecutive sectors.
#[derive(Debug)]
pub struct SectorSums {
    size: usize,
    sums: KVec<u8>,
    present: KVec<bool>,
}

impl SectorSums {
    /// The checksum of the n-th sector; `None` where the disk has none: the data cannot be trusted (`EIO`).
    pub fn get(&self, sector: usize) -> Option<&[u8]> {
        if !*self.present.get(sector)? {
            return None;
        }
        let start = sector.checked_mul(self.size)?;
        self.sums.get(start..start.checked_add(self.size)?)
    }
}

impl FileSystem {
    /// What is at `offset`, for at most `max_len` bytes: one tree search.
    pub fn map(&self, _inode: &Inode, _offset: FileOffset, _max_len: u64) -> Result<Mapping> {
        Err(EOPNOTSUPP)
    }

    /// The checksums of the data at `[logical, logical + len)`, whole sectors. `None`: the file has none
    /// ([`super::InodeFlags::NODATASUM`]).
    pub fn checksums(&self, _inode: &Inode, _logical: Logical, _len: u64) -> Result<Option<SectorSums>> {
        Err(EOPNOTSUPP)
    }
}
