// SPDX-License-Identifier: GPL-2.0
//! Pages of a cache that say what is free.

use super::{
    bitmap, sum, CacheBounds, Page, BITMAP, ENTRIES, GENERATION, PAGE, PAGE_LEN, RANGE, SUM,
};
use crate::disk::corrupt::Bug;
use crate::disk::packing::put;
use crate::disk::raw::RawCacheEntry;
use crate::disk::{CacheHeader, Checksums, Generation, ObjectId};
use zerocopy::FromBytes;

const NO_ROOM: Bug = Bug::new("a cache file has no room for what is free");

/// What is free: the first free piece of a range, `[start, end)`.
type Free<'a> = &'a dyn Fn(u64, u64) -> Option<(u64, u64)>;

/// Makes `bytes`, which are as many as [`CacheBounds::file_len`] says, the file of a group, and gives its item. What is free
/// in the group is asked piece by piece.
pub fn write_cache(
    bounds: CacheBounds,
    (inode, generation): (ObjectId, Generation),
    free: Free<'_>,
    bytes: &mut [u8],
    checksums: &dyn Checksums,
) -> Result<CacheHeader, Bug> {
    bytes.fill(0);
    let mut writer = Writer {
        bounds,
        pages: <[Page]>::mut_from_bytes(bytes).map_err(|_| NO_ROOM)?,
        at: (0, bounds.entries_at()),
        entries: 0,
    };
    let dense = writer.write_entries(free)?;
    writer.write_bitmaps(free, dense)?;
    writer.finish(generation, checksums)?;
    Ok(CacheHeader {
        inode,
        generation,
        entries: writer.entries,
        bitmaps: dense.count_ones().into(),
    })
}

/// The pieces of `[from, to)`.
fn pieces(free: Free<'_>, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
    let mut at = from;
    core::iter::from_fn(move || {
        let piece = free(at, to)?;
        at = piece.1;
        Some(piece)
    })
}

struct Writer<'a> {
    bounds: CacheBounds,
    pages: &'a mut [Page],
    /// Where the next entry goes: the page and the place there.
    at: (usize, usize),
    entries: u64,
}

impl Writer<'_> {
    /// Writes an entry for each range, and for each window that is too fragmented for that: those, a bit for each.
    fn write_entries(&mut self, free: Free<'_>) -> Result<u128, Bug> {
        let (mut dense, mut run) = (0u128, None);
        for window in 0..self.bounds.windows() {
            let (from, to) = self.bounds.window(window);
            let most = usize::try_from(ENTRIES).unwrap_or(0);
            if pieces(free, from, to).nth(most).is_none() {
                for (start, end) in pieces(free, from, to) {
                    run = match run {
                        Some((first, last)) if last == start => Some((first, end)),
                        before => {
                            self.range(before)?;
                            Some((start, end))
                        }
                    };
                }
                continue;
            }
            self.range(run.take())?;
            let bytes = pieces(free, from, to).fold(0u64, |sum, (start, end)| {
                sum.saturating_add(end.saturating_sub(start))
            });
            self.entry(from, bytes, BITMAP)?;
            dense |= 1u128.wrapping_shl(u32::try_from(window).unwrap_or(0));
        }
        self.range(run)?;
        Ok(dense)
    }

    fn range(&mut self, range: Option<(u64, u64)>) -> Result<(), Bug> {
        match range {
            Some((start, end)) => self.entry(start, end.saturating_sub(start), RANGE),
            None => Ok(()),
        }
    }

    fn entry(&mut self, at: u64, len: u64, kind: u8) -> Result<(), Bug> {
        let (page, from) = match self.at {
            (page, from) if from.saturating_add(RawCacheEntry::SIZE) <= PAGE => (page, from),
            (page, _) => (page.saturating_add(1), 0),
        };
        let to = from.saturating_add(RawCacheEntry::SIZE);
        let bytes = self
            .pages
            .get_mut(page)
            .and_then(|page| page.get_mut(from..to));
        let raw = RawCacheEntry {
            offset: at.into(),
            bytes: len.into(),
            kind,
        };
        put(bytes.ok_or(NO_ROOM)?, &raw)?;
        self.at = (page, to);
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }

    fn write_bitmaps(&mut self, free: Free<'_>, dense: u128) -> Result<(), Bug> {
        let at = usize::try_from(self.bounds.entry_pages(self.entries)).map_err(|_| NO_ROOM)?;
        let mut pages = self.pages.iter_mut().skip(at);
        for window in 0..self.bounds.windows() {
            let bit = 1u128.wrapping_shl(u32::try_from(window).unwrap_or(0));
            if dense & bit == 0 {
                continue;
            }
            let page = pages.next().ok_or(NO_ROOM)?;
            let (from, to) = self.bounds.window(window);
            let sector = |at: u64| at.saturating_sub(from) / PAGE_LEN;
            for (start, end) in pieces(free, from, to) {
                bitmap::set(page, sector(start), sector(end));
            }
        }
        Ok(())
    }

    /// Writes generation and checksums.
    fn finish(&mut self, generation: Generation, checksums: &dyn Checksums) -> Result<(), Bug> {
        let skip = self.bounds.sums_len();
        let first = self.pages.first_mut().ok_or(NO_ROOM)?;
        let place = first.get_mut(skip..skip.saturating_add(GENERATION));
        put(place.ok_or(NO_ROOM)?, &generation.get().to_le_bytes())?;
        for number in 0..self.pages.len() {
            let skip = if number == 0 { skip } else { 0 };
            let page = self.pages.get(number).ok_or(NO_ROOM)?;
            let sum = sum(checksums, page, skip);
            let at = number.saturating_mul(SUM);
            let first = self.pages.first_mut().ok_or(NO_ROOM)?;
            let place = first.get_mut(at..at.saturating_add(SUM));
            put(place.ok_or(NO_ROOM)?, &sum)?;
        }
        Ok(())
    }
}
