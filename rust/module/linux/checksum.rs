// SPDX-License-Identifier: GPL-2.0

//! The kernel's checksums.
//!
//! C headers: `include/linux/crc32c.h`, `include/linux/xxhash.h`, `include/crypto/sha2.h`,
//! `include/crypto/blake2b.h`

use super::bindings as b;

/// CRC-32C of `bytes`, continued from `seed`, without inversions.
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    // SAFETY: The bytes are valid for their length.
    unsafe { b::crc32c(seed, bytes.as_ptr().cast(), bytes.len()) }
}

/// XXH64 with seed zero.
pub(crate) fn xxh64(bytes: &[u8]) -> u64 {
    // SAFETY: The bytes are valid for their length.
    unsafe { b::xxh64(bytes.as_ptr().cast(), bytes.len(), 0) }
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // SAFETY: The bytes are valid for their length, `out` has 32 bytes.
    unsafe { b::sha256(bytes.as_ptr(), bytes.len(), out.as_mut_ptr()) };
    out
}

/// BLAKE2b with 32 bytes of output.
pub(crate) fn blake2b_256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // SAFETY: There is no key, the bytes are valid for their length, `out` has 32 bytes.
    unsafe {
        b::blake2b(
            core::ptr::null(),
            0,
            bytes.as_ptr(),
            bytes.len(),
            out.as_mut_ptr(),
            32,
        )
    };
    out
}
