// SPDX-License-Identifier: GPL-2.0

//! rbtrfs: the btrfs on-disk format for regular and zoned block devices.
//!
//! The kernel edge, bottom layer first: [`linux`] wraps the kernel's objects.
//! What bytes go where is decided by the `engine` crate.

use kernel::prelude::*;

#[allow(dead_code)]
mod linux;

module! {
    type: Rbtrfs,
    name: "rbtrfs",
    authors: ["The rbtrfs authors"],
    description: "btrfs file system in Rust",
    license: "GPL",
    alias: ["fs-rbtrfs"],
}

struct Rbtrfs;

impl kernel::Module for Rbtrfs {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("loaded\n");
        Ok(Self)
    }
}

impl Drop for Rbtrfs {
    fn drop(&mut self) {
        pr_info!("unloaded\n");
    }
}
