// SPDX-License-Identifier: GPL-2.0
//! Items as typed values, to read and to write.
//!
//! | module         | what it has                                                    |
//! |----------------|----------------------------------------------------------------|
//! | `inode`        | inodes                                                         |
//! | `inode_ref`    | the names of an inode                                          |
//! | `directory`    | entries of directories, and extended attributes                |
//! | `file_extent`  | pieces of files                                                |
//! | `extent`       | extents                                                        |
//! | `extent_ref`   | references to extents                                          |
//! | `root`         | trees                                                          |
//! | `root_ref`     | the names of subvolumes, and how they are found by UUID        |
//! | `chunk`        | chunks                                                         |
//! | `device`       | devices, and their ranges                                      |
//! | `block_group`  | block groups                                                   |
//! | `free_space`   | what is free in a block group                                  |
//! | `cache_header` | which file has the free space cache of a block group           |
//! | `quota`        | whether quotas are to be believed                              |

mod block_group;
mod cache_header;
mod chunk;
mod device;
pub(super) mod directory;
mod extent;
mod extent_ref;
mod file_extent;
mod free_space;
mod inode;
mod inode_ref;
mod quota;
pub(super) mod root;
mod root_ref;

pub use block_group::BlockGroupItem;
pub use cache_header::CacheHeader;
pub use chunk::{ChunkItem, NewChunk, Stripe};
pub use device::{DevExtent, DevItem};
pub use directory::{DirEntries, DirEntry, EntryTarget};
pub use extent::{ExtentHead, ExtentItem};
pub use extent_ref::{keyed_ref, FileRef, InlineRef, InlineRefs};
pub use file_extent::{Compression, ExtentState, FileExtent, InlineExtent, RegularExtent};
pub use free_space::{FreeSpaceForm, FreeSpaceInfo};
pub use inode::{InodeItem, Timespec};
pub use inode_ref::{InodeExtref, InodeExtrefs, InodeRef, InodeRefs};
pub use quota::QuotaStatus;
pub use root::{RootExtension, RootItem, RootPointer};
pub use root_ref::{RootRef, UuidItem};
