// SPDX-License-Identifier: GPL-2.0

//! Whether the task that waits is to end.

// Of `linux/shim.h`: this crate is built before the bindings.
extern "C" {
    fn rbtrfs_is_killed() -> bool;
}

/// Whether a signal is there that ends the calling task: nobody looks at what it works for.
pub fn is_killed() -> bool {
    // SAFETY: It asks of the calling task.
    unsafe { rbtrfs_is_killed() }
}
