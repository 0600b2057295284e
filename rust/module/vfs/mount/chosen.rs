// SPDX-License-Identifier: GPL-2.0

//! Which directory a mount shows: `subvol=`, `subvolid=`, or the volume's default.

use super::options::{copy, MountOptions};
use crate::linux::mount::Asked;
use crate::linux::Inode;
use crate::vfs::node;
use engine::fs::FileSystem;
use latch::prelude::*;

/// The path of the subvolume from the top of the volume; a zero byte ends it.
pub(super) fn path(fs: &FileSystem, asked: &Asked<'_, MountOptions>) -> Result<KVec<u8>> {
    let options = asked.options;
    let path = match (&options.shown_path, options.shown_id) {
        (Some(path), _) => copy(path),
        (None, Some(id)) => fs.subvolumes().path(id),
        (None, None) => fs
            .subvolumes()
            .default()
            .and_then(|subvolume| fs.subvolumes().path(subvolume.id())),
    };
    let mut path = path.inspect_err(|error| {
        asked
            .log
            .error(fmt!("the subvolume asked for cannot be shown: {error:?}"));
    })?;
    path.push(0, GFP_KERNEL)?;
    Ok(path)
}

/// Whether what was found there is a subvolume, and the one that is meant.
pub(super) fn check(root: &Inode, asked: &Asked<'_, MountOptions>) -> Result {
    let options = asked.options;
    let inode = node(root).map(|node| &node.inode);
    let is_meant = inode.is_ok_and(|inode| {
        let found = inode.subvolume().id();
        inode.is_subvolume_root() && options.shown_id.is_none_or(|id| id == found)
    });
    match is_meant {
        true => Ok(()),
        false => {
            asked.log.error(fmt!(
                "what is at the path asked for is not the subvolume asked for"
            ));
            Err(EINVAL)
        }
    }
}
