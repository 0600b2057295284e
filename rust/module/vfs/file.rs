// SPDX-License-Identifier: GPL-2.0

//! Contents of regular files.

use super::node::{mount_of, time};
use super::{node, Rbtrfs};
use crate::io::plain_read;
use crate::linux::file::FileData;
use crate::linux::{Folio, Inode};
use kernel::prelude::*;

impl FileData for Rbtrfs {
    fn read_folio(inode: &Inode, folio: &Folio) -> Result {
        let (mount, this) = (mount_of(inode)?, node(inode)?);
        plain_read::read_folio(mount.fs(), mount.devices(), &this.inode, folio)
    }
}

/// Sets a file's size. The caller holds the inode's lock.
pub(super) fn resize(inode: &Inode, size: i64) -> Result {
    let (mount, this) = (mount_of(inode)?, node(inode)?);
    let now = time(inode.now());
    let new_size = u64::try_from(size).map_err(|_| EINVAL)?;
    mount.fs().truncate(&this.inode, new_size, now)?;
    inode.set_size(size);
    inode.truncate_pages(size);
    this.refresh(inode);
    Ok(())
}
