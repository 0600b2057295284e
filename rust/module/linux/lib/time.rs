// SPDX-License-Identifier: GPL-2.0

//! The kernel's clock.
//!
//! C header: `include/linux/timekeeping.h`. The kernel crate's `Instant` does not say what its number is, and ours go over an edge
//! that the host has, too, into atomic words and into the engine, which has no clock: plain nanoseconds.

use crate::linux::bindings as b;

/// The monotonic clock, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    // SAFETY: It reads a clock.
    u64::try_from(unsafe { b::ktime_get() }).unwrap_or(0)
}

/// The time of day: seconds since 1970, and nanoseconds within.
pub(crate) fn real_time() -> (i64, u32) {
    const SECOND: i64 = 1_000_000_000;
    // SAFETY: It reads a clock.
    let now = unsafe { b::ktime_get_real() };
    let nanoseconds = u32::try_from(now.rem_euclid(SECOND)).unwrap_or(0);
    (now.div_euclid(SECOND), nanoseconds)
}
