// SPDX-License-Identifier: GPL-2.0
//! Quotas, which are not counted here: whoever may write says so on disk before the first change, so that nobody takes
//! the counts for right.

use super::handles::core::Core;
use super::handles::handle::Handle;
use super::join::Joiner;
use super::{shortage, Units};
use crate::disk::{Flaw, ObjectId, QuotaStatus};
use crate::space::Urgency;
use kernel::sync::Arc;
use latch::prelude::*;

/// Marks the counts as wrong, if the volume has some that are not marked. It goes to disk with the next commit. The caller holds
/// no handle.
pub(super) fn mark(shared: &Arc<Core>) -> Result {
    let tree = match shared.trees.get(ObjectId::QUOTA_TREE.into()) {
        Err(error) if error == ENOENT => return Ok(()),
        tree => tree?,
    };
    let key = QuotaStatus::KEY;
    let report = |flaw: Flaw| flaw.in_item(tree.id(), &key).report();
    let status = tree.get(&key, QuotaStatus::parse)?.transpose();
    let Some(status) = status.map_err(report)?.filter(|it| !it.is_inconsistent()) else {
        return Ok(());
    };
    let reservation = shortage::reserve_metadata(shared, Units::updates(1), Urgency::Freeing)?;
    let handle = Handle::join(shared, Joiner::Starter, reservation)?;
    let marked = tree.update(&handle, &key, |item| status.inconsistent().write_to(item));
    marked
        .and_then(|written| Ok(written?))
        .inspect_err(|error| handle.abort(*error))
}
