// SPDX-License-Identifier: GPL-2.0
//! The pages of a block group's free space cache (v1): what of them is believed, and how they are written.
//!
//! | module   | what it has                                        |
//! |----------|----------------------------------------------------|
//! | `bitmap` | the sectors of a window in a page                   |
//! | `bounds` | what can be in the cache of a block group           |
//! | `read`   | pages that were checked, and what they say is free  |
//! | `write`  | pages that say what is free                         |
//!
//! What the format is: `Documentation/free-space-cache.md`.

mod bitmap;
mod bounds;
mod read;
mod write;

pub use bounds::CacheBounds;
pub use read::CachePages;
pub use write::write_cache;

use super::packing::size64;
use super::raw::RawCacheEntry;
use super::Checksums;

/// Bytes in a page of a cache file, and in a sector of a volume that keeps one.
const PAGE: usize = 4096;
const PAGE_LEN: u64 = size64(PAGE);
/// A page of a cache file.
type Page = [u8; PAGE];
/// Bytes of the checksum of a page.
const SUM: usize = 4;
/// Bytes of the generation, behind the checksums.
const GENERATION: usize = 8;
/// An entry is a range.
const RANGE: u8 = 1;
/// An entry is a bitmap.
const BITMAP: u8 = 2;
/// Entries of a page that has nothing else.
const ENTRIES: u64 = size64(PAGE / RawCacheEntry::SIZE);
/// Sectors that a bitmap has bits for.
const WINDOW_SECTORS: u64 = PAGE_LEN * 8;
/// Bytes of the sectors that a bitmap has bits for.
const WINDOW: u64 = WINDOW_SECTORS * PAGE_LEN;

/// The checksum of a page, of which the first `skip` bytes do not count.
fn sum(checksums: &dyn Checksums, page: &Page, skip: usize) -> [u8; SUM] {
    let counted = page.get(skip..).unwrap_or(&[]);
    (!checksums.crc32c(!0, counted)).to_le_bytes()
}
