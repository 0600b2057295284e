// SPDX-License-Identifier: GPL-2.0
//! What can be in the cache of a block group, by where that begins and ends.

use super::{ENTRIES, GENERATION, PAGE, PAGE_LEN, SUM, WINDOW, WINDOW_SECTORS};
use crate::disk::corrupt::{ensure, ensure_max, Flaw};
use crate::disk::packing::size64;
use crate::disk::raw::RawCacheEntry;
use crate::disk::{Bytes, CacheHeader, Logical};

/// No group as long as this has a cache: its checksums would not leave room in the first page.
const TOO_LONG: u64 = 16 << 30;
/// C writes no cache for a shorter group.
const WORTH_IT: u64 = 100 << 20;
/// How many pages a file has for each [`FOR`] of its group.
const PAGES: u64 = 16;
/// How many bytes of a group [`PAGES`] are for.
const FOR: u64 = 256 << 20;

/// The block group that a cache is of: everything in the file is measured by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBounds {
    start: u64,
    end: u64,
}

impl CacheBounds {
    /// Measures the group of `len` bytes at `start`. `None` for one that has no cache.
    pub fn new(start: Logical, len: u64, sector_size: u32) -> Option<Self> {
        let page = PAGE_LEN;
        let end = start.checked_add(Bytes::new(len))?.get();
        let whole = (start.get() | len) & page.wrapping_sub(1) == 0;
        let has_one = whole && len > 0 && len < TOO_LONG && u64::from(sector_size) == page;
        has_one.then_some(Self {
            start: start.get(),
            end,
        })
    }

    /// Whether a cache is written: a short group is read faster from the extent tree.
    pub fn is_worth_it(&self) -> bool {
        self.len() >= WORTH_IT
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        let steps = (self.len() / FOR).max(1);
        steps.saturating_mul(PAGES).saturating_mul(PAGE_LEN)
    }

    fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// How many windows there are, the last of which may be a short one.
    pub(super) fn windows(&self) -> u64 {
        self.len().div_ceil(WINDOW)
    }

    /// The first byte of a window, and the first one behind it.
    pub(super) fn window(&self, index: u64) -> (u64, u64) {
        let start = self.start.saturating_add(index.saturating_mul(WINDOW));
        (start, start.saturating_add(WINDOW).min(self.end))
    }

    /// The window that begins at `at`, and its sectors.
    pub(super) fn window_at(&self, at: u64) -> Result<(u64, u64), Flaw> {
        let (start, what) = (self.start, "cache's bitmap begins at no window");
        let from = at.checked_sub(start).filter(|_| at < self.end);
        let from = from.ok_or(Flaw::new(what, at, start))?;
        ensure(from % WINDOW == 0, what, at, start)?;
        let sectors = self.end.saturating_sub(at) / PAGE_LEN;
        Ok((from / WINDOW, sectors.min(WINDOW_SECTORS)))
    }

    /// Whether a range is some of the group's sectors: where it ends.
    pub(super) fn range(&self, at: u64, len: u64) -> Result<u64, Flaw> {
        ensure(len > 0, "cache's range is empty", len, 1)?;
        let end = at.checked_add(len).filter(|&end| end <= self.end);
        let end = end.filter(|_| at >= self.start);
        let end = end.ok_or(Flaw::new(
            "cache's range goes beyond its group",
            at,
            self.start,
        ))?;
        let whole = (at | len) & PAGE_LEN.wrapping_sub(1) == 0;
        ensure(whole, "cache's range is not of whole sectors", at, len)?;
        Ok(end)
    }

    /// Pages of the file.
    pub(super) fn pages(&self) -> u64 {
        self.file_len() / PAGE_LEN
    }

    /// Bytes of the first page that have checksums.
    pub(super) fn sums_len(&self) -> usize {
        let pages = usize::try_from(self.pages()).unwrap_or(PAGE);
        pages.saturating_mul(SUM)
    }

    /// Where entries begin in the first page.
    pub(super) fn entries_at(&self) -> usize {
        self.sums_len().saturating_add(GENERATION)
    }

    /// How many pages have entries, if there are so many: the bitmaps are in those behind.
    pub(super) fn entry_pages(&self, entries: u64) -> u64 {
        let left = PAGE.saturating_sub(self.entries_at());
        let in_first = size64(left / RawCacheEntry::SIZE);
        let others = entries.saturating_sub(in_first).div_ceil(ENTRIES);
        others.saturating_add(1)
    }

    /// Bytes at the front of the file that have what its item says. The rest is not looked at.
    pub fn used_len(&self, header: &CacheHeader) -> Result<u64, Flaw> {
        self.check(header)?;
        Ok(self.used_pages(header).saturating_mul(PAGE_LEN))
    }

    fn used_pages(&self, header: &CacheHeader) -> u64 {
        let of_entries = self.entry_pages(header.entries);
        of_entries.saturating_add(header.bitmaps)
    }

    /// Whether a file of this length can have what its item says.
    pub(super) fn check(&self, header: &CacheHeader) -> Result<(), Flaw> {
        let &CacheHeader {
            generation,
            entries,
            bitmaps,
            ..
        } = header;
        ensure(
            generation.get() > 0,
            "cache was not written to its end",
            0,
            1,
        )?;
        ensure(entries > 0, "cache has no entries", 0, 1)?;
        ensure_max("cache has more bitmaps than entries", bitmaps, entries)?;
        let windows = self.windows();
        ensure_max("cache has more bitmaps than windows", bitmaps, windows)?;
        let pages = self.used_pages(header);
        ensure_max("cache has more than its file", pages, self.pages())
    }
}
