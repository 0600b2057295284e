// SPDX-License-Identifier: GPL-2.0

//! What the VFS calls: the tables of file systems, super blocks, inodes, dentries and files.
//!
//! | module         | what is in it                                                        |
//! |----------------|----------------------------------------------------------------------|
//! | [`mount`]      | mounts: options, super blocks, what a file system is                 |
//! | [`operations`] | the calls that inodes of all kinds have                              |
//! | [`directory`]  | directories                                                          |
//! | `file`         | regular files                                                        |
//! | [`symlink`]    | symbolic links                                                       |
//! | [`special`]    | device nodes, pipes, sockets                                         |
//! | [`attributes`] | attributes of all inodes: `getattr`, `setattr`, times, flags, xattrs |
//! | [`ioctl`]      | `ioctl`: a table of calls by their numbers                           |
//! | [`export`]     | file handles                                                         |

pub(crate) mod attributes;
pub(crate) mod directory;
pub(crate) mod export;
pub(crate) mod file;
pub(crate) mod ioctl;
pub(crate) mod mount;
mod operations;
mod special;
mod symlink;
