// SPDX-License-Identifier: GPL-2.0

//! What the VFS calls, and what it owns: super blocks, inodes, dentries, files.
//!
//! | module               | what is in it                                                       |
//! |----------------------|---------------------------------------------------------------------|
//! | [`registration`]     | `file_system_type`                                                  |
//! | [`mount`]            | what a file system is, and what a call of mount asks of it          |
//! | [`context`]          | `fs_context`: from options to a mount or remount                    |
//! | [`options`]          | mount options, and what mount(8) shows of a failure                 |
//! | [`subtree`]          | a mount that shows a directory below the root                       |
//! | [`super_operations`] | the calls for a whole super block, from its first to its last       |
//! | [`super_block`]      | `super_block`, and holding off a freeze                             |
//! | [`inode`]            | `inode`: found, made, mirrored                                      |
//! | [`dentry`]           | `dentry`                                                            |
//! | [`owner`]            | who owns a new inode                                                |
//! | [`operations`]       | the calls that inodes of all kinds have                             |
//! | [`directory`]        | directories                                                         |
//! | `file`               | regular files                                                       |
//! | [`symlink`]          | symbolic links                                                      |
//! | [`special`]          | device nodes, pipes, sockets                                        |
//! | [`attributes`]       | calls for attributes of all inodes: `getattr`, `setattr`, times     |
//! | [`fileattr`]         | the flags of chattr(1)                                              |
//! | [`ioctl`]            | `ioctl`: a table of calls by their numbers                          |
//! | [`acl`]              | POSIX ACLs                                                          |
//! | [`xattr`]            | `xattr_handler`                                                     |
//! | [`export`]           | file handles                                                        |
//! | `failure`            | what users are told when a volume fails                             |
//! | [`enospc`]           | a call that finds no space lets delayed data be written out         |
//! | [`private`]          | what hangs on `s_fs_info`, `i_private`, `fs_private`                |

pub(in crate::linux) mod acl;
pub(crate) mod attributes;
mod context;
pub(crate) mod dentry;
pub(crate) mod directory;
pub(in crate::linux) mod enospc;
pub(crate) mod export;
mod failure;
pub(crate) mod file;
pub(crate) mod fileattr;
pub(crate) mod inode;
pub(crate) mod ioctl;
pub(crate) mod mount;
mod operations;
pub(crate) mod options;
pub(crate) mod owner;
pub(in crate::linux) mod private;
pub(crate) mod registration;
mod special;
mod subtree;
pub(crate) mod super_block;
mod super_operations;
mod symlink;
pub(crate) mod xattr;

pub(crate) use inode::Inode;
pub(crate) use super_block::SuperBlock;
