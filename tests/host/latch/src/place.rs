// SPDX-License-Identifier: GPL-2.0
//! What has a place in the order of locks and is none.

use crate::lockdep::{self, Standing, Token};
use crate::Rank;

/// A place in the order of locks for what excludes nobody but is waited for: a transaction's handle. The order is
/// checked as for a lock, and that a task is there once. The kernel's has no such check.
#[must_use]
pub struct Place(#[allow(dead_code)] Token);

impl Place {
    /// Takes the place, until dropped.
    #[track_caller]
    pub fn take(rank: Rank) -> Self {
        // No lock has so low an address.
        let (at, lock) = (Standing::Rank(rank), usize::from(rank as u8));
        lockdep::check(at, lock);
        Self(lockdep::taken(at, lock))
    }
}
