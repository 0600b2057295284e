// SPDX-License-Identifier: GPL-2.0
//! A free space tree that is not valid is made anew before anything else is changed.
//!
//! The superblock says that it is valid in the commit that ends this. When the power is cut before, it is begun again.

use super::handle::Handle;
use super::join::Joiner;
use super::shared::Shared;
use super::shortage;
use super::Units;
use crate::disk::{CompatRo, Logical, ObjectId};
use crate::space::{Class, Urgency};
use kernel::sync::Arc;
use latch::prelude::*;

/// What is reserved for one group. What it takes beyond, where its free space is in many pieces, comes from the global
/// reserve, which each commit fills up again.
const GROUP_UNITS: Units = Units::inserts(16);
/// Groups that are made in one transaction.
const GROUPS: u32 = 16;

/// Makes the free space tree anew, if there is one that is not valid.
pub(super) fn rebuild_free_space(shared: &Arc<Shared>) -> Result {
    let features = shared.volume.superblock().compat_ro;
    if !features.has_stale_free_space() || !shared.volume.writes().runs_transactions() {
        return Ok(());
    }
    pr_info!("the free space tree is not valid: it is made anew\n");
    let (space, extents) = (&shared.space, shared.trees.required(ObjectId::EXTENT_TREE)?);
    change(shared, |handle| space.clear_free_space(handle))?;
    let (mut from, mut groups) = (Logical::new(0), 0u32);
    while let Some(end) = change(shared, |handle| {
        space.rebuild_free_space(handle, &extents, from)
    })? {
        from = end;
        groups = groups.wrapping_add(1);
        if groups % GROUPS == 0 {
            shared.commit()?;
        }
    }
    change(shared, |handle| {
        shared.volume.update_superblock(|superblock| {
            superblock.compat_ro = superblock.compat_ro.with(CompatRo::FREE_SPACE_TREE_VALID);
        });
        handle.note_superblock();
        Ok(())
    })?;
    shared.commit()
}

fn change<R>(shared: &Arc<Shared>, work: impl FnOnce(&Handle) -> Result<R>) -> Result<R> {
    let bytes = GROUP_UNITS.bytes(shared.store.node_size());
    let reservation = shortage::reserve(shared, Class::Metadata, bytes, Urgency::Ordinary)?;
    let handle = Handle::enter(shared, Joiner::Starter, reservation)?;
    work(&handle).inspect_err(|error| handle.abort(*error))
}
