// SPDX-License-Identifier: GPL-2.0
//! A free space tree that is not valid is made anew before anything else is changed.
//!
//! The superblock says that it is valid in the commit that ends this. When the power is cut before, it is begun again.

use super::handle::Handle;
use super::join::Joiner;
use super::shared::Shared;
use super::shortage;
use super::Units;
use crate::disk::{CompatRo, ObjectId};
use crate::space::{Class, Urgency};
use core::ops::ControlFlow;
use kernel::sync::Arc;
use latch::prelude::*;

/// What is reserved for one step. What it takes beyond, where free space is in many pieces, comes from the global
/// reserve, which each commit fills up again.
const STEP_UNITS: Units = Units::inserts(4);
/// Steps of one transaction. What one frees can be used behind its commit.
const STEPS: u32 = 16;

/// Makes the free space tree anew, if there is one that is not valid.
pub(super) fn rebuild_free_space(shared: &Arc<Shared>) -> Result {
    let features = shared.volume.superblock().compat_ro;
    if !features.has_stale_free_space() || !shared.volume.writes().runs_transactions() {
        return Ok(());
    }
    pr_info!("the free space tree is not valid: it is made anew\n");
    let (space, extents) = (&shared.space, shared.trees.required(ObjectId::EXTENT_TREE)?);
    in_steps(shared, |handle| space.clear_free_space(handle))?;
    in_steps(shared, |handle| {
        let step = space.rebuild_free_space(handle, &extents)?;
        if step.is_break() {
            // In the same handle: a chunk that is made behind this is kept from the beginning.
            shared.volume.superblocks().update(|superblock| {
                superblock.compat_ro = superblock.compat_ro.with(CompatRo::FREE_SPACE_TREE_VALID);
            });
            handle.note_superblock();
        }
        Ok(step)
    })?;
    shared.commits().commit()
}

/// Calls `step` until it says that it is done, each time in a handle that reserves as a removal does: a full volume, too,
/// has to become one from which something can be removed.
fn in_steps(
    shared: &Arc<Shared>,
    mut step: impl FnMut(&Handle) -> Result<ControlFlow<()>>,
) -> Result {
    let mut steps = 0u32;
    loop {
        shortage::make_wanted_chunk(shared)?;
        let bytes = STEP_UNITS.bytes(shared.store.node_size());
        let reservation = shortage::reserve(shared, Class::Metadata, bytes, Urgency::Freeing)?;
        let handle = Handle::enter(shared, Joiner::Starter, reservation)?;
        if step(&handle)
            .inspect_err(|error| handle.abort(*error))?
            .is_break()
        {
            return Ok(());
        }
        drop(handle);
        steps = steps.wrapping_add(1);
        if steps % STEPS == 0 {
            shared.commits().commit()?;
        }
    }
}
