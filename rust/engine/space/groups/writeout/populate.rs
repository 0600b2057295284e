// SPDX-License-Identifier: GPL-2.0
//! Making a free space tree, group by group, from the extent tree (C: `populate_free_space_tree`), and leaving one.
//!
//! Blocks come and go meanwhile, and chunks do, between the steps: while one of them looks at a group, nobody changes the extent
//! tree, or which groups there are.
//! What happens in a group that is done is noted as ever; in one that is not, it is found in the extent tree when its turn
//! comes, by address. Chunks that are made meanwhile lie behind all others, or where one was that is done.

use super::write::Writeout;
use crate::btree::{Allocate, Tree};
use crate::disk::{Bytes, Key, Logical};
use crate::space::free::changes::{SpaceChange, SpaceChanges};
use crate::space::free::on_disk::{Kept, OnDisk};
use crate::space::free::policy::FreeSpace;
use crate::space::free::tree::most_bytes;
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::loading::load::extent;
use core::ops::ControlFlow;
use kernel::sync::Arc;
use latch::prelude::*;

impl BlockGroups {
    /// The first group of which it cannot be told where it is free.
    pub(in crate::space) fn first_given_up(&self) -> Option<Logical> {
        let groups = self.read();
        let given_up = groups.iter().find(|group| {
            let body = group.lock();
            matches!(body.free_space, FreeSpace::GivenUp)
        });
        given_up.map(|group| group.start())
    }

    /// Does what [`crate::space::Space::largest_tree`] says.
    pub(in crate::space) fn largest_tree(&self) -> Bytes {
        let sector_size = self.volume.format().sector_size.into();
        let groups = self.read();
        groups.iter().fold(Bytes::ZERO, |sum, group| {
            let len = group.end().saturating_since(group.start());
            sum.saturating_add(most_bytes(len, sector_size))
        })
    }

    /// Begins to keep on disk what is free in the next group of which nothing is kept; whether to go on. Those that are made
    /// later are kept from the beginning once there is none left.
    pub(in crate::space) fn rebuild_free(
        &self,
        writeout: &Writeout,
        txn: &dyn Allocate,
        extents: &Tree,
    ) -> Result<ControlFlow<()>> {
        let next = writeout.on_disk().next_to_keep();
        let Some(group) = self.read().reaching_beyond(next).cloned() else {
            writeout.on_disk().keep_all();
            return Ok(ControlFlow::Break(()));
        };
        let span = (group.start(), group.end());
        writeout.keep_free(txn, &group, || used_in(extents, span, self.node_size))?;
        Ok(ControlFlow::Continue(()))
    }
}

impl Writeout {
    /// Free space is kept in `tree` from now on, of which nothing is believed: of no group yet.
    pub(in crate::space) fn begin_tree(&self, tree: Arc<Tree>) -> Result {
        let sector_size = self.groups.volume.format().sector_size;
        self.move_to(OnDisk::in_tree(tree, sector_size, Kept::none()))
    }

    /// Whether a tree has what is free in all groups.
    pub(in crate::space) fn has_all_in_tree(&self) -> bool {
        self.on_disk().has_all()
    }

    /// Free space is not kept in a tree any more.
    pub(in crate::space) fn leave_tree(&self) -> Result {
        match &*self.on_disk() {
            OnDisk::Tree(..) => self.move_to(OnDisk::Nowhere),
            OnDisk::Caches(_) | OnDisk::Nowhere => Ok(()),
        }
    }
}

/// What has extent items in a group.
fn used_in(
    extents: &Tree,
    (start, end): (Logical, Logical),
    node_size: Bytes,
) -> Result<SpaceChanges> {
    let mut used = SpaceChanges::new();
    extents.scan(Key::at_addresses(start..end), |key, _| {
        if let Some((start, end)) = extent(key, node_size) {
            used.note(start, end, SpaceChange::Allocated)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(used)
}
