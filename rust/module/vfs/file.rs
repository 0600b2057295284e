// SPDX-License-Identifier: GPL-2.0

//! Sizes of regular files.

use super::node::{mount_of, time};
use super::{node, Node};
use crate::io::data::FileIo;
use crate::linux::{file, Inode};
use latch::prelude::*;

/// Sets a file's size. The caller holds the inode's lock.
pub(super) fn resize(inode: &Inode, size: i64) -> Result {
    let (mount, this) = (mount_of(inode)?, node(inode)?);
    let now = time(inode.now());
    let new_size = u64::try_from(size).map_err(|_| EINVAL)?;
    file::resize::<FileIo<Node>>(inode, size, || {
        mount.fs().truncate(&this.inode, new_size, now)
    })?;
    this.refresh(inode);
    Ok(())
}
