// SPDX-License-Identifier: GPL-2.0

//! What moves bytes between memory and the devices.
//!
//! | module        | what it is                                                                  |
//! |---------------|-----------------------------------------------------------------------------|
//! | [`device`]    | the engine's view of a block device                                         |
//! | [`checksums`] | the engine's view of the kernel's checksums                                 |
//! | [`clock`]     | the engine's view of the kernel's clock                                     |
//! | [`data`]      | the contents of files                                                       |
//! | [`metadata`]  | the cache of tree blocks, as the page cache of the btree inode              |
//!
//! Below: `linux` and the engine. Above: `vfs`.

#![deny(unsafe_code)]

pub(crate) mod checksums;
pub(crate) mod clock;
pub(crate) mod data;
pub(crate) mod device;
pub(crate) mod metadata;
