// SPDX-License-Identifier: GPL-2.0
//! Which bytes of a block group are free, in memory and on the disk.
//!
//! | module          | what it is                                                                   |
//! |-----------------|------------------------------------------------------------------------------|
//! | `abandoned`     | addresses on sequential zones that got no block                              |
//! | `cache`         | the free space cache (v1) of a block group                                   |
//! | `changes`       | what the free space tree has not been told yet                               |
//! | `data_extent`   | an address for file data                                                     |
//! | `doubt`         | why what the disk says is free is not believed                               |
//! | `on_disk`       | where the disk has what is free, for the next mount                          |
//! | `pinned`        | long lists of ranges, and those that wait for a commit                       |
//! | `policy`        | where in a group bytes are free: anywhere, or behind the last allocation     |
//! | `ranges`        | the free ranges of a group that can be written anywhere                      |
//! | `runs`          | what is known of a piece of a group to find free sectors that lie together    |
//! | `sectors`       | which sectors of a group are free                                            |
//! | `tree`          | the free space tree                                                          |
//! | `window`        | the sectors of a group in a bitmap of one page                               |

pub(in crate::space) mod abandoned;
pub(in crate::space) mod cache;
pub(in crate::space) mod changes;
pub(in crate::space) mod data_extent;
pub(crate) mod doubt;
pub(in crate::space) mod on_disk;
pub(in crate::space) mod pinned;
pub(in crate::space) mod policy;
pub(in crate::space) mod ranges;
mod runs;
mod sectors;
pub(in crate::space) mod tree;
mod window;
