// SPDX-License-Identifier: GPL-2.0

//! Two locks of one rank.

use crate::{RwLock, RwLockWriteGuard};

impl<T> RwLock<T> {
    /// Takes two locks of a rank that comes in pairs ([`crate::Rank::comes_in_pairs`]): the one at the lower address first,
    /// so that tasks which want the same two never wait for each other. No second guard where both are the same lock.
    #[track_caller]
    pub fn write_two<'a>(
        one: &'a Self,
        other: &'a Self,
    ) -> (RwLockWriteGuard<'a, T>, Option<RwLockWriteGuard<'a, T>>) {
        if core::ptr::eq(one, other) {
            return (one.write(), None);
        }
        if one.address() < other.address() {
            let one = one.write();
            return (one, Some(other.write_second()));
        }
        let other = other.write();
        (one.write_second(), Some(other))
    }
}
