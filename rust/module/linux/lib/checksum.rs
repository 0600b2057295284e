// SPDX-License-Identifier: GPL-2.0

//! The kernel's checksums.
//!
//! C headers: `include/linux/crc32c.h`, `include/linux/xxhash.h`, `include/crypto/sha2.h`,
//! `include/crypto/blake2b.h`

use crate::linux::bindings as b;
use crate::linux::memory::Memory;

/// CRC-32C of `bytes`, continued from `seed`, without inversions.
pub(crate) fn crc32c(seed: u32, bytes: Memory<'_>) -> u32 {
    // SAFETY: The memory is valid for its length.
    unsafe { b::crc32c(seed, bytes.as_ptr().cast(), bytes.len()) }
}

/// XXH64 with seed zero.
pub(crate) fn xxh64(bytes: Memory<'_>) -> u64 {
    // SAFETY: The memory is valid for its length.
    unsafe { b::xxh64(bytes.as_ptr().cast(), bytes.len(), 0) }
}

/// The SHA-256 of the bytes.
pub(crate) fn sha256(bytes: Memory<'_>) -> [u8; 32] {
    let mut out = [0; 32];
    // SAFETY: The memory is valid for its length, `out` has 32 bytes.
    unsafe { b::sha256(bytes.as_ptr(), bytes.len(), out.as_mut_ptr()) };
    out
}

/// Whether the kernel's BLAKE2b was there when this module was loaded: it is a module of its own.
pub(crate) fn has_blake2b() -> bool {
    // SAFETY: It compares addresses.
    unsafe { b::rbtrfs_has_blake2b() }
}

/// BLAKE2b with 32 bytes of output; zeros where there is none.
pub(crate) fn blake2b_256(bytes: Memory<'_>) -> [u8; 32] {
    let mut out = [0; 32];
    if has_blake2b() {
        // SAFETY: The function is there, the memory is valid for its length, `out` has 32 bytes.
        unsafe { b::rbtrfs_blake2b_256(bytes.as_ptr(), bytes.len(), out.as_mut_ptr()) };
    }
    out
}
