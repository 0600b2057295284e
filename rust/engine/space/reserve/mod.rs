// SPDX-License-Identifier: GPL-2.0
//! Promised bytes as values.
//!
//! | module  | what it is                                                               |
//! |---------|--------------------------------------------------------------------------|
//! | `class` | what block groups hold                                                   |
//! | `pool`  | what a class has and has promised: where ENOSPC is decided               |

pub(in crate::space) mod class;
pub(in crate::space) mod pool;

use super::Class;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;
use pool::Pool;

/// How hard a reservation may press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Anything that can fail with ENOSPC.
    Ordinary,
    /// What gives space back (unlink, truncate, orphans): may draw on the global reserve.
    Freeing,
    /// What a commit cannot do without: never refused.
    Commit,
}

/// Why a reservation was refused now, and what may help. The caller does it once and asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Allocate a chunk of this class, then ask again.
    NeedChunk(Class),
    /// Freed bytes wait for the running transaction: commit, then ask again.
    NeedCommit,
    /// Neither would help: ENOSPC.
    Full,
}

/// Bytes of a class, promised. Dropping it gives back what was not used.
///
/// Many threads can draw from one `&Reservation`, as those do that share a transaction handle.
pub struct Reservation {
    pool: Arc<Pool>,
    bytes: AtomicU64,
}

impl Reservation {
    pub(in crate::space) fn new(pool: Arc<Pool>, bytes: u64) -> Self {
        Self {
            pool,
            bytes: AtomicU64::new(bytes),
        }
    }

    /// What is left, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What the bytes are for.
    pub fn class(&self) -> Class {
        self.pool.class()
    }

    /// Parts `bytes` off; `None` when it has fewer.
    pub fn split(&self, bytes: u64) -> Option<Reservation> {
        let part = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            });
        part.ok()
            .map(|_| Reservation::new(self.pool.clone(), bytes))
    }

    /// Takes over all of `other`. Of another class it would be lost to its own: it is given back instead.
    pub fn merge(&self, other: Reservation) {
        if Arc::ptr_eq(&self.pool, &other.pool) {
            self.bytes
                .fetch_add(other.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Gives `bytes`, or all that is left, back to where they were promised from.
    pub fn give_back(&self, bytes: u64) {
        self.pool.unpromise(self.draw(bytes));
    }

    /// Takes up to `bytes` out for an allocation from `pool`; nothing if the bytes were promised from another.
    pub(in crate::space) fn draw_for(&self, pool: &Arc<Pool>, bytes: u64) -> u64 {
        if Arc::ptr_eq(&self.pool, pool) {
            self.draw(bytes)
        } else {
            0
        }
    }

    /// Takes in `bytes` that `pool` has promised, if it is the pool this was promised from; gives them back if not.
    pub(in crate::space) fn take_in(&self, pool: &Arc<Pool>, bytes: u64) {
        self.merge(Reservation::new(pool.clone(), bytes));
    }

    /// Takes up to `bytes` out; the caller accounts for them.
    fn draw(&self, bytes: u64) -> u64 {
        let drawn = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(bytes))
            });
        drawn.map_or(0, |before| before.min(bytes))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.unpromise(self.bytes.swap(0, Ordering::Relaxed));
    }
}
