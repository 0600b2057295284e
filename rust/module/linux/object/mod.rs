// SPDX-License-Identifier: GPL-2.0

//! The VFS's objects, and what the file system has hung on them. They know nothing of the calls that reach them.
//!
//! | module          | what is in it                                               |
//! |-----------------|-------------------------------------------------------------|
//! | [`super_block`] | `super_block`, and holding off a freeze                     |
//! | `held`          | a `super_block` whose `s_umount` is held                    |
//! | `filling`       | a `super_block` that is being filled                        |
//! | [`inode`]       | `inode`: found, made, mirrored                              |
//! | [`dentry`]      | `dentry`                                                    |
//! | [`owner`]       | who owns a new inode                                        |
//! | `failure`       | what users are told when a volume fails                     |
//! | [`enospc`]      | a call that finds no space lets delayed data be written out |
//! | [`private`]     | what hangs on `s_fs_info`, `i_private`, `fs_private`        |

pub(crate) mod dentry;
pub(in crate::linux) mod enospc;
mod failure;
mod filling;
mod held;
pub(crate) mod inode;
pub(crate) mod owner;
pub(in crate::linux) mod private;
pub(crate) mod super_block;

pub(in crate::linux) use filling::NewSuperBlock;
pub(crate) use held::Held;
pub(crate) use inode::Inode;
pub(crate) use super_block::SuperBlock;
