// SPDX-License-Identifier: GPL-2.0
//! Which bytes of a block group are free, and how bytes leave and come back.
//!
//! | module          | what it is                                                                   |
//! |-----------------|------------------------------------------------------------------------------|
//! | `abandoned`     | addresses on sequential zones that got no block                              |
//! | `allocate`      | which address a tree block or file data gets                                 |
//! | `block_address` | an address on its way to a tree block                                        |
//! | `cache`         | the free space cache (v1) of a block group                                   |
//! | `changes`       | what the free space tree has not been told yet                               |
//! | `doubt`         | why what the disk says is free is not believed                               |
//! | `on_disk`       | where the disk has what is free, for the next mount                          |
//! | `pinned`        | long lists of ranges, and those that wait for a commit                       |
//! | `policy`        | where in a group bytes are free: anywhere, or behind the last allocation     |
//! | `ranges`        | the free ranges of a group that can be written anywhere                      |
//! | `release`       | addresses coming back when a transaction is durable                          |
//! | `runs`          | what is known of a piece of a group to find free sectors that lie together    |
//! | `sectors`       | which sectors of a group are free                                            |
//! | `trim`          | telling the devices of freed ranges                                          |
//! | `tree`          | the free space tree                                                          |
//! | `window`        | the sectors of a group in a bitmap of one page                               |

pub(in crate::space) mod abandoned;
pub(in crate::space) mod allocate;
pub(in crate::space) mod block_address;
pub(in crate::space) mod cache;
pub(in crate::space) mod changes;
pub(crate) mod doubt;
pub(in crate::space) mod on_disk;
pub(in crate::space) mod pinned;
pub(in crate::space) mod policy;
pub(in crate::space) mod ranges;
pub(in crate::space) mod release;
mod runs;
mod sectors;
pub(in crate::space) mod tree;
pub(in crate::space) mod trim;
mod window;
