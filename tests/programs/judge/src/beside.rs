// SPDX-License-Identifier: GPL-2.0

//! What goes on beside a writer until it is done.

use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// Says when it is time to stop: after some seconds, or when anybody fails.
pub(crate) struct Until {
    end: Instant,
    failed: AtomicBool,
}

impl Until {
    pub(crate) fn seconds(seconds: u64) -> Self {
        Self {
            end: Instant::now() + Duration::from_secs(seconds),
            failed: AtomicBool::new(false),
        }
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.failed.load(Ordering::Relaxed) && Instant::now() < self.end
    }

    /// Runs `work` in a thread again and again; its first error stops all.
    pub(crate) fn repeat<'s, 'e, F>(
        &'s self,
        scope: &'s Scope<'s, 'e>,
        mut work: F,
    ) -> ScopedJoinHandle<'s, Result<u64>>
    where
        F: FnMut() -> Result<()> + Send + 's,
    {
        scope.spawn(move || {
            let mut rounds = 0;
            while self.goes_on() {
                work().inspect_err(|_| self.stop())?;
                rounds += 1;
            }
            Ok(rounds)
        })
    }

    pub(crate) fn stop(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Sleeps, but not past the end.
    pub(crate) fn sleep(&self, millis: u64) {
        let left = self.end.saturating_duration_since(Instant::now());
        thread::sleep(left.min(Duration::from_millis(millis)));
    }
}

/// The sum of the rounds of all, or the first error.
pub(crate) fn rounds<'s>(
    threads: impl IntoIterator<Item = ScopedJoinHandle<'s, Result<u64>>>,
) -> Result<u64> {
    let all: Vec<_> = threads.into_iter().map(ScopedJoinHandle::join).collect();
    let mut sum = 0;
    for result in all {
        sum += result.expect("no thread panics")?;
    }
    Ok(sum)
}
