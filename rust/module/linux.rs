// SPDX-License-Identifier: GPL-2.0

//! The kernel's objects as safe types: besides `rust/latch` the only folder that may say `unsafe`.
//!
//! | module                       | C objects                                                    |
//! |------------------------------|--------------------------------------------------------------|
//! | [`block`], [`bio`]           | `block_device`, zones, `bio`, `blk_plug`                       |
//! | [`folio`]                    | `folio`                                                      |
//! | [`inode`], [`dentry`]        | `inode`, `dentry`                                            |
//! | [`super_block`], [`mount`]   | `super_block`, `fs_context`, `file_system_type`              |
//! | [`room`]                     | `sync_inodes_sb`, where there is no space                    |
//! | [`attributes`], [`acl`]      | calls for attributes of all inodes; POSIX ACLs                 |
//! | [`operations`], [`file`]     | `inode_operations`, `file_operations`, `address_space_operations` |
//! | [`iomap`]                    | `address_space` of regular files, iomap, their bios          |
//! | [`metadata_pages`]           | `address_space` of tree blocks                               |
//! | [`memory`]                   | bytes that others may change                                 |
//! | [`noio`]                     | `PF_MEMALLOC_NOIO`                                           |
//! | [`queue`]                    | `workqueue_struct`                                           |
//! | [`time`]                     | the clock                                                    |
//! | [`seq`]                      | `seq_file`, for mount options                                |
//! | [`debugfs`]                  | a file in debugfs                                            |
//! | [`xattr`]                    | `xattr_handler`                                              |
//! | [`checksum`]                 | crc32c, xxh64, sha256, blake2b                               |
//! | [`thread`]                   | `kthread`                                                    |
//! | [`private`]                  | what hangs on `s_fs_info`, `i_private`, `fs_private`         |
//!
//! Each file names its C header. A type that wraps a C object states its invariants; methods mirror C's
//! names without the prefix. Nothing here knows what btrfs is.

mod acl;
pub(crate) mod attributes;
pub(crate) mod bindings;
pub(crate) mod bio;
pub(crate) mod block;
pub(crate) mod checksum;
pub(crate) mod debugfs;
pub(crate) mod dentry;
pub(crate) mod file;
pub(crate) mod folio;
pub(crate) mod inode;
pub(crate) mod iomap;
pub(crate) mod memory;
pub(crate) mod metadata_pages;
pub(crate) mod mount;
mod noio;
pub(crate) mod operations;
mod private;
pub(crate) mod queue;
mod room;
pub(crate) mod seq;
mod subtree;
pub(crate) mod super_block;
pub(crate) mod thread;
pub(crate) mod time;
pub(crate) mod xattr;

pub(crate) use bio::{Bio, Operation};
pub(crate) use block::BlockDevice;
pub(crate) use folio::Folio;
pub(crate) use inode::Inode;
pub(crate) use super_block::SuperBlock;
