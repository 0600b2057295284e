// SPDX-License-Identifier: GPL-2.0

//! Threads of the kernel.
//!
//! C header: `include/linux/kthread.h`

use crate::linux::bindings as b;
use core::ptr::NonNull;
use kernel::error::from_err_ptr;
use kernel::ffi::{c_int, c_long, c_void};
use kernel::types::NotThreadSafe;
use latch::prelude::*;

/// What a thread does.
pub(crate) trait Body: Send + 'static {
    /// Runs until it is told to stop.
    fn run(self, stop: &Stop);
}

/// How a thread learns that it shall stop. Only a thread of [`Thread`] has one.
pub(crate) struct Stop {
    _not_send: NotThreadSafe,
}

impl Stop {
    /// Whether the thread shall return.
    pub(crate) fn is_requested(&self) -> bool {
        // SAFETY: The current task is a kthread: the only way to get a `Stop`.
        unsafe { b::kthread_should_stop() }
    }

    /// Sleeps until the time is over or somebody wakes the thread or wants it to stop. Where it is parked, it stays until
    /// it is not.
    pub(crate) fn sleep(&self, milliseconds: u32) {
        // SAFETY: The current task is a kthread; the state is set before the condition is read, as `kthread_stop` needs it.
        unsafe {
            let timeout = b::__msecs_to_jiffies(milliseconds);
            b::rbtrfs_kthread_sleep(c_long::try_from(timeout).unwrap_or(c_long::MAX));
        }
    }
}

/// A running kernel thread. Dropping it stops it and waits for its end.
///
/// # Invariants
///
/// `task` is a kthread with a reference of ours, not yet stopped, that calls `entry` with `body` and does not end before
/// that. `give_back` takes a `body` for which `entry` was not called.
pub(crate) struct Thread {
    task: NonNull<b::task_struct>,
    body: *mut c_void,
    give_back: unsafe fn(*mut c_void),
}

/// A thread that does nothing: it waits in [`Stop::sleep`], or has not begun.
///
/// # Invariants
///
/// `kthread_park` has parked it, and nobody else unparks it.
pub(crate) struct Parked(Thread);

// SAFETY: A kthread may be woken and stopped from any thread, and its body be dropped: it is `Send`.
unsafe impl Send for Thread {}
// SAFETY: `wake_up_process` may be called at any time.
unsafe impl Sync for Thread {}

impl Thread {
    /// Starts a thread.
    pub(crate) fn spawn<B: Body>(name: &'static CStr, body: B) -> Result<Self> {
        let body = KBox::into_raw(KBox::new(body, GFP_KERNEL)?).cast::<c_void>();
        let (format, name) = (c"%s".as_ptr().cast(), name.as_ptr());
        // SAFETY: The name is formatted with "%s"; `entry` takes the box over.
        let task = from_err_ptr(unsafe {
            b::kthread_create_on_node(Some(entry::<B>), body, -1, format, name)
        });
        let task = match task {
            Ok(task) => task,
            Err(error) => {
                // SAFETY: The thread was not made.
                unsafe { give_back::<B>(body) };
                return Err(error);
            }
        };
        // SAFETY: The task is new and sleeps; the reference makes `kthread_stop` safe after its return.
        unsafe {
            b::rbtrfs_get_task(task);
            b::wake_up_process(task);
        }
        // INVARIANT: The reference was just taken, and the task was made with this body.
        Ok(Self {
            task: NonNull::new(task).ok_or(ENOMEM)?,
            body,
            give_back: give_back::<B>,
        })
    }

    /// Lets the thread do nothing from its next [`Stop::sleep`] on, and waits until it is there. Nobody can interrupt that,
    /// and nothing is allocated: what has to go on later can.
    pub(crate) fn park(self) -> Parked {
        // SAFETY: The task is alive by the type invariant: `entry` returns only to a thread that is to stop. It is not
        // parked, for then it would be a `Parked`.
        unsafe { b::kthread_park(self.task.as_ptr()) };
        // INVARIANT: It was just parked, and this value is taken over.
        Parked(self)
    }
}

impl Parked {
    /// Lets the thread go on.
    pub(crate) fn unpark(self) -> Thread {
        let Self(thread) = self;
        // SAFETY: The task is alive by the type invariant of the thread.
        unsafe { b::kthread_unpark(thread.task.as_ptr()) };
        thread
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: The type invariant; `kthread_stop_put` drops the reference. A thread that is stopped before it first
        // runs does not call `entry`, which returns 0.
        unsafe {
            if b::kthread_stop_put(self.task.as_ptr()) != 0 {
                (self.give_back)(self.body);
            }
        }
    }
}

/// # Safety
///
/// `body` is a `KBox<B>` made raw, which nobody else takes.
unsafe fn give_back<B: Body>(body: *mut c_void) {
    // SAFETY: By the caller's promise.
    drop(unsafe { KBox::from_raw(body.cast::<B>()) });
}

unsafe extern "C" fn entry<B: Body>(body: *mut c_void) -> c_int {
    // SAFETY: `spawn` passed the box.
    let body = unsafe { KBox::from_raw(body.cast::<B>()) };
    let stop = Stop {
        _not_send: NotThreadSafe,
    };
    KBox::into_inner(body).run(&stop);
    // Until then somebody may want to park it.
    while !stop.is_requested() {
        stop.sleep(u32::MAX);
    }
    0
}

/// How many processors there are now.
pub(crate) fn online_processors() -> u32 {
    // SAFETY: It reads a number.
    unsafe { b::num_online_cpus() }
}
