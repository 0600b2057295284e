// SPDX-License-Identifier: GPL-2.0
//! Telling the disk what groups have become: the trees, and the files of a free space cache.
//!
//! | module    | what it is                                     |
//! |-----------|------------------------------------------------|
//! | `caches`  | writing the free space caches of groups        |
//! | `dirty`   | the groups that the trees are behind of        |
//! | `populate`| a free space tree that is not valid, made anew |
//! | `write`   | telling the trees what changed in groups       |

pub(in crate::space) mod caches;
pub(super) mod dirty;
mod populate;
pub(in crate::space) mod write;
