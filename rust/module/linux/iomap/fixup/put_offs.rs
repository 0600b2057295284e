// SPDX-License-Identifier: GPL-2.0

//! Bytes that were put off, as there was no memory to send them, or no zone yet to send them to.
//!
//! Writeback takes the dirty mark off a folio before it knows whether it can send its bytes. An fsync that comes by then
//! passes the folio over and waits for the end of its writeback. Only the run that was to send them hears of it, and that may be
//! one that nobody repeats. So whoever waits looks whether anything was put off meanwhile, and writes again.

use core::sync::atomic::{AtomicU64, Ordering};
use latch::prelude::*;

/// How often bytes were put off: of a file, or of a mount.
#[derive(Default)]
pub(crate) struct PutOffs(AtomicU64);

impl PutOffs {
    /// Bytes are dirty again, and still under writeback.
    pub(super) fn note(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// How often so far.
    pub(crate) fn counter(&self) -> &AtomicU64 {
        &self.0
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Lets `write` write out a range and wait for it, again and again until nobody has put anything off meanwhile. Like the
    /// kernel's own writing for an fsync, it goes on until there is memory.
    pub(super) fn outlast(&self, write: impl Fn() -> Result) -> Result {
        loop {
            let before = self.count();
            write()?;
            if self.count() == before {
                return Ok(());
            }
        }
    }
}
