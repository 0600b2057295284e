// SPDX-License-Identifier: GPL-2.0

//! Writeback that the device refuses a zone: how long that may be thought to pass by itself.
//!
//! A zone comes when another is full, was finished, or is reset behind a commit. Until then the bytes are put off, like those for
//! which there is no memory. None comes where no zone can be finished: then they are lost at last, and an fsync ends.

use crate::linux::time::monotonic_ns;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many writes of a mount are refused in a row, at the least, before bytes are lost by that; [`PATIENCE`] must be over, too.
const MOST_IN_A_ROW: u32 = 64;

/// For how long writes of a mount are refused, or parts of a write fail, before bytes are lost by that, in nanoseconds.
pub(super) const PATIENCE: u64 = 10_000_000_000;

/// How often writes of a mount were refused a zone since the last of them got one.
#[derive(Default)]
pub(crate) struct Refusals {
    in_a_row: AtomicU32,
    /// When the first of them was, in nanoseconds.
    since: AtomicU64,
}

/// Whether there is use in asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    /// A zone may come.
    Fair,
    /// Too many writes waited too long for one.
    Lost,
}

impl Refusals {
    /// A write got an address.
    pub(super) fn end(&self) {
        // All write this: not where it is what it was.
        if self.in_a_row.load(Ordering::Relaxed) > 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Notes one more refusal.
    pub(super) fn note(&self) -> Prospect {
        let now = monotonic_ns();
        let before = self.in_a_row.load(Ordering::Relaxed);
        if before == 0 {
            self.since.store(now, Ordering::Relaxed);
        }
        self.in_a_row
            .store(before.saturating_add(1), Ordering::Relaxed);
        let since = self.since.load(Ordering::Relaxed);
        match before >= MOST_IN_A_ROW && now.saturating_sub(since) >= PATIENCE {
            true => Prospect::Lost,
            false => Prospect::Fair,
        }
    }
}
