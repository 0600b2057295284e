// SPDX-License-Identifier: GPL-2.0
//! Whether the task that waits is to end.

use std::cell::Cell;

crate::raw::thread_local! {
    static KILLED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this task was killed.
pub fn is_killed() -> bool {
    KILLED.with(Cell::get)
}

/// Kills this task, or brings it back. For tests: the kernel's has no such call.
pub fn kill(killed: bool) {
    KILLED.with(|cell| cell.set(killed));
}
