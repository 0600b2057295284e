// SPDX-License-Identifier: GPL-2.0

//! The engine's view of the kernel's clock.

use crate::linux::time::{monotonic_ns, real_time};
use engine::disk::Timespec;
use engine::txn::Clock;

/// The monotonic clock, and that of the day.
pub(crate) struct KernelClock;

impl Clock for KernelClock {
    fn now_ns(&self) -> u64 {
        monotonic_ns()
    }

    fn real_time(&self) -> Timespec {
        let (sec, nsec) = real_time();
        Timespec { sec, nsec }
    }
}
