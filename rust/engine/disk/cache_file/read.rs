// SPDX-License-Identifier: GPL-2.0
//! Pages of a cache that were checked, and what they say is free.

use super::{bitmap, sum, CacheBounds, Page, BITMAP, GENERATION, PAGE_LEN, RANGE, SUM};
use crate::disk::corrupt::{ensure, ensure_eq, Flaw};
use crate::disk::packing::len64;
use crate::disk::raw::RawCacheEntry;
use crate::disk::{CacheHeader, Checksums};
use zerocopy::FromBytes;

/// A cache file, each part of which is right for its block group. That no sector is said to be free twice is left to who
/// keeps a set of them.
pub struct CachePages<'a> {
    bounds: CacheBounds,
    pages: &'a [Page],
    entries: usize,
    /// The page of the first bitmap.
    bitmaps_at: usize,
    free: u64,
}

/// Windows that have a bitmap: there are fewer than 128.
struct Seen(u128);

impl Seen {
    /// A bitmap of this window was met, the first one.
    fn note(&mut self, window: u64) -> Result<(), Flaw> {
        let bit = u32::try_from(window)
            .ok()
            .and_then(|at| 1u128.checked_shl(at));
        let new = bit.filter(|bit| self.0 & bit == 0);
        let what = "cache has two bitmaps for a window";
        self.0 |= new.ok_or(Flaw::new(what, window, 1))?;
        Ok(())
    }
}

impl<'a> CachePages<'a> {
    /// Checks the bytes of the file that `header` leads to. Takes no memory.
    pub fn check(
        bounds: CacheBounds,
        header: &CacheHeader,
        bytes: &'a [u8],
        checksums: &dyn Checksums,
    ) -> Result<Self, Flaw> {
        ensure_eq(
            "cache file has a wrong length",
            len64(bytes),
            bounds.file_len(),
        )?;
        bounds.check(header)?;
        let pages = <[Page]>::ref_from_bytes(bytes)
            .map_err(|_| Flaw::new("cache file ends within a page", len64(bytes), 0))?;
        let too_many = |number| Flaw::new("cache has more than its file", number, bounds.pages());
        let entry_pages = bounds.entry_pages(header.entries);
        let mut file = Self {
            bounds,
            pages,
            entries: usize::try_from(header.entries).map_err(|_| too_many(header.entries))?,
            bitmaps_at: usize::try_from(entry_pages).map_err(|_| too_many(entry_pages))?,
            free: 0,
        };
        file.check_sums(entry_pages.saturating_add(header.bitmaps), checksums)?;
        file.check_generation(header)?;
        file.free = file.check_entries(header.bitmaps)?;
        Ok(file)
    }

    /// Bytes that are said to be free.
    pub fn free(&self) -> u64 {
        self.free
    }

    /// Gives each range, `[start, end)`, that is said to be free, in any order.
    pub fn each<E>(&self, mut take: impl FnMut(u64, u64) -> Result<(), E>) -> Result<(), E> {
        let mut bitmaps = self.bitmaps();
        for entry in self.entries() {
            let (at, len) = (entry.offset.get(), entry.bytes.get());
            if entry.kind == RANGE {
                take(at, at.saturating_add(len))?;
                continue;
            }
            let Some(page) = bitmaps.next() else { continue };
            let address = |sector: u64| at.saturating_add(sector.saturating_mul(PAGE_LEN));
            let mut from = 0;
            while let Some((first, end)) = bitmap::run(page, from) {
                take(address(first), address(end))?;
                from = end;
            }
        }
        Ok(())
    }

    fn first(&self) -> &'a [u8] {
        self.pages.first().map_or(&[], |page| page)
    }

    /// Checks the first `used` pages against their checksums.
    fn check_sums(&self, used: u64, checksums: &dyn Checksums) -> Result<(), Flaw> {
        let sums = self.first().chunks_exact(SUM);
        for (number, (page, expected)) in (0..used).zip(self.pages.iter().zip(sums)) {
            let skip = if number == 0 {
                self.bounds.sums_len()
            } else {
                0
            };
            let same = sum(checksums, page, skip) == expected;
            ensure(same, "cache's page has a wrong checksum", number, used)?;
        }
        Ok(())
    }

    fn check_generation(&self, header: &CacheHeader) -> Result<(), Flaw> {
        let bytes = self.first().get(self.bounds.sums_len()..);
        let bytes = bytes.and_then(|bytes| bytes.first_chunk::<GENERATION>());
        let found = bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let expected = header.generation.get();
        ensure_eq("cache's pages are of another generation", found, expected)
    }

    /// Checks each entry: how many bytes are free.
    fn check_entries(&self, bitmaps: u64) -> Result<u64, Flaw> {
        let (mut free, mut seen, mut found) = (0u64, Seen(0), 0u64);
        let mut pages = self.bitmaps();
        for entry in self.entries() {
            let (at, len) = (entry.offset.get(), entry.bytes.get());
            match entry.kind {
                RANGE => drop(self.bounds.range(at, len)?),
                BITMAP => {
                    let (window, sectors) = self.bounds.window_at(at)?;
                    seen.note(window)?;
                    found = found.saturating_add(1);
                    let page = pages.next().filter(|_| found <= bitmaps);
                    let what = "cache has more bitmaps than its item says";
                    let page = page.ok_or(Flaw::new(what, found, bitmaps))?;
                    let set = bitmap::count(page, sectors)?;
                    let bytes = set.saturating_mul(PAGE_LEN);
                    ensure(bytes > 0, "cache's bitmap is empty", 0, 1)?;
                    ensure_eq("cache's bitmap is not what its entry says", bytes, len)?;
                }
                kind => return Err(Flaw::new("cache's entry is of no kind", kind.into(), 1)),
            }
            free = free.saturating_add(len);
        }
        ensure_eq("cache has fewer bitmaps than its item says", found, bitmaps)?;
        Ok(free)
    }

    fn entries(&self) -> impl Iterator<Item = &'a RawCacheEntry> + '_ {
        let first = self.first().get(self.bounds.entries_at()..).unwrap_or(&[]);
        let others = self.pages.iter().skip(1).map(|page| &page[..]);
        core::iter::once(first)
            .chain(others)
            .flat_map(|area| area.chunks_exact(RawCacheEntry::SIZE))
            .filter_map(|bytes| RawCacheEntry::ref_from_bytes(bytes).ok())
            .take(self.entries)
    }

    fn bitmaps(&self) -> impl Iterator<Item = &'a Page> {
        self.pages.iter().skip(self.bitmaps_at)
    }
}
