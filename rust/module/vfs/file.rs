// SPDX-License-Identifier: GPL-2.0

//! Sizes of regular files.

use super::node::{mount_of, time};
use super::{node, Node};
use crate::io::data::FileIo;
use crate::linux::{file, Inode};
use latch::prelude::*;

/// Sets a file's size. What can be refused is refused before a page is cut. The caller holds the inode's lock.
pub(super) fn resize(inode: &Inode, size: i64) -> Result {
    let (mount, this) = (mount_of(inode)?, node(inode)?);
    let now = time(inode.now());
    let new_size = u64::try_from(size).map_err(|_| EINVAL)?;
    let old_size = inode.size();
    let truncation = mount
        .fs()
        .file_space()
        .ask_truncate(&this.inode, new_size)?;
    let result = file::resize::<FileIo<Node>>(inode, size, || {
        let result = truncation.run(now);
        if result.is_err() && size < old_size {
            // The pages are cut: what can be read is what the trees have left.
            let left = i64::try_from(this.inode.attributes().size).unwrap_or(i64::MAX);
            inode.set_size(left.min(old_size).max(size));
        }
        result
    });
    this.refresh(inode);
    result
}
