// SPDX-License-Identifier: GPL-2.0
//! Most images that fuzzers were fed are small, so that `mkfs.btrfs` put data and metadata into the same chunks, which the
//! engine does not support and says so at once. Without that flag, everywhere, it goes on to what the fuzzer changed.

use super::blocks::HEADER;

/// Where the superblock has its incompatible features.
const INCOMPAT: usize = 0xbc;
const MIXED_GROUPS: u64 = 1 << 2;
/// Where it has the length of the system chunks, and them.
const SYSTEM_CHUNKS_LEN: usize = 0xa0;
const SYSTEM_CHUNKS: usize = 0x32b;

const KEY: usize = 17;
const CHUNK: usize = 48;
const STRIPE: usize = 32;
/// Where a chunk has its flags and its number of stripes.
const CHUNK_FLAGS: usize = 24;
const CHUNK_STRIPES: usize = 44;
/// Where a block group item has its flags.
const GROUP_FLAGS: usize = 16;
const DATA: u64 = 1;
const METADATA: u64 = 4;

const ITEM: usize = 25;
const CHUNK_ITEM: u8 = 228;
const BLOCK_GROUP_ITEM: u8 = 192;

/// Takes the flag from a superblock.
pub fn superblock(bytes: &mut [u8]) {
    change_u64(bytes, INCOMPAT, |features| features & !MIXED_GROUPS);
    let mut at = SYSTEM_CHUNKS;
    let end = SYSTEM_CHUNKS + u32_at(bytes, SYSTEM_CHUNKS_LEN).min(2048) as usize;
    while at < end {
        let chunk = at + KEY;
        change_u64(bytes, chunk + CHUNK_FLAGS, unmixed);
        let stripes = u32_at(bytes, chunk + CHUNK_STRIPES) as u16;
        at = chunk + CHUNK + STRIPE * usize::from(stripes);
    }
}

/// Takes the flag from the chunks and block groups in a leaf.
pub fn leaf(bytes: &mut [u8]) {
    let items = u32_at(bytes, 96) as usize;
    for slot in 0..items.min(bytes.len() / ITEM) {
        let head = HEADER + slot * ITEM;
        let data = (HEADER + u32_at(bytes, head + KEY) as usize).min(bytes.len());
        match bytes.get(head + 8) {
            Some(&CHUNK_ITEM) => change_u64(bytes, data + CHUNK_FLAGS, unmixed),
            Some(&BLOCK_GROUP_ITEM) => change_u64(bytes, data + GROUP_FLAGS, unmixed),
            _ => (),
        }
    }
}

fn unmixed(flags: u64) -> u64 {
    match flags & METADATA {
        0 => flags,
        _ => flags & !DATA,
    }
}

/// A number, 0 beyond the end.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let number = bytes.get(at..).and_then(|rest| rest.first_chunk());
    number.map_or(0, |number| u32::from_le_bytes(*number))
}

fn change_u64(bytes: &mut [u8], at: usize, change: impl Fn(u64) -> u64) {
    let number = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    if let Some(number) = number {
        *number = change(u64::from_le_bytes(*number)).to_le_bytes();
    }
}
