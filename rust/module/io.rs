// SPDX-License-Identifier: GPL-2.0

//! L6: what moves bytes between memory and the devices.
//!
//! | module        | what it is                                                                  |
//! |---------------|-----------------------------------------------------------------------------|
//! | [`device`]    | the engine's view of a block device                                         |
//! | [`checksums`] | the engine's view of the kernel's checksums                                 |
//! | [`metadata`]  | the cache of tree blocks, as the page cache of the btree inode              |
//! | [`plain_read`] | the contents of files, the plain way                                       |
//!
//! Below: `linux` and the engine. Above: `vfs`.

#![deny(unsafe_code)]

pub(crate) mod checksums;

pub(crate) mod device;
pub(crate) mod metadata;
pub(crate) mod plain_read;
