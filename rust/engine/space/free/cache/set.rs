// SPDX-License-Identifier: GPL-2.0
//! What a free space cache says is free, as a set.

#[cfg(test)]
use crate::disk::{write_cache, Generation, ObjectId};
use crate::disk::{Bytes, CacheBounds, CacheFile, CacheHeader, Checksums, Flaw, Logical};
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

/// Puts into `ranges`, which are empty and of the group, all that has no extent item, by the group's cache. The flaw is why
/// the cache is not to be believed: `ranges` are worth nothing then.
pub(in crate::space) fn read(
    bounds: CacheBounds,
    header: &CacheHeader,
    bytes: &[u8],
    known: Known<'_>,
    checksums: &dyn Checksums,
    ranges: &mut FreeRanges,
) -> Result<Result<(), Flaw>> {
    let file = match CacheFile::check(bounds, header, bytes, checksums) {
        Ok(file) => file,
        Err(flaw) => return Ok(Err(flaw)),
    };
    let copies = known.superblocks.iter();
    let in_copies = copies.fold(Bytes::ZERO, |sum, &(_, len)| sum.saturating_add(len));
    let expected = known.unused.saturating_sub(in_copies);
    if file.free() != expected.get() {
        let what = "cache has a wrong amount of free space";
        return Ok(Err(Flaw::new(what, file.free(), expected.get())));
    }
    let filled = fill(&file, known, ranges);
    match filled {
        Ok(()) => Ok(Ok(())),
        Err(Doubt::Flaw(flaw)) => Ok(Err(flaw)),
        Err(Doubt::Error(error)) => Err(error),
    }
}

/// Why a set was not filled.
enum Doubt {
    Flaw(Flaw),
    Error(Error),
}

fn fill(file: &CacheFile<'_>, known: Known<'_>, ranges: &mut FreeRanges) -> Result<(), Doubt> {
    let mut insert = |start, end| match ranges.try_insert(start, end) {
        Ok(inserted) => inserted.map_err(Doubt::Flaw),
        Err(error) => Err(Doubt::Error(error)),
    };
    file.each(&mut insert)?;
    for &(start, len) in known.superblocks {
        insert(start.get(), start.saturating_add(len).get())?;
    }
    Ok(())
}

/// Writes the cache file of a group, all of `ranges` but superblock copies, and gives its item.
#[cfg(test)]
pub(in crate::space) fn write(
    bounds: CacheBounds,
    written_by: (ObjectId, Generation),
    ranges: &FreeRanges,
    bytes: &mut [u8],
    checksums: &dyn Checksums,
) -> Result<CacheHeader> {
    let free = |from, to| ranges.first_in(from, to);
    Ok(write_cache(bounds, written_by, &free, bytes, checksums)?)
}
