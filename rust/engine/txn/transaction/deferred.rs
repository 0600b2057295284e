// SPDX-License-Identifier: GPL-2.0
//! What is left to a commit, because it must see no change by half.

use crate::btree::Allocate;
use crate::space::Reservation;
use latch::prelude::*;

/// A change that must see no other by half: a commit makes it when all handles have ended and before anybody joins the next
/// transaction (C: `create_pending_snapshots`).
pub trait AtCommit: Send + Sync {
    /// Makes the change. Root items say where their trees are. Whoever runs it holds no lock, and starts no handle. An
    /// error gives the transaction up.
    fn run(&self, txn: &dyn Allocate) -> Result;
}

/// Such a change, waiting for the commit, and what it is paid from.
pub(in crate::txn) struct Deferred {
    /// The change that is to be made.
    pub(in crate::txn) work: KBox<dyn AtCommit>,
    /// What its handle had reserved.
    pub(in crate::txn) reservation: Reservation,
}
