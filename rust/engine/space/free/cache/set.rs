// SPDX-License-Identifier: GPL-2.0
//! What a free space cache says is free, as a set.

use crate::disk::{
    ensure, write_cache, Bytes, CacheBounds, CacheHeader, CachePages, Checksums, Generation,
    Logical, ObjectId,
};
use crate::space::free::doubt::Doubt;
use crate::space::free::ranges::FreeRanges;
use latch::prelude::*;

/// What is known of a block group beside its cache.
#[derive(Clone, Copy)]
pub(in crate::space) struct Known<'a> {
    /// What has no extent item: so many bytes.
    pub(in crate::space) unused: Bytes,
    /// Where superblock copies are, of which a cache says nothing.
    pub(in crate::space) superblocks: &'a [(Logical, Bytes)],
}

/// Puts into `ranges`, which are empty and of the group, all that has no extent item, by the group's cache. Where
/// the cache is not believed, `ranges` are worth nothing.
pub(in crate::space) fn read(
    bounds: CacheBounds,
    header: &CacheHeader,
    bytes: &[u8],
    known: Known<'_>,
    checksums: &dyn Checksums,
    ranges: &mut FreeRanges,
) -> Result<(), Doubt> {
    let file = CachePages::check(bounds, header, bytes, checksums)?;
    let copies = known.superblocks.iter();
    let in_copies = copies.fold(Bytes::ZERO, |sum, &(_, len)| sum.saturating_add(len));
    let expected = known.unused.saturating_sub(in_copies);
    let what = "cache has a wrong amount of free space";
    let is_right = file.free() == expected.get();
    ensure(is_right, what, file.free(), expected.get())?;
    file.each(|start, end| ranges.try_insert(Logical::new(start), Logical::new(end)))?;
    for &(start, len) in known.superblocks {
        ranges.try_insert(start, start.saturating_add(len))?;
    }
    Ok(())
}

/// Writes the cache file of a group, all of `ranges` but superblock copies, and gives its item.
pub(in crate::space) fn write(
    bounds: CacheBounds,
    written_by: (ObjectId, Generation),
    ranges: &FreeRanges,
    bytes: &mut [u8],
    checksums: &dyn Checksums,
) -> Result<CacheHeader> {
    let free = |from, to| {
        let (first, last) = ranges.first_in(Logical::new(from), Logical::new(to))?;
        Some((first.get(), last.get()))
    };
    Ok(write_cache(bounds, written_by, &free, bytes, checksums)?)
}
