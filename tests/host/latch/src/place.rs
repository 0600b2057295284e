// SPDX-License-Identifier: GPL-2.0
//! What has a place in the order of locks and is none.

use crate::lockdep::{self, Attempt, Class, Token};

/// A place in the order of locks for what excludes nobody but is waited for: a transaction's handle. The order is
/// checked as for a lock, and that a task is there once. The kernel's has no such check.
#[must_use]
pub struct Place(#[allow(dead_code)] Token);

impl Place {
    /// Takes the place, until dropped.
    pub fn take(class: &'static Class) -> Self {
        let (id, lock) = (lockdep::of_class(class), core::ptr::from_ref(class).addr());
        lockdep::check(id, lock, Attempt::Wait);
        Self(lockdep::taken(id, lock))
    }
}
