// SPDX-License-Identifier: GPL-2.0

//! The calls of `ioctl`, by their numbers.
//!
//! | module     | what is in it                                                      |
//! |------------|--------------------------------------------------------------------|
//! | `label`    | the volume's label                                                 |
//! | `trim`     | telling the device what is free: fstrim(8)                         |
//! | `shutdown` | an end without notice, for those who test what is left of it        |
//!
//! Here is what takes a line.

mod label;
mod shutdown;
mod trim;

use super::Rbtrfs;
use crate::linux::ioctl::{Call, Entry, Ioctls};
use kernel::ffi::{c_int, c_long};
use kernel::ioctl::{_IOR, _IOW, _IOWR};
use latch::prelude::*;

/// C: `BTRFS_IOCTL_MAGIC`, of which some calls came to be every file system's.
const BTRFS: u32 = 0x94;

impl Ioctls for Rbtrfs {
    const CALLS: &'static [Entry] = &[
        // FS_IOC_GETVERSION, and as programs of 32 bits call it
        entry(_IOR::<c_long>(b'v' as u32, 1), generation),
        entry(_IOR::<c_int>(b'v' as u32, 1), generation),
        // FS_IOC_GETFSLABEL, FS_IOC_SETFSLABEL
        entry(_IOR::<label::Label>(BTRFS, 49), label::get),
        entry(_IOW::<label::Label>(BTRFS, 50), label::set),
        // FITRIM
        entry(_IOWR::<trim::Range>(b'X' as u32, 121), trim::trim),
        // FS_IOC_SHUTDOWN
        entry(_IOR::<u32>(b'X' as u32, 125), shutdown::shutdown),
    ];
}

const fn entry(number: u32, run: fn(&Call<'_>) -> Result) -> Entry {
    Entry { number, run }
}

/// What tells an inode from those that had its number before.
fn generation(call: &Call<'_>) -> Result {
    call.write(&call.inode().generation())
}
