// SPDX-License-Identifier: GPL-2.0
//! The checksum algorithms, from plain crates.

use engine::disk::{ChecksumKind, Checksums, Digest};

/// All algorithms.
pub struct HostChecksums;

impl Checksums for HostChecksums {
    fn crc32c(&self, seed: u32, data: &[u8]) -> u32 {
        !crc32c::crc32c_append(!seed, data)
    }

    fn digest(&self, kind: ChecksumKind, data: &[u8]) -> Digest {
        use sha2::Digest as _;
        let mut out = Digest::default();
        match kind {
            ChecksumKind::Crc32c => out[..4].copy_from_slice(&crc32c::crc32c(data).to_le_bytes()),
            ChecksumKind::XxHash64 => {
                out[..8].copy_from_slice(&xxhash_rust::xxh64::xxh64(data, 0).to_le_bytes());
            }
            ChecksumKind::Sha256 => out.copy_from_slice(&sha2::Sha256::digest(data)),
            ChecksumKind::Blake2b => {
                out.copy_from_slice(&blake2::Blake2b::<blake2::digest::consts::U32>::digest(
                    data,
                ));
            }
        }
        out
    }
}
