// SPDX-License-Identifier: GPL-2.0
//! Locks of shuttle's, under the interface that those of `parking_lot` have.

use shuttle::sync::{self, MutexGuard};
use std::sync::OnceLock;

/// Who is in.
#[derive(Default)]
struct State {
    readers: usize,
    writer: bool,
}

#[derive(Default)]
struct Turnstile {
    state: sync::Mutex<State>,
    left: sync::Condvar,
}

/// Many readers or one writer.
pub(crate) struct RawRwLock(OnceLock<Box<Turnstile>>);

impl RawRwLock {
    fn turnstile(&self) -> &Turnstile {
        self.0.get_or_init(Box::default)
    }

    /// Waits until the state `fits`, unless it is not to be waited for.
    fn enter(&self, waits: bool, fits: fn(&State) -> bool, note: fn(&mut State)) -> bool {
        let turnstile = self.turnstile();
        let mut state = turnstile.state.lock().unwrap();
        while !fits(&state) {
            if !waits {
                return false;
            }
            state = turnstile.left.wait(state).unwrap();
        }
        note(&mut state);
        true
    }

    fn leave(&self, note: fn(&mut State)) {
        let turnstile = self.turnstile();
        note(&mut turnstile.state.lock().unwrap());
        turnstile.left.notify_all();
    }

    fn shared(&self, waits: bool) -> bool {
        self.enter(waits, |state| !state.writer, |state| state.readers += 1)
    }

    fn exclusive(&self, waits: bool) -> bool {
        let is_free = |state: &State| !state.writer && state.readers == 0;
        self.enter(waits, is_free, |state| state.writer = true)
    }
}

// SAFETY: One writer is in at a time, and then no reader.
unsafe impl lock_api::RawRwLock for RawRwLock {
    const INIT: Self = Self(OnceLock::new());
    type GuardMarker = lock_api::GuardNoSend;

    fn lock_shared(&self) {
        self.shared(true);
    }

    fn try_lock_shared(&self) -> bool {
        self.shared(false)
    }

    unsafe fn unlock_shared(&self) {
        self.leave(|state| state.readers -= 1);
    }

    fn lock_exclusive(&self) {
        self.exclusive(true);
    }

    fn try_lock_exclusive(&self) -> bool {
        self.exclusive(false)
    }

    unsafe fn unlock_exclusive(&self) {
        self.leave(|state| state.writer = false);
    }
}

/// One at a time.
pub(crate) struct RawMutex(RawRwLock);

// SAFETY: Only writers come in, one at a time.
unsafe impl lock_api::RawMutex for RawMutex {
    const INIT: Self = Self(<RawRwLock as lock_api::RawRwLock>::INIT);
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        self.0.exclusive(true);
    }

    fn try_lock(&self) -> bool {
        self.0.exclusive(false)
    }

    unsafe fn unlock(&self) {
        self.0.leave(|state| state.writer = false);
    }
}

/// Where tasks wait to be notified. The number counts notifications.
#[derive(Default)]
pub(crate) struct Condvar {
    notified: sync::Mutex<u64>,
    moved: sync::Condvar,
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Nobody can notify between the release of the mutex and the wait: that takes the number's lock.
    pub(crate) fn wait<T>(&self, guard: &mut super::MutexGuard<'_, T>) {
        let notified = self.notified.lock().unwrap();
        lock_api::MutexGuard::unlocked(guard, || self.wait_for_next(notified));
    }

    fn wait_for_next(&self, mut notified: MutexGuard<'_, u64>) {
        let seen = *notified;
        while *notified == seen {
            notified = self.moved.wait(notified).unwrap();
        }
    }

    /// Wakes all: a wait may end without a notification.
    pub(crate) fn notify_one(&self) {
        self.notify_all();
    }

    pub(crate) fn notify_all(&self) {
        *self.notified.lock().unwrap() += 1;
        self.moved.notify_all();
    }
}
