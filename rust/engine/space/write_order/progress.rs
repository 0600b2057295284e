// SPDX-License-Identifier: GPL-2.0
//! Waiting for data writes to end, for the zones that they hold.

use latch::prelude::*;
use latch::{Condvar, Mutex, Rank};

/// How a wait for a data write to end came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataWait {
    /// One has ended.
    OneEnded,
    /// None was under way.
    NoneUnderWay,
}

/// Counts data writes that have ended, for those who wait for the zones they hold.
pub(in crate::space) struct DataProgress {
    ended: Mutex<u64>,
    moved: Condvar,
}

impl DataProgress {
    pub(in crate::space) fn new() -> Result<Self> {
        Ok(Self {
            ended: Mutex::new(0, Rank::DataProgress)?,
            moved: Condvar::new(Rank::DataProgress)?,
        })
    }

    /// How many there were.
    pub(in crate::space) fn ended(&self) -> u64 {
        *self.ended.lock()
    }

    /// Counts one more.
    pub(in crate::space) fn advance(&self) {
        let mut ended = self.ended.lock();
        *ended = ended.wrapping_add(1);
        drop(ended);
        self.moved.notify_all();
    }

    /// Waits until there were more than `seen`, as long as `under_way` says that one may come.
    pub(in crate::space) fn await_while(
        &self,
        seen: u64,
        under_way: impl Fn() -> bool,
    ) -> DataWait {
        let mut ended = self.ended.lock();
        while *ended == seen {
            if !under_way() {
                return DataWait::NoneUnderWay;
            }
            self.moved.wait(&mut ended);
        }
        DataWait::OneEnded
    }
}
