// SPDX-License-Identifier: GPL-2.0
//! Checksums of blocks and data, and the hashes that keys are made of.

use super::corrupt::{ensure_max, Flaw};

/// Bytes that every checksum field has room for (C: `BTRFS_CSUM_SIZE`).
pub const CHECKSUM_FIELD: usize = 32;

/// A checksum in its field: shorter ones are followed by zeros.
pub type Digest = [u8; CHECKSUM_FIELD];

/// The algorithm that a file system checks its blocks and data with (C: `enum btrfs_csum_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumKind {
    /// crc32c, four bytes.
    Crc32c,
    /// xxHash64, eight bytes.
    XxHash64,
    /// The algorithm is SHA-256.
    Sha256,
    /// BLAKE2b with 256 bits.
    Blake2b,
}

impl ChecksumKind {
    /// Bytes in a checksum, as in the checksum tree.
    pub const fn size(self) -> usize {
        match self {
            Self::Crc32c => 4,
            Self::XxHash64 => 8,
            Self::Sha256 | Self::Blake2b => 32,
        }
    }

    /// The number the superblock has for it.
    pub const fn get(self) -> u16 {
        match self {
            Self::Crc32c => 0,
            Self::XxHash64 => 1,
            Self::Sha256 => 2,
            Self::Blake2b => 3,
        }
    }

    /// The name users know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32c => "crc32c",
            Self::XxHash64 => "xxhash64",
            Self::Sha256 => "sha256",
            Self::Blake2b => "blake2b",
        }
    }
}

impl TryFrom<u16> for ChecksumKind {
    type Error = Flaw;

    fn try_from(value: u16) -> Result<Self, Flaw> {
        ensure_max("checksum type is unknown", value.into(), 3)?;
        Ok(match value {
            0 => Self::Crc32c,
            1 => Self::XxHash64,
            2 => Self::Sha256,
            _ => Self::Blake2b,
        })
    }
}

/// The algorithms: the kernel's own in the module, plain crates on the host.
pub trait Checksums: Send + Sync {
    /// The checksum of `data`: little-endian for the numbers among them, followed by zeros.
    fn digest(&self, kind: ChecksumKind, data: &[u8]) -> Digest;

    /// Whether the algorithm can be computed here. Where not, a file system that uses it is not opened.
    fn has(&self, _kind: ChecksumKind) -> bool {
        true
    }

    /// crc32c, seed and result as they are (no inversion): for the many names in a leaf.
    fn crc32c(&self, seed: u32, data: &[u8]) -> u32 {
        crc32c(seed, data)
    }
}

/// crc32c, seed and result as they are (no inversion).
///
/// Hashes names in keys, which are short, where no [`Checksums`] is at hand; blocks and data go through that.
pub const fn crc32c(seed: u32, data: &[u8]) -> u32 {
    let mut crc = seed;
    let mut rest = data;
    while let [a, b, c, d, e, f, g, h, tail @ ..] = rest {
        let [w, x, y, z] = crc.to_le_bytes();
        crc = at(7, *a ^ w)
            ^ at(6, *b ^ x)
            ^ at(5, *c ^ y)
            ^ at(4, *d ^ z)
            ^ at(3, *e)
            ^ at(2, *f)
            ^ at(1, *g)
            ^ at(0, *h);
        rest = tail;
    }
    while let [byte, tail @ ..] = rest {
        let [low, ..] = crc.to_le_bytes();
        crc = at(0, low ^ *byte) ^ (crc >> 8);
        rest = tail;
    }
    crc
}

/// What a byte does to the sum when so many more bytes follow in its group of eight.
#[inline(always)]
const fn at(following: usize, byte: u8) -> u32 {
    // The callers name a constant below 8, and a u8 indexes a table of 256.
    #[allow(clippy::indexing_slicing, clippy::as_conversions)]
    TABLES[following][byte as usize]
}

static TABLES: [[u32; 256]; 8] = tables();

#[allow(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::arithmetic_side_effects
)]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 64 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
            bit += 1;
            if bit % 8 == 0 {
                tables[bit / 8 - 1][i] = crc;
            }
        }
        i += 1;
    }
    tables
}

/// The offset of a directory entry's or attribute's key (C: `btrfs_name_hash`).
pub const fn name_hash(name: &[u8]) -> u64 {
    widen(crc32c(NAME_SEED, name))
}

/// What [`name_hash`] begins with.
pub(super) const NAME_SEED: u32 = !1;

/// The offset of an extended inode reference's key (C: `btrfs_extref_hash`).
pub fn extref_hash(parent: u64, name: &[u8]) -> u64 {
    let [a, b, c, d, ..] = parent.to_le_bytes();
    widen(crc32c(u32::from_le_bytes([a, b, c, d]), name))
}

/// The offset of a data reference's key, and the order among inline ones (C: `hash_extent_data_ref`).
pub fn data_ref_hash(root: u64, inode: u64, offset: u64) -> u64 {
    let high = crc32c(u32::MAX, &root.to_le_bytes());
    let low = crc32c(
        crc32c(u32::MAX, &inode.to_le_bytes()),
        &offset.to_le_bytes(),
    );
    // The halves overlap by a bit: so the format has it.
    (widen(high) << 31) ^ widen(low)
}

/// `u64::from`, where it must be const.
#[allow(clippy::as_conversions)]
const fn widen(value: u32) -> u64 {
    value as u64
}
