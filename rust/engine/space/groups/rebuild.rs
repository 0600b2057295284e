// SPDX-License-Identifier: GPL-2.0
//! Making a free space tree that is not valid anew, group by group, from the extent tree (C: `rebuild_free_space_tree`).
//!
//! Meanwhile the volume is in use by nobody but who does this: its own blocks come and go between the groups, and chunks do.
//! What happens in a group that is done is noted as ever; in one that is not, it is found in the extent tree when its turn
//! comes, by address. Chunks that are made meanwhile lie behind all others, or where one was that is done.

use super::block_groups::BlockGroups;
use super::load::extent;
use super::writeout::Writeout;
use crate::btree::{Allocate, Tree};
use crate::disk::{Bytes, Key, Logical};
use crate::space::free::changes::{Change, Changes};
use core::ops::ControlFlow;
use latch::prelude::*;

impl BlockGroups {
    /// Removes some of what the disk has of free space; whether to go on.
    pub(in crate::space) fn clear_free(
        &self,
        writeout: &Writeout,
        txn: &dyn Allocate,
    ) -> Result<ControlFlow<()>> {
        writeout.on_disk().clear(txn)
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

/// What has extent items in a group.
fn used_in(extents: &Tree, (start, end): (Logical, Logical), node_size: Bytes) -> Result<Changes> {
    let mut used = Changes::new();
    extents.scan(Key::at_addresses(start..end), |key, _| {
        if let Some((start, end)) = extent(key, node_size) {
            used.note(start, end, Change::Allocated)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(used)
}
