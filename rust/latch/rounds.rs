// SPDX-License-Identifier: GPL-2.0

//! Work that one task does for all who wait for it.

use crate::prelude::*;
use crate::{Mutex, Rank};
use core::sync::atomic::{fence, AtomicU64, Ordering};

/// Rounds of work, one at a time.
///
/// A round that begins after a task has asked serves it as well as one of its own. However many ask at once, each waits
/// for the round that is under way and for one more.
pub struct Rounds {
    /// How many have begun; changed by the task whose turn it is.
    begun: AtomicU64,
    turn: Mutex<()>,
}

impl Rounds {
    /// Rounds of which none has begun.
    pub fn new(rank: Rank) -> Result<Self> {
        Ok(Self {
            begun: AtomicU64::new(0),
            turn: Mutex::new((), rank)?,
        })
    }

    /// Returns when a round that began after this call has ended: this task has done it by `work`, or another one has.
    pub fn share(&self, work: impl FnOnce()) {
        // Between what this task did before and the look at the count, as between the count and the work: either the
        // task sees that a round has begun, or the round sees what the task did.
        fence(Ordering::SeqCst);
        let asked = self.begun.load(Ordering::Relaxed);
        let _turn = self.turn.lock();
        if self.begun.load(Ordering::Relaxed) == asked {
            self.begun.store(asked.wrapping_add(1), Ordering::Relaxed);
            fence(Ordering::SeqCst);
            work();
        }
    }
}
