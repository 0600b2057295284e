// SPDX-License-Identifier: GPL-2.0
//! The checksum that closes a block.

use super::checksum::CHECKSUM_FIELD;
use super::raw::{RawHeader, HEADER_WRITTEN};
use super::{ChecksumKind, Checksums, Flaw};

/// Makes a tree block ready to go out: marks it written and puts its checksum in place.
///
/// The caller has passed it through [`super::check_block_to_write`].
pub fn seal_block(block: &mut [u8], kind: ChecksumKind, checksums: &dyn Checksums) {
    if let Some((header, _)) = RawHeader::split_mut(block) {
        header.flags.set(header.flags.get() | HEADER_WRITTEN);
    }
    seal(block, kind, checksums);
}

/// Puts the checksum of `bytes` into its field at their front: tree blocks and superblocks have the same.
pub fn seal(bytes: &mut [u8], kind: ChecksumKind, checksums: &dyn Checksums) {
    if let Some((field, rest)) = bytes.split_first_chunk_mut::<CHECKSUM_FIELD>() {
        *field = checksums.digest(kind, rest);
    }
}

/// Whether the checksum in its field at the front of `bytes` is right. Only the algorithm's own bytes count, the first
/// of which the flaw names.
pub fn check_seal(bytes: &[u8], kind: ChecksumKind, checksums: &dyn Checksums) -> Result<(), Flaw> {
    let Some((field, rest)) = bytes.split_first_chunk::<CHECKSUM_FIELD>() else {
        return Err(Flaw::new("checksum is missing", 0, 0));
    };
    let digest = checksums.digest(kind, rest);
    if field.get(..kind.size()) == digest.get(..kind.size()) {
        return Ok(());
    }
    let [found, expected] = [field, &digest].map(|sum| {
        let first = sum
            .first_chunk()
            .map_or(0, |first| u32::from_le_bytes(*first));
        u64::from(first)
    });
    Err(Flaw::new("checksum is wrong", found, expected))
}
