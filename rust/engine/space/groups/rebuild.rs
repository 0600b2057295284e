// SPDX-License-Identifier: GPL-2.0
//! Making a free space tree that is not valid anew, group by group, from the extent tree (C: `rebuild_free_space_tree`).
//!
//! Meanwhile the volume is in use by nobody but who does this: its own blocks come and go between the groups. What
//! happens in a group that is done is noted as ever; in one that is not, it is found in the extent tree.

use super::block_groups::BlockGroups;
use super::load::extent;
use super::writeout::Writeout;
use crate::btree::{Allocate, Tree};
use crate::disk::{Key, Kind, Logical};
use crate::space::free::changes::{Change, Changes};
use core::ops::ControlFlow;
use latch::prelude::*;

impl BlockGroups {
    /// Makes anew what the disk has of the free space of the first group that reaches beyond `from`. The address behind
    /// that group; `None` where there is none.
    pub(in crate::space) fn rebuild_free(
        &self,
        writeout: &Writeout,
        txn: &dyn Allocate,
        extents: &Tree,
        from: Logical,
    ) -> Result<Option<Logical>> {
        let Some(group) = self.read().reaching_beyond(from.get()).cloned() else {
            return Ok(None);
        };
        let span = (group.start().get(), group.end());
        writeout.rebuild_free(txn, &group, || used_in(extents, span, self.node_size))?;
        Ok(Some(Logical::new(span.1)))
    }
}

/// What has extent items in a group.
fn used_in(extents: &Tree, (start, end): (u64, u64), node_size: u64) -> Result<Changes> {
    let mut used = Changes::new();
    let first = Key::new(start, Kind::new(0), 0);
    let last = Key::new(end.saturating_sub(1), Kind::new(u8::MAX), u64::MAX);
    extents.scan(first..=last, |key, _| {
        if let Some((start, end)) = extent(key, node_size) {
            used.note(start, end, Change::Allocated)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(used)
}
