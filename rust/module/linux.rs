// SPDX-License-Identifier: GPL-2.0

//! The kernel's objects as safe types: besides `rust/latch` the only folder that may say `unsafe`.
//!
//! | module       | C objects                                                                          |
//! |--------------|------------------------------------------------------------------------------------|
//! | [`vfs`]      | `super_block`, `inode`, `dentry`, `file` and the tables of calls the VFS makes      |
//! | [`mm`]       | `folio`, the `address_space` of tree blocks                                         |
//! | [`block`]    | `block_device`, zones, `bio`                                                        |
//! | [`iomap`]    | the `address_space` of regular files, iomap, direct IO, their bios                  |
//! | [`lib`]      | `kthread`, `workqueue_struct`, `seq_file`, debugfs, the clock, checksums            |
//! | [`bindings`] | C's declarations: those of the kernel crate, and those that it leaves out           |
//!
//! Each file names its C header. A type that wraps a C object states its invariants; methods mirror C's
//! names without the prefix. Nothing here knows what btrfs is. The folders are for readers of this layer; what
//! the layers above use has one name, `linux::` and the module.

pub(crate) mod bindings;
pub(crate) mod block;
pub(crate) mod iomap;
mod lib;
mod mm;
mod vfs;

pub(crate) use block::{bio, BlockDevice, Sector, WriteKind};
pub(crate) use lib::{checksum, debugfs, queue, seq, shrinker, thread, time};
use mm::noio;
pub(crate) use mm::{memory, metadata_pages, Folio, FolioBytes, LockedFolio, Writeback};
use vfs::{acl, enospc, private};
pub(crate) use vfs::{
    attributes, dentry, directory, export, file, fileattr, inode, ioctl, mount, options, owner,
    registration, super_block, xattr, Inode, SuperBlock,
};
