// SPDX-License-Identifier: GPL-2.0

//! The kernel's checksums for the engine.

use crate::linux::checksum;
use crate::linux::memory::Memory;
use engine::disk::{ChecksumKind, Checksums, Digest};

/// The kernel's implementations.
pub(crate) struct KernelChecksums;

/// The checksum of memory that may change meanwhile; it is that of none of its states then.
pub(crate) fn digest(kind: ChecksumKind, data: Memory<'_>) -> Digest {
    let mut digest = Digest::default();
    let out: &mut [u8] = &mut digest;
    match kind {
        ChecksumKind::Crc32c => put(out, &(!checksum::crc32c(!0, data)).to_le_bytes()),
        ChecksumKind::XxHash64 => put(out, &checksum::xxh64(data).to_le_bytes()),
        ChecksumKind::Sha256 => put(out, &checksum::sha256(data)),
        ChecksumKind::Blake2b => put(out, &checksum::blake2b_256(data)),
    }
    digest
}

impl Checksums for KernelChecksums {
    fn digest(&self, kind: ChecksumKind, data: &[u8]) -> Digest {
        digest(kind, data.into())
    }

    fn has(&self, kind: ChecksumKind) -> bool {
        kind != ChecksumKind::Blake2b || checksum::has_blake2b()
    }
}

fn put(out: &mut [u8], sum: &[u8]) {
    if let Some(out) = out.get_mut(..sum.len()) {
        out.copy_from_slice(sum);
    }
}
