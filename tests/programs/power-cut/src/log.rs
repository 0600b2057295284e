// SPDX-License-Identifier: GPL-2.0
//! What happened, in order: on the device, and in the programs that write to its files.

use crate::media::Change;
use crate::workload::{Combination, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request of the device.
pub(crate) type Id = u64;

pub(crate) enum Event {
    /// The device took a change; a durable one counts as flushed when it is done.
    Change { id: Id, change: Change, fua: bool },
    /// The device took a flush.
    Flush { id: Id },
    /// The request is about to be answered.
    Done { id: Id },
    /// A program begins to write.
    Begin(Write),
    /// A program was told that all of this is durable.
    Acknowledged {
        writes: Vec<Write>,
        by: Option<Combination>,
    },
}

/// A log that its writers share.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    pub(crate) fn push(&self, event: Event) {
        self.lock().push(event);
    }

    /// All of it, which leaves it empty.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
