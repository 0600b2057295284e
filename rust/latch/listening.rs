// SPDX-License-Identifier: GPL-2.0

//! What a task has logged itself: who is refused a mount is told why by the call, and not only by the kernel's log.

use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use kernel::bindings::task_struct;
use kernel::fmt;
use kernel::types::NotThreadSafe;

/// How many tasks can listen at once; others hear nothing.
const LISTENERS: usize = 4;
/// Bytes of a line; the rest is cut off.
const LONGEST: usize = 200;

/// Nothing was heard yet.
const NOTHING: usize = usize::MAX;
/// A line is being written down.
const WRITING: usize = usize::MAX - 1;

/// # Invariants
///
/// Only `task` uses the rest, or an interrupt on its processor. Who changes `len` from [`NOTHING`] to [`WRITING`] writes
/// `line`, and when `len` is a length nobody does.
struct Slot {
    task: AtomicPtr<task_struct>,
    len: AtomicUsize,
    line: UnsafeCell<[u8; LONGEST]>,
}

// SAFETY: By the type invariants.
unsafe impl Sync for Slot {}

static SLOTS: [Slot; LISTENERS] = [const {
    Slot {
        task: AtomicPtr::new(null_mut()),
        len: AtomicUsize::new(NOTHING),
        line: UnsafeCell::new([0; LONGEST]),
    }
}; LISTENERS];

/// While this lives the first error that the task logs is kept.
pub struct Listening {
    slot: Option<&'static Slot>,
    _not_send: NotThreadSafe,
}

impl Listening {
    /// The task listens from now on.
    pub fn begin() -> Self {
        let task = kernel::current!().as_ptr();
        let take = |slot: &&Slot| {
            let taken =
                slot.task
                    .compare_exchange(null_mut(), task, Ordering::Acquire, Ordering::Relaxed);
            taken.is_ok()
        };
        Self {
            slot: SLOTS.iter().find(take),
            _not_send: NotThreadSafe,
        }
    }

    /// The first error that was logged since.
    pub fn heard(&self) -> Option<&str> {
        let slot = self.slot?;
        let len = slot.len.load(Ordering::Acquire);
        if len > LONGEST {
            return None;
        }
        // SAFETY: It is a length: nobody writes any more. The slot is this task's as long as `self` lives.
        let line = unsafe { &*slot.line.get() }.get(..len)?;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = match core::str::from_utf8(line) {
            Ok(line) => line,
            Err(cut) => core::str::from_utf8(line.get(..cut.valid_up_to())?).ok()?,
        };
        Some(line)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.len.store(NOTHING, Ordering::Relaxed);
            slot.task.store(null_mut(), Ordering::Release);
        }
    }
}

/// Keeps an error for the task, if it listens and has heard none. In any context.
pub(crate) fn hear(message: fmt::Arguments<'_>) {
    let task = kernel::current!().as_ptr();
    let is_mine = |slot: &&Slot| slot.task.load(Ordering::Relaxed) == task;
    let Some(slot) = SLOTS.iter().find(is_mine) else {
        return;
    };
    let begun = slot
        .len
        .compare_exchange(NOTHING, WRITING, Ordering::Relaxed, Ordering::Relaxed);
    if begun.is_err() {
        return;
    }
    // SAFETY: By the type invariants of the slot, which is this task's.
    let mut line = Line(unsafe { &mut *slot.line.get() }, 0);
    // What does not fit is cut off.
    let _ = fmt::Write::write_fmt(&mut line, message);
    slot.len.store(line.1, Ordering::Release);
}

/// Takes a line as far as there is room.
struct Line<'a>(&'a mut [u8; LONGEST], usize);

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.0.get_mut(self.1..).unwrap_or(&mut []);
        let mut len = 0usize;
        for (to, from) in room.iter_mut().zip(text.bytes()) {
            *to = from;
            len = len.saturating_add(1);
        }
        self.1 = self.1.saturating_add(len);
        Ok(())
    }
}
