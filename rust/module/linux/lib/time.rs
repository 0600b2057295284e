// SPDX-License-Identifier: GPL-2.0

//! The kernel's clock.
//!
//! C header: `include/linux/timekeeping.h`

use crate::linux::bindings as b;

/// The monotonic clock, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    // SAFETY: It reads a clock.
    u64::try_from(unsafe { b::ktime_get() }).unwrap_or(0)
}
