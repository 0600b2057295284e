// SPDX-License-Identifier: GPL-2.0

//! What the VFS calls, and what it owns: super blocks, inodes, dentries, files.
//!
//! | module          | what is in it                                                       |
//! |-----------------|---------------------------------------------------------------------|
//! | [`mount`]       | `file_system_type`, `fs_context`, `super_operations`                |
//! | [`subtree`]     | a mount that shows a directory below the root                       |
//! | [`super_block`] | `super_block`, and holding off a freeze                             |
//! | [`inode`]       | `inode`: found, made, mirrored                                      |
//! | [`dentry`]      | `dentry`                                                            |
//! | [`operations`]  | `inode_operations` and `file_operations`, chosen by kind of inode   |
//! | [`attributes`]  | calls for attributes of all inodes: `getattr`, `setattr`, times     |
//! | [`acl`]         | POSIX ACLs                                                          |
//! | [`xattr`]       | `xattr_handler`                                                     |
//! | [`file`]        | `file_operations` of regular files                                  |
//! | [`enospc`]      | a call that finds no space lets delayed data be written out         |
//! | [`private`]     | what hangs on `s_fs_info`, `i_private`, `fs_private`                |

mod acl;
pub(crate) mod attributes;
pub(crate) mod dentry;
pub(in crate::linux) mod enospc;
pub(crate) mod file;
pub(crate) mod inode;
pub(crate) mod mount;
pub(crate) mod operations;
pub(in crate::linux) mod private;
mod subtree;
pub(crate) mod super_block;
pub(crate) mod xattr;

pub(crate) use inode::Inode;
pub(crate) use super_block::SuperBlock;
