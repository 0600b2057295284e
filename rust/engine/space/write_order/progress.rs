// SPDX-License-Identifier: GPL-2.0
//! Waiting for zones of data to be given back: by a data write that ends, or as they are finished.

use latch::prelude::*;
use latch::{Condvar, Mutex, Rank};

/// How a wait for a data write to end came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataWait {
    /// A write has ended, or zones were finished.
    OneEnded,
    /// No write was under way.
    NoneUnderWay,
}

/// Counts what may have given zones back, for those who wait for some.
pub(in crate::space) struct DataProgress {
    counts: Mutex<Counts>,
    moved: Condvar,
}

#[derive(Default)]
struct Counts {
    /// How often something has ended that may have given zones back.
    ended: u64,
    /// How often something is just being done that may.
    giving: u64,
}

/// Zones may be about to be given back: a data write ends, or zones are finished, which takes the device its time. Whoever
/// waits for some goes on waiting until this is dropped. Taken before the group says that its zones are not active any more: by
/// then they are not to be seen, and not to be had yet.
#[must_use = "dropped, what was to be given back has been"]
pub(in crate::space) struct Giving<'a>(&'a DataProgress);

impl Drop for Giving<'_> {
    fn drop(&mut self) {
        let mut counts = self.0.counts.lock();
        counts.giving = counts.giving.saturating_sub(1);
        counts.ended = counts.ended.wrapping_add(1);
        drop(counts);
        self.0.moved.notify_all();
    }
}

impl DataProgress {
    pub(in crate::space) fn new() -> Result<Self> {
        Ok(Self {
            counts: Mutex::new(Counts::default(), Rank::DataProgress)?,
            moved: Condvar::new(Rank::DataProgress)?,
        })
    }

    /// How many there were.
    pub(in crate::space) fn ended(&self) -> u64 {
        self.counts.lock().ended
    }

    /// Begins what may give zones back. No group's lock is held, neither here nor at its end.
    pub(in crate::space) fn giving(&self) -> Giving<'_> {
        let mut counts = self.counts.lock();
        counts.giving = counts.giving.saturating_add(1);
        Giving(self)
    }

    /// Waits until there were more than `seen`, as long as one is coming, or `under_way` says that one may.
    pub(in crate::space) fn await_while(
        &self,
        seen: u64,
        under_way: impl Fn() -> bool,
    ) -> DataWait {
        let mut counts = self.counts.lock();
        while counts.ended == seen {
            if counts.giving == 0 && !under_way() {
                return DataWait::NoneUnderWay;
            }
            self.moved.wait(&mut counts);
        }
        DataWait::OneEnded
    }
}
