// SPDX-License-Identifier: GPL-2.0

//! What lockdep is told about a lock: a class for each rank.

use crate::Rank;
use core::pin::Pin;
use kernel::sync::LockClassKey;

type Keys = [LockClassKey; Rank::COUNT];

/// The classes of the locks.
static LOCKS: Keys = [const {
    // SAFETY: The keys lie in static memory and are never dropped.
    unsafe { LockClassKey::new_static() }
}; Rank::COUNT];

/// The classes of the queues of those who wait for a change of what a mutex guards.
static QUEUES: Keys = [const {
    // SAFETY: The keys lie in static memory and are never dropped.
    unsafe { LockClassKey::new_static() }
}; Rank::COUNT];

impl Rank {
    /// The class of the locks of this rank.
    pub(crate) fn key(self) -> Pin<&'static LockClassKey> {
        self.of(&LOCKS)
    }

    /// The class of the wait queues of the condition variables beside them.
    pub(crate) fn queue_key(self) -> Pin<&'static LockClassKey> {
        self.of(&QUEUES)
    }

    fn of(self, keys: &'static Keys) -> Pin<&'static LockClassKey> {
        let [first, ..] = keys;
        Pin::static_ref(keys.get(usize::from(self as u8)).unwrap_or(first))
    }
}
