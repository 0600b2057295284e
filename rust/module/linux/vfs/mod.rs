// SPDX-License-Identifier: GPL-2.0

//! What the VFS calls: the tables of file systems, super blocks, inodes, dentries and files.
//!
//! | module               | what is in it                                                       |
//! |----------------------|---------------------------------------------------------------------|
//! | [`registration`]     | `file_system_type`                                                  |
//! | [`mount`]            | what a file system is, and what a call of mount asks of it          |
//! | [`context`]          | `fs_context`: from options to a mount or remount                    |
//! | [`options`]          | mount options, and what mount(8) shows of a failure                 |
//! | [`subtree`]          | a mount that shows a directory below the root                       |
//! | [`super_operations`] | the calls for a whole super block, from its first to its last       |
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

pub(in crate::linux) mod acl;
pub(crate) mod attributes;
mod context;
pub(crate) mod directory;
pub(crate) mod export;
pub(crate) mod file;
pub(crate) mod fileattr;
pub(crate) mod ioctl;
pub(crate) mod mount;
mod operations;
pub(crate) mod options;
pub(crate) mod registration;
mod special;
mod subtree;
mod super_operations;
mod symlink;
pub(crate) mod xattr;
