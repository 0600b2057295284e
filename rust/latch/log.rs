// SPDX-License-Identifier: GPL-2.0

//! Errors, warnings and lines for who debugs, which do not flood the log, whatever is on the disk: at most 100 of each in five
//! seconds. The kernel then tells how many there would have been. `pr_crit!` is not limited.
//!
//! `pr_debug!` of the kernel crate is nothing in a kernel without debug assertions, such as the stock one. This one is there: C's
//! could be switched on.
//!
//! C header: `include/linux/ratelimit.h`

use crate::listening::hear;
use kernel::fmt;

// In `shim.c`; this crate is built before the bindings.
extern "C" {
    fn rbtrfs_may_log_error() -> bool;
    fn rbtrfs_may_log_warning() -> bool;
    fn rbtrfs_may_log_debug() -> bool;
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
    // SAFETY: It takes nothing, and its lock is only tried.
    unsafe { rbtrfs_may_log_warning() }
}

/// Logs a line for who debugs, unless there were too many lately. In any context.
#[cold]
pub fn log_debug(message: fmt::Arguments<'_>) {
    // SAFETY: It takes nothing, and its lock is only tried.
    if unsafe { rbtrfs_may_log_debug() } {
        kernel::print_macro!(kernel::print::format_strings::DEBUG, false, "{}", message);
    }
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

/// Logs a line for who debugs, unless there were too many lately.
#[macro_export]
macro_rules! pr_debug {
    ($($message:tt)*) => {
        $crate::log_debug($crate::kernel::prelude::fmt!($($message)*))
    };
}
