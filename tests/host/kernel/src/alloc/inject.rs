// SPDX-License-Identifier: GPL-2.0
//! Makes allocations fail and counts them, for the calling thread. Those with `GFP_NOFAIL` never do.
//!
//! ```text
//! let count = inject::counted(|| operation()).1.calls;
//! for n in 0..count {
//!     let _failing = inject::fail_nth(n);
//!     assert_eq!(operation(), Err(ENOMEM));
//! }
//! ```

use super::flags::GFP_NOFAIL;
use super::{AllocError, Allocator, Flags, Kmalloc};
use std::cell::Cell;

#[derive(Clone, Copy)]
enum Plan {
    Nothing,
    Nth(u64),
    Random { state: u64, one_in: u64 },
}

/// What a thread has allocated since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Allocations asked for, the failed ones among them.
    pub calls: u64,
    /// Bytes asked for; what was freed is not taken off.
    pub bytes: u64,
    /// Allocations that were made to fail.
    pub failed: u64,
}

thread_local! {
    static PLAN: Cell<Plan> = const { Cell::new(Plan::Nothing) };
    static COUNTERS: Cell<Counters> = const { Cell::new(Counters { calls: 0, bytes: 0, failed: 0 }) };
}

/// Ends the injection when dropped.
#[must_use]
pub struct Injection(core::marker::PhantomData<*const ()>);

impl Drop for Injection {
    fn drop(&mut self) {
        PLAN.set(Plan::Nothing);
    }
}

/// Fails the `n`th allocation from now of those that may, counted from 0, and no other.
pub fn fail_nth(n: u64) -> Injection {
    PLAN.set(Plan::Nth(n));
    Injection(core::marker::PhantomData)
}

/// Fails each allocation that may with the probability 1 / `one_in`.
pub fn fail_randomly(seed: u64, one_in: u64) -> Injection {
    PLAN.set(Plan::Random {
        state: seed,
        one_in: one_in.max(1),
    });
    Injection(core::marker::PhantomData)
}

/// What this thread has allocated so far.
pub fn counters() -> Counters {
    COUNTERS.get()
}

/// Runs `call` and tells what it allocated.
pub fn counted<R>(call: impl FnOnce() -> R) -> (R, Counters) {
    let before = counters();
    let result = call();
    let after = counters();
    let spent = Counters {
        calls: after.calls - before.calls,
        bytes: after.bytes - before.bytes,
        failed: after.failed - before.failed,
    };
    (result, spent)
}

/// Counts an allocation of `bytes` by `kmalloc` and decides whether it fails. The stand-ins call it for each.
pub fn allocate(bytes: usize, flags: Flags) -> Result<(), AllocError> {
    allocate_from::<Kmalloc>(bytes, flags)
}

/// As [`allocate`], by any allocator.
pub fn allocate_from<A: Allocator>(bytes: usize, flags: Flags) -> Result<(), AllocError> {
    let may_fail = !flags.contains(GFP_NOFAIL);
    assert!(
        may_fail || bytes <= A::LARGEST_UNFAILING,
        "{bytes} bytes are too many to be waited for"
    );
    let fails = match PLAN.get() {
        _ if !may_fail => false,
        Plan::Nothing => false,
        Plan::Nth(0) => {
            PLAN.set(Plan::Nothing);
            true
        }
        Plan::Nth(n) => {
            PLAN.set(Plan::Nth(n - 1));
            false
        }
        Plan::Random { state, one_in } => {
            let state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            PLAN.set(Plan::Random { state, one_in });
            (state >> 33) % one_in == 0
        }
    };
    let mut counters = COUNTERS.get();
    counters.calls += 1;
    counters.bytes += bytes as u64;
    counters.failed += u64::from(fails);
    COUNTERS.set(counters);
    if fails {
        return Err(AllocError);
    }
    Ok(())
}
