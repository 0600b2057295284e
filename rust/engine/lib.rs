// SPDX-License-Identifier: GPL-2.0
//! The engine of rbtrfs: everything that decides *what bytes go where*.
//!
//! It knows no kernel object and contains no `unsafe`. The same files are built into the module and,
//! against small stand-ins for the crates `kernel` and `latch`, into an ordinary crate on the host,
//! where they are tested at native speed.
//!
//! | folder     | what it is                                                            |
//! |------------|-----------------------------------------------------------------------|
//! | [`map`]    | an ordered map, over the kernel's red-black tree; short ordered lists |
//! | [`registry`] | values by key that are in memory as long as somebody uses them      |
//! | [`disk`]   | the on-disk format, and the one gate that validates every block       |
//! | [`volume`] | devices, the chunk map, superblock copies; regular or zoned           |
//! | [`btree`]  | tree blocks, search, copy-on-write, split, balance                    |
//! | [`space`]  | block groups, free space, reservations                                |
//! | [`txn`]    | extent references, the transaction, its commit                        |
//! | [`fs`]     | inodes, directories, file extents, subvolumes as operations on trees  |
//!
//! A layer uses only those above it in this table. See `Documentation/architecture.md`.

// Kbuild gives every crate `no_std` too; here it is for the host.
#![allow(unused_attributes, clippy::duplicated_attributes)]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod map;

pub mod registry;

pub mod disk;

pub mod volume;

pub mod btree;

pub mod space;

pub mod txn;

pub mod fs;

/// What the kernel's `pr_*!` puts before each line.
#[doc(hidden)]
#[allow(dead_code)]
const __LOG_PREFIX: &[u8] = b"rbtrfs\0";
