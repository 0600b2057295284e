// SPDX-License-Identifier: GPL-2.0

//! Errors and warnings that do not flood the log, whatever is on the disk: at most 100 of each in five seconds. The
//! kernel then tells how many there would have been. `pr_crit!` is not limited.
//!
//! C header: `include/linux/ratelimit.h`

use crate::listening::hear;
use kernel::fmt;

// In `shim.c`; this crate is built before the bindings.
extern "C" {
    fn rbtrfs_may_log_error() -> bool;
    fn rbtrfs_may_log_warning() -> bool;
}

/// Logs an error, unless there were too many lately, and tells it to the task, if that listens. In any context.
pub fn log_error(message: fmt::Arguments<'_>) {
    // SAFETY: It takes nothing, and its lock is only tried.
    if unsafe { rbtrfs_may_log_error() } {
        kernel::pr_err!("{}", message);
    }
    hear(message);
}

/// Whether one more warning may be logged now. In any context.
pub fn may_log_warning() -> bool {
    // SAFETY: As above.
    unsafe { rbtrfs_may_log_warning() }
}

/// Logs an error, unless there were too many lately.
#[macro_export]
macro_rules! pr_err {
    ($($message:tt)*) => {
        $crate::log_error($crate::kernel::prelude::fmt!($($message)*))
    };
}

/// Logs a warning, unless there were too many lately.
#[macro_export]
macro_rules! pr_warn {
    ($($message:tt)*) => {
        if $crate::may_log_warning() {
            $crate::kernel::pr_warn!($($message)*)
        }
    };
}
