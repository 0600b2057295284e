// SPDX-License-Identifier: GPL-2.0
//! The free space cache (v1) of a block group: its file in the root tree, and what that says is free.
//!
//! | module    | what it has                                 |
//! |-----------|---------------------------------------------|
//! | `file`    | the inode and the extents of a cache        |
//! | `keep`    | keeping the cache of a group on disk        |
//! | `owner`   | whether an extent is a cache's alone        |
//! | `read`    | from a group to what its cache says is free |
//! | `sending` | its pages on their way to the device        |
//! | `set`     | what the pages of a cache say, as a set     |
//! | `state`   | what is known of the cache of a group       |

mod file;
mod keep;
mod owner;
mod read;
mod sending;
mod set;
mod state;

pub(crate) use file::CacheFile;
pub use keep::Keeping;
pub(in crate::space) use keep::{Begun, Files, Keeper};
pub use read::CachesRead;
pub(in crate::space) use read::Stored;
pub(in crate::space) use sending::Sent;
#[cfg(test)]
pub(in crate::space) use set::{read, write, Known};
pub(in crate::space) use state::{Cache, Measured};
