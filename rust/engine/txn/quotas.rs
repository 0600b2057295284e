// SPDX-License-Identifier: GPL-2.0
//! Quotas, which are not counted here: whoever may write says so on disk before the first change, so that nobody takes
//! the counts for right.

use super::{Transactions, Units};
use crate::disk::{ObjectId, QuotaStatus};
use latch::prelude::*;

impl Transactions {
    /// Marks the counts as wrong, if the volume has some that are not marked. It goes to disk with the next commit.
    pub(super) fn mark_quotas(&self) -> Result {
        let tree = match self.tree(ObjectId::QUOTA_TREE) {
            Err(error) if error == ENOENT => return Ok(()),
            tree => tree?,
        };
        let key = QuotaStatus::KEY;
        let report = |flaw: crate::disk::Flaw| flaw.in_item(tree.id(), &key).report();
        let status = tree.get(&key, QuotaStatus::parse)?.transpose();
        let Some(status) = status.map_err(report)?.filter(|it| !it.is_inconsistent()) else {
            return Ok(());
        };
        let handle = self.start_freeing(Units::updates(1))?;
        let marked = tree.update(&handle, &key, |item| status.inconsistent().write_to(item));
        marked
            .and_then(|written| Ok(written?))
            .inspect_err(|error| handle.abort(*error))
    }
}
