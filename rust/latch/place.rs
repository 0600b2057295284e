// SPDX-License-Identifier: GPL-2.0

//! What has a place in the order of locks and is none.

use crate::Rank;
use kernel::types::NotThreadSafe;

/// A place in the order of locks for what excludes nobody but is waited for: a transaction's handle. The
/// host's tests check the order and that a task is there once; here it costs nothing.
#[must_use = "the place is given up when this is dropped"]
pub struct Place(#[allow(dead_code)] NotThreadSafe);

impl Place {
    /// Takes the place, until dropped.
    pub fn take(_rank: Rank) -> Self {
        Self(NotThreadSafe)
    }
}
