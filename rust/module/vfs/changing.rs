// SPDX-License-Identifier: GPL-2.0

//! What a call changes of inodes: when, and how it is shown afterwards.

use super::mount::mount_of;
use super::node::{node, time, Node};
use crate::linux::Inode;
use core::ptr;
use engine::fs::{FileSystem, Now, Time};
use latch::prelude::*;

/// The inodes that a call may change, with what they own. It says when each changes, and shows what became of them.
pub(super) struct Changing<'a, const N: usize>(pub(super) [(&'a Inode, &'a Node); N]);

impl<const N: usize> Changing<'_, N> {
    /// Shows what became of them, also after an error.
    pub(super) fn show(&self) {
        for (inode, node) in &self.0 {
            node.refresh(inode);
        }
    }
}

impl<const N: usize> Now for Changing<'_, N> {
    fn of(&self, changed: &engine::fs::Inode) -> Time {
        let mut all = self.0.iter();
        match all.find(|(_, node)| ptr::eq(&*node.inode, changed)) {
            Some((inode, _)) => time(inode.now()),
            None => self.of_new(),
        }
    }

    fn of_new(&self) -> Time {
        let any = self.0.first().map(|(inode, _)| inode.current_time());
        time(any.unwrap_or_default())
    }
}

/// Changes something of an inode by `change`, and shows what became of it, after an error too.
pub(super) fn change_shown(
    inode: &Inode,
    change: impl FnOnce(&FileSystem, &engine::fs::Inode, &dyn Now) -> Result,
) -> Result {
    let (mount, this) = (mount_of(inode)?, node(inode)?);
    let changing = Changing([(inode, this)]);
    let changed = change(mount.fs(), &this.inode, &changing);
    changing.show();
    changed?;
    mount.throttle();
    Ok(())
}
