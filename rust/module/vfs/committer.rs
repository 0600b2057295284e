// SPDX-License-Identifier: GPL-2.0

//! The thread that commits now and then.

use crate::linux::thread::{Body, Stop, Thread};
use core::sync::atomic::{AtomicU32, Ordering};
use engine::txn::Transactions;
use engine::volume::Writes;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::NofsScope;

/// How often the thread looks, in milliseconds.
const LOOK: u32 = 1000;

/// When to commit.
pub(super) struct Schedule {
    /// Seconds that a transaction may get old (`commit=`).
    pub(super) interval: AtomicU32,
}

struct Committer {
    transactions: Arc<Transactions>,
    schedule: Arc<Schedule>,
}

/// Starts the thread. Dropping it ends it; a commit that is under way is finished.
pub(super) fn spawn(transactions: Arc<Transactions>, schedule: Arc<Schedule>) -> Result<Thread> {
    Thread::spawn(
        c"rbtrfs-commit",
        Committer {
            transactions,
            schedule,
        },
    )
}

impl Body for Committer {
    fn run(self, stop: &Stop) {
        let _nofs = NofsScope::enter();
        while !stop.is_requested() {
            stop.sleep(LOOK);
            if stop.is_requested() {
                continue;
            }
            let seconds = self.schedule.interval.load(Ordering::Relaxed);
            let age = u64::from(seconds).saturating_mul(1_000_000_000);
            if self.transactions.volume().writes() != Writes::Aborted {
                // An error aborts the transaction, which says so itself.
                let _ = self.transactions.maintain();
                let _ = self.transactions.commit_if_older(age);
            }
        }
    }
}
