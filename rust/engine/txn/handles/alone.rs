// SPDX-License-Identifier: GPL-2.0
//! Whether a data extent is one file's alone.

use super::context::Joined;
use super::core::Core;
use crate::btree::DataRef;
use crate::disk::Logical;
use crate::txn::refs::Held;
use crate::txn::Handle;
use latch::prelude::*;

/// Whether others have an extent, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One place of one file has the extent.
    Alone,
    /// Others may have the extent: another file, another place of the file, a snapshot.
    Shared,
}

/// Whether others than the file that `data` stands for have its extent. `way` are the blocks on the way to the item that
/// other trees may have: who has one of them has the extent. `handle` is of the running transaction, if there is one. The
/// answer is old when the caller's lock of the item ends; blocks of the way that went meanwhile say nothing.
pub(in crate::txn) fn sharing(
    shared: &Core,
    handle: Option<&Handle>,
    data: &DataRef,
    way: &[(Logical, u8)],
) -> Result<Sharing> {
    // As in `block_refs`: with the runner locked no head is between the queue and the tree, and the queue is locked after
    // the tree was read.
    let runner = shared.runner.lock();
    let context = handle.map(Joined::context);
    let queue = || {
        let context = context.as_ref()?;
        Some(context.transaction().queue.lock())
    };
    let leaf = way.iter().find(|(_, level)| *level == 0);
    let held = Held {
        data,
        leaf: leaf.map(|(addr, _)| *addr),
    };
    let known = runner.known_data_refs(held)?;
    let refs = match queue() {
        Some(queue) => queue.add_data_to(known, held),
        None => known,
    };
    if refs.is_some_and(|refs| refs.all > refs.own) {
        return Ok(Sharing::Shared);
    }
    for &(addr, level) in way {
        let known = runner.known_refs(addr, level)?.map_or(0, |refs| refs.count);
        let queued = queue().map_or(0, |queue| queue.net(addr));
        if known.saturating_add_signed(queued) > 1 {
            return Ok(Sharing::Shared);
        }
    }
    Ok(Sharing::Alone)
}
