// SPDX-License-Identifier: GPL-2.0

//! How often the log may be written to.
//!
//! C header: `include/linux/printk.h`

use super::bindings as b;

/// Whether one more line about a broken medium may go into the log now: at most ten in five seconds.
pub(crate) fn may_log() -> bool {
    // SAFETY: The name is a string that lives forever.
    unsafe { b::__printk_ratelimit(c"rbtrfs".as_ptr().cast()) != 0 }
}
