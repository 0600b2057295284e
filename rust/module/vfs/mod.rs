// SPDX-License-Identifier: GPL-2.0

//! L7: the file system as the VFS calls it: thin adapters between `linux`'s traits and the engine.
//!
//! | module         | what it is                                                                   |
//! |----------------|------------------------------------------------------------------------------|
//! | [`mount`]      | [`Mount`]: what a super block owns; mounting, sync, remount, unmount         |
//! | [`options`]    | mount options, in the words of C btrfs                                       |
//! | [`flags`]      | those of them that are on or off                                             |
//! | [`settings`]   | the options in force, as `/proc/mounts` shows them                           |
//! | [`shown`]      | the directory that a mount shows: `subvol=`, `subvolid=`                     |
//! | `space_cache`  | where free space is kept: what words change, and what is refused             |
//! | `node`         | [`Node`]: what an inode owns; attributes mirrored                            |
//! | `changing`     | what a call changes of inodes: when, and how it is shown                     |
//! | [`directory`]  | names                                                                        |
//! | `replaced`     | files whose bytes go out before the names that they have taken               |
//! | `file`         | sizes and holes of regular files                                             |
//! | [`attributes`] | stat, setattr                                                                |
//! | `fileattr`     | the flags of chattr(1)                                                       |
//! | `ioctl/`       | `ioctl`                                                                      |
//! | `fiemap`       | which extents a file has                                                     |
//! | [`xattr`]      | extended attributes                                                          |
//! | `export`       | file handles                                                                 |
//! | [`committer`]  | the thread that commits now and then                                         |
//! | [`counters`]   | what a mount did, in debugfs                                                 |
//! | `sysfs`        | what a volume tells, in `/sys/fs`                                            |
//! | `memory`       | what is given back when the kernel wants memory                              |
//!
//! Below: `io`, `linux`, the engine. The VFS's locks are outermost. Of the locks of this folder two are held while the engine
//! is at work: who starts, pauses or ends the thread that commits waits for it with `Committer`, which the thread does not
//! take; and who waits for files that have taken the place of others writes them out with `ReplacedTurn`.

#![deny(unsafe_code)]

mod attributes;
mod changing;
mod committer;
mod counters;
mod directory;
mod export;
mod fiemap;
mod file;
mod fileattr;
mod flags;
mod ioctl;
mod memory;
mod mount;
mod node;
mod options;
mod replaced;
mod settings;
mod shown;
mod space_cache;
mod sysfs;
mod xattr;

pub(crate) use mount::Mount;
pub(crate) use node::{node, Node};

/// The tables of this file system: `linux`'s traits are implemented for it.
pub(crate) struct Rbtrfs;
