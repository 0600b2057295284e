// SPDX-License-Identifier: GPL-2.0
//! What becomes of the free space that the disk tells of before anything else is changed.
//!
//! | module    | what it has                                        |
//! |-----------|----------------------------------------------------|
//! | `caches`  | free space caches that are not kept are dropped     |
//! | `rebuild` | the free space tree: made, made anew, given up      |

pub(super) mod caches;
pub(super) mod rebuild;
