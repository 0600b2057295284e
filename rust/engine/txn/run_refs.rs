// SPDX-License-Identifier: GPL-2.0
//! Running delayed references: from the queue to the trees, between other changes.

use super::context::Context;
use latch::prelude::*;

/// After how many heads it is asked whether metadata needs a chunk.
const HEADS_PER_CHUNK_CHECK: usize = 64;

/// How much of the queue to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// This many heads, and none while another task runs some.
    Few(usize),
    /// This many heads.
    Many(usize),
    /// Until it is empty.
    All,
}

impl Context<'_> {
    /// Runs heads from the queue. No tree block lock is held by the caller.
    pub(super) fn run_refs(&self, limit: Limit) -> Result {
        let mut left = match limit {
            Limit::Few(count) | Limit::Many(count) => count,
            Limit::All => usize::MAX,
        };
        while left > 0 {
            let locked = match limit {
                Limit::Few(_) => self.shared().runner.try_lock(),
                Limit::Many(_) | Limit::All => Some(self.shared().runner.lock()),
            };
            let Some(runner) = locked else {
                return Ok(());
            };
            self.shared().check_alive()?;
            let popped = self.transaction().queue.lock().pop();
            let Some((addr, head)) = popped else {
                return Ok(());
            };
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
