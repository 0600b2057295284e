// SPDX-License-Identifier: GPL-2.0

//! Which bytes of a file direct writes are about to change.
//!
//! While a direct write is under way, the page cache holds no block of its range that is up to date: what the cache had
//! is dropped before, and nobody fills a folio there until the write has ended. So nothing older than the write can
//! become dirty in between, be it by a store to another block of the same folio, and be written over it.
//!
//! A range is entered before the cache is dropped. Who fills a folio has it in the cache, locked, before he asks here:
//! either he sees the range, or the drop finds his folio and waits for its lock. Nobody waits here with a folio locked,
//! and whoever is in here waits for no page fault.

use super::super::Patience;
use core::mem;
use core::ops::Range;
use latch::prelude::*;
use latch::{Condvar, Mutex};

/// The byte ranges of one file that direct writes are under way to.
pub(crate) struct DirectRanges {
    entries: Mutex<KVec<Entry>>,
    one_ended: Condvar,
}

struct Entry {
    request: Request,
    range: Range<u64>,
}

/// Tells requests apart: the address of their `kiocb`, which is theirs from beginning to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::linux) struct Request(usize);

impl Request {
    pub(super) fn of(iocb: *mut crate::linux::bindings::kiocb) -> Self {
        Self(iocb.addr())
    }
}

impl DirectRanges {
    /// None.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            entries: Mutex::new(KVec::new(), latch::class!("rbtrfs_direct_ranges"))?,
            one_ended: Condvar::new(latch::class!("rbtrfs_direct_ended"))?,
        })
    }

    /// Enters `range` for `request`, until the value is dropped or [`Entered::goes_on`].
    pub(super) fn enter(&self, request: Request, range: Range<u64>) -> Result<Entered<'_>> {
        let mut entries = self.entries.lock();
        entries.push(Entry { request, range }, GFP_KERNEL)?;
        Ok(Entered {
            ranges: self,
            request,
        })
    }

    /// Takes over from a request whose submission [`Entered::goes_on`].
    pub(super) fn take_over(&self, request: Request) -> Entered<'_> {
        Entered {
            ranges: self,
            request,
        }
    }

    /// The end of the longest part at the beginning of `range` that no write is under way to.
    pub(in crate::linux::iomap) fn free_until(&self, range: &Range<u64>) -> u64 {
        let entries = self.entries.lock();
        let met = entries.iter().filter(|entry| meets(&entry.range, range));
        met.map(|entry| entry.range.start.max(range.start))
            .fold(range.end, u64::min)
    }

    /// Waits until no write is under way to `range`. The caller holds no folio's lock; writes may begin at any time, unless
    /// the inode's lock keeps them away.
    pub(in crate::linux::iomap) fn wait(&self, range: &Range<u64>, patience: Patience) -> Result {
        let mut entries = self.entries.lock();
        while entries.iter().any(|entry| meets(&entry.range, range)) {
            match patience {
                Patience::Waits => self.one_ended.wait(&mut entries),
                Patience::None => return Err(EAGAIN),
            }
        }
        Ok(())
    }

    fn leave(&self, request: Request) {
        let mut entries = self.entries.lock();
        let found = entries.iter().position(|entry| entry.request == request);
        if let Some(index) = found {
            let last = entries.len().saturating_sub(1);
            entries.swap(index, last);
            entries.pop();
        }
        self.one_ended.notify_all();
    }
}

fn meets(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

/// A request whose range is entered. Dropped, it has ended.
#[must_use = "the range is free when this is dropped"]
pub(super) struct Entered<'a> {
    ranges: &'a DirectRanges,
    request: Request,
}

impl Entered<'_> {
    /// The request is under way: who completes it takes over.
    pub(super) fn goes_on(self) {
        mem::forget(self);
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.ranges.leave(self.request);
    }
}
