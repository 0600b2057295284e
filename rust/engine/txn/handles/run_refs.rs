// SPDX-License-Identifier: GPL-2.0
//! Running delayed references: from the queue to the trees, between other changes.

use super::context::Context;
use crate::disk::{Bytes, Logical};
use latch::prelude::*;

/// After how many heads it is asked whether metadata needs a chunk.
const HEADS_PER_CHUNK_CHECK: usize = 64;

/// How many heads a pass runs for each reference that waited: what that copies, at most eight blocks, is two heads for
/// each, and so again.
const HEADS_IN_PASS: usize = 32;

/// How much of the queue to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::txn) enum Limit {
    /// At most this many heads are run, and none while another task runs some.
    Few(usize),
    /// All heads that wait are run, each address once, in ascending order. What one queues lower waits on: copies of tree blocks
    /// are many, and kept what waits at high addresses from its turn if they were counted. Others go on adding ahead of it: it
    /// ends after [`HEADS_IN_PASS`] for each that waited.
    Pass,
    /// Heads are run until the queue is empty.
    All,
}

impl Context<'_> {
    /// Runs heads from the queue. No tree block lock is held by the caller.
    pub(in crate::txn) fn run_refs(&self, limit: Limit) -> Result {
        let mut left = match limit {
            Limit::Few(count) => count,
            Limit::Pass => self.queued().saturating_mul(HEADS_IN_PASS),
            Limit::All => usize::MAX,
        };
        let mut from = Logical::new(0);
        while left > 0 {
            let locked = match limit {
                Limit::Few(_) => self.shared().runner.try_lock(),
                Limit::Pass | Limit::All => Some(self.shared().runner.lock()),
            };
            let Some(runner) = locked else {
                return Ok(());
            };
            self.shared().check_alive()?;
            let popped = self.transaction().queue.lock().pop_from(from);
            let Some((addr, head)) = popped else {
                return Ok(());
            };
            if limit == Limit::Pass {
                from = addr.saturating_add(Bytes::new(1));
            }
            let applied = runner.run(self, addr, &head);
            drop(runner);
            self.or_abort(applied)?;
            self.shared().count_run(&head);
            left = left.saturating_sub(1);
            if left % HEADS_PER_CHUNK_CHECK == 0 {
                self.make_wanted_chunk()?;
            }
        }
        Ok(())
    }
}
