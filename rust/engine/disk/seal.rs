// SPDX-License-Identifier: GPL-2.0
//! The checksum that closes a block.

use super::checksum::CHECKSUM_FIELD;
use super::raw::{RawHeader, HEADER_WRITTEN};
use super::{ChecksumKind, Checksums};

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

/// Whether the checksum in its field at the front of `bytes` is right. Only the algorithm's own bytes count.
pub fn is_sealed(bytes: &[u8], kind: ChecksumKind, checksums: &dyn Checksums) -> bool {
    let Some((field, rest)) = bytes.split_first_chunk::<CHECKSUM_FIELD>() else {
        return false;
    };
    let digest = checksums.digest(kind, rest);
    field.get(..kind.size()) == digest.get(..kind.size())
}
