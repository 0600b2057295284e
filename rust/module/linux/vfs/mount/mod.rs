// SPDX-License-Identifier: GPL-2.0

//! Mounts: from a file system that is registered to a super block that ends.
//!
//! | module               | what is in it                                                       |
//! |----------------------|---------------------------------------------------------------------|
//! | `file_system`        | what a file system is, and what a call of mount asks of it          |
//! | [`options`]          | mount options, and what mount(8) shows of a failure                 |
//! | [`registration`]     | `file_system_type`                                                  |
//! | [`context`]          | `fs_context`: from options to a mount or remount                    |
//! | [`subtree`]          | a mount that shows a directory below the root                       |
//! | [`super_operations`] | the calls for a whole super block, from its first to its last       |

mod context;
mod file_system;
pub(crate) mod options;
pub(crate) mod registration;
mod subtree;
mod super_operations;

pub(crate) use file_system::{Asked, FileSystem, MountAccess, Statfs, SyncTurn};
