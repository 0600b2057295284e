// SPDX-License-Identifier: GPL-2.0

//! rbtrfs: the btrfs on-disk format for regular and zoned block devices.
//!
//! The kernel edge, bottom layer first:
//!
//! | module    | what it is                                                      |
//! |-----------|-----------------------------------------------------------------|
//! | [`linux`] | the kernel's objects as safe types; the only `unsafe`            |
//! | [`io`]    | metadata and data on their way between memory and the devices   |
//! | [`vfs`]   | mount, inodes, directories, files: thin adapters                |
//!
//! What bytes go where is decided by the `engine` crate.

use latch::prelude::*;

mod io;
mod linux;
mod vfs;

use linux::registration::Registration;

module! {
    type: Module,
    name: "rbtrfs",
    authors: ["The rbtrfs authors"],
    description: "btrfs file system in Rust",
    license: "GPL",
    alias: ["fs-rbtrfs"],
    params: {
        as_btrfs: u8 {
            default: 0,
            description: "register as 'btrfs' instead of 'rbtrfs'",
        },
        audit: u8 {
            default: 0,
            description: "compare pages with reservations at every fsync, for tests",
        },
    },
}

struct Module {
    _registration: Registration,
}

impl kernel::Module for Module {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let name = match module_parameters::as_btrfs.value() {
            0 => c"rbtrfs",
            _ => c"btrfs",
        };
        match module_parameters::audit.value() {
            0 => {}
            _ => linux::iomap::audit::enable(),
        }
        let registration = Registration::new::<vfs::Mount>(name, module)?;
        pr_info!("loaded, version {}\n", linux::registration::version());
        linux::registration::compare_kernels();
        Ok(Self {
            _registration: registration,
        })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        pr_info!("unloaded\n");
    }
}
