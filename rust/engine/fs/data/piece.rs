// SPDX-License-Identifier: GPL-2.0
//! What of a write is entered into the trees at once: all of it, or what the device has of its front.

use crate::disk::{Bytes, FileOffset};
use latch::prelude::*;

/// Bytes that the device has, as they are entered.
pub(super) struct Piece<'a> {
    /// Where they are in the file.
    pub(super) start: FileOffset,
    /// How many there are.
    pub(super) len: Bytes,
    /// One checksum for each sector, back to back; empty for files without.
    pub(super) checksums: &'a [u8],
    /// The file's size is raised to this if it is smaller.
    pub(super) new_size: Bytes,
}

impl<'a> Piece<'a> {
    /// The first `len` of the `all` bytes of a write, which has these checksums and stands at `start`.
    pub(super) fn front(
        checksums: &'a [u8],
        start: FileOffset,
        (len, all): (Bytes, Bytes),
        new_size: Bytes,
    ) -> Self {
        let count = sums_of(checksums, len, all);
        Self {
            start,
            len,
            checksums: checksums.get(..count).unwrap_or(checksums),
            new_size: new_size.min(start.saturating_add(len).before()),
        }
    }
}

/// How many bytes of `checksums`, which are for `all` bytes, are for the first `len`.
fn sums_of(checksums: &[u8], len: Bytes, all: Bytes) -> usize {
    if len >= all {
        return checksums.len();
    }
    // Whole sectors have whole checksums.
    let sums = Bytes::from(checksums.len())
        .saturating_mul(len.get())
        .count(all);
    usize::try_from(sums).unwrap_or(checksums.len())
}

/// Takes out the checksums of the first `len` of `all` bytes.
pub(super) fn pass_sums(checksums: &mut KVVec<u8>, len: Bytes, all: Bytes) {
    let count = sums_of(checksums, len, all).min(checksums.len());
    let left = checksums.len().saturating_sub(count);
    checksums.copy_within(count.., 0);
    checksums.truncate(left);
}
