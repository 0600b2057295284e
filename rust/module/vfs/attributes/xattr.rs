// SPDX-License-Identifier: GPL-2.0

//! Extended attributes by name.

use crate::linux::xattr::{XattrMode, Xattrs};
use crate::linux::Inode;
use crate::vfs::changing::change_shown;
use crate::vfs::mount::mount_of;
use crate::vfs::{node, Rbtrfs};
use engine::fs;
use latch::prelude::*;

impl Xattrs for Rbtrfs {
    const PROPERTIES: &'static CStr = c"btrfs.";

    fn get(inode: &Inode, name: &[u8], out: &mut [u8]) -> Result<usize> {
        let value = mount_of(inode)?
            .fs()
            .inodes()
            .get_xattr(&node(inode)?.inode, name)?
            .ok_or(ENODATA)?;
        if !out.is_empty() {
            out.get_mut(..value.len())
                .ok_or(ERANGE)?
                .copy_from_slice(&value);
        }
        Ok(value.len())
    }

    fn set(inode: &Inode, name: &[u8], value: Option<&[u8]>, mode: XattrMode) -> Result {
        let mode = match mode {
            XattrMode::Any => fs::XattrMode::Any,
            XattrMode::Create => fs::XattrMode::Create,
            XattrMode::Replace => fs::XattrMode::Replace,
        };
        change_shown(inode, |fs, this, now| {
            let inodes = fs.inodes();
            match value {
                _ if name.starts_with(Self::PROPERTIES.to_bytes()) => {
                    inodes.set_property(this, name, value, mode, now)
                }
                Some(value) => inodes.set_xattr(this, name, value, mode, now),
                None => inodes.remove_xattr(this, name, now),
            }
        })
    }
}
