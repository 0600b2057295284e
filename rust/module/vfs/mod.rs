// SPDX-License-Identifier: GPL-2.0

//! The file system as the VFS calls it: thin adapters between `linux`'s traits and the engine.
//!
//! | module         | what it is                                                               |
//! |----------------|--------------------------------------------------------------------------|
//! | [`mount`]      | [`Mount`]: what a super block owns; its options; mounting, sync, remount |
//! | `node`         | [`Node`]: what an inode owns; attributes mirrored                        |
//! | `changing`     | what a call changes of inodes: when, and how it is shown                 |
//! | [`directory`]  | names                                                                    |
//! | `replaced`     | files whose bytes go out before the names that they have taken           |
//! | `file`         | regular files: sizes and holes, and which extents they have              |
//! | [`attributes`] | stat, setattr, the flags of chattr(1), extended attributes               |
//! | `ioctl/`       | `ioctl`                                                                  |
//! | `export`       | file handles                                                             |
//! | [`committer`]  | the thread that commits now and then                                     |
//! | [`counters`]   | what a mount did, in debugfs                                             |
//! | `sysfs`        | what a volume tells, in `/sys/fs`                                        |
//! | `memory`       | what is given back when the kernel wants memory                          |
//!
//! Below: `io`, `linux`, the engine. Of the locks of this folder two are held while the engine
//! is at work: who starts, pauses or ends the thread that commits waits for it with `Committer`, which the thread does not
//! take; and who waits for files that have taken the place of others writes them out with `ReplacedTurn`.

#![deny(unsafe_code)]

mod attributes;
mod changing;
mod committer;
mod counters;
mod directory;
mod export;
mod file;
mod ioctl;
mod memory;
mod mount;
mod node;
mod replaced;
mod sysfs;

pub(crate) use mount::Mount;
pub(crate) use node::{node, Node};

/// The tables of this file system: `linux`'s traits are implemented for it.
pub(crate) struct Rbtrfs;
