// SPDX-License-Identifier: GPL-2.0

//! The subvolumes in use: what the VFS shows of each, and their orphans.

use super::Mount;
use crate::linux::super_block::AnonymousDevice;
use crate::linux::SuperBlock;
use crate::vfs::node::{SubvolumeView, ViewInUse};
use engine::disk::ObjectId;
use engine::fs::Subvolume;
use latch::prelude::*;

impl Mount {
    /// The subvolume with what the VFS shows of it.
    pub(in crate::vfs) fn view(&self, sb: &SuperBlock, subvolume: Subvolume) -> Result<ViewInUse> {
        let id = subvolume.id();
        if let Some(view) = self.views.get(&id) {
            return Ok(view);
        }
        if let Some(_unfrozen) = sb.hold_unfrozen() {
            self.clean_orphans(&subvolume);
        }
        let view = SubvolumeView {
            subvolume,
            device: AnonymousDevice::new()?,
        };
        self.views.add(id, view)
    }

    /// Finishes what a crash cut, if the volume may be written.
    fn clean_orphans(&self, subvolume: &Subvolume) {
        if let Err(error) = self.fs.inodes().clean_orphans(subvolume) {
            pr_warn!(
                "tree {}: orphans cannot be cleaned: {error:?}\n",
                subvolume.id()
            );
        }
    }

    /// Finishes what a crash cut in all subvolumes in use: they came into it while nothing could be written.
    pub(super) fn clean_all_orphans(&self) {
        let mut next = Some(ObjectId::new(0));
        while let Some(view) = next.and_then(|from| self.views.ceiling(&from)) {
            self.clean_orphans(&view.subvolume);
            next = view.key().checked_add(1);
        }
    }
}
