// SPDX-License-Identifier: GPL-2.0

//! The kernel's objects as safe types: besides `rust/latch` the only folder that may say `unsafe`.
//!
//! | module             | C objects                                                                    |
//! |--------------------|------------------------------------------------------------------------------|
//! | [`bindings`]       | C's declarations: those of the kernel crate, and those that it leaves out    |
//! | [`mm`]             | `folio` and its bytes                                                        |
//! | [`lib`]            | `kthread`, `workqueue_struct`, `seq_file`, debugfs, sysfs, clock, checksums  |
//! | [`loff`]           | positions and lengths in files as C has them (`loff_t`)                      |
//! | [`block`]          | `block_device`, zones, `bio`                                                 |
//! | [`object`]         | `super_block`, `inode`, `dentry`, and what hangs on them                     |
//! | [`vfs`]            | the tables of calls that the VFS makes                                       |
//! | [`iomap`]          | the `address_space` of regular files, iomap, direct IO, their bios           |
//! | [`metadata_pages`] | the `address_space` of tree blocks                                           |
//!
//! A file that wraps a C object names its C header, or its folder does for all of its files. A type that wraps a C object states its invariants; methods mirror C's
//! names without the prefix. Nothing here knows the format or the engine. The folders are for readers of this layer; what
//! the layers above use has one name, `linux::` and the module.

pub(crate) mod bindings;
pub(crate) mod block;
pub(crate) mod iomap;
mod lib;
mod loff;
pub(crate) mod metadata_pages;
mod mm;
mod object;
mod vfs;

pub(crate) use block::{bio, BlockDevice, Sector, WriteUrgency};
use lib::single;
pub(crate) use lib::{checksum, debugfs, queue, seq, shrinker, sysfs, thread, time};
use mm::noio;
pub(crate) use mm::{memory, Folio, FolioBytes, LockedFolio, Writeback};
pub(crate) use object::{dentry, inode, owner, super_block, Held, Inode, SuperBlock};
use object::{enospc, private, NewSuperBlock};
use vfs::attributes::acl;
pub(crate) use vfs::attributes::{fileattr, xattr};
pub(crate) use vfs::mount::{options, registration};
pub(crate) use vfs::{attributes, directory, export, file, ioctl, mount};
