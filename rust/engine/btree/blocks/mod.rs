// SPDX-License-Identifier: GPL-2.0
//! Tree blocks: what they are in memory, how they are locked, and how they leave for the device.
//!
//! | module  | what it has                                               |
//! |---------|-----------------------------------------------------------|
//! | `block` | a tree block in memory, and where blocks come from        |
//! | `lock`  | latches of tree blocks, and what the lock checker is told |
//! | `seal`  | the last station of a block before the device             |

pub(super) mod block;
pub(super) mod lock;
pub(super) mod seal;
