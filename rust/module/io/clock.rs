// SPDX-License-Identifier: GPL-2.0

//! The engine's view of the kernel's clock.

use crate::linux::time::monotonic_ns;
use engine::txn::Clock;

/// The monotonic clock.
pub(crate) struct KernelClock;

impl Clock for KernelClock {
    fn now_ns(&self) -> u64 {
        monotonic_ns()
    }
}
