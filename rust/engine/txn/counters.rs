// SPDX-License-Identifier: GPL-2.0
//! What commits cost, for whoever wants to read it.

use crate::disk::Timespec;

/// Tells the time. The edge brings one; without it all times read zero.
pub trait Clock: Send + Sync {
    /// Nanoseconds since some fixed moment; never goes back.
    fn now_ns(&self) -> u64;

    /// The time of day, as the disk is to have it.
    fn real_time(&self) -> Timespec;
}

/// Sums since the mount. Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits that wrote a superblock.
    pub commits: u64,
    /// How long nobody could join, in the last commit.
    pub last_critical_ns: u64,
    /// How long nobody could join, in the worst commit.
    pub longest_critical_ns: u64,
    /// From the start of the last commit to its superblock being durable.
    pub last_commit_ns: u64,
    /// How long the longest commit took until that, since the mount or [`forget_longest_commit`](super::Transactions::forget_longest_commit).
    pub longest_commit_ns: u64,
    /// How long all commits took until that, together.
    pub all_commits_ns: u64,
    /// For how long the commit under way has been at work; zero without one.
    pub current_commit_ns: u64,
    /// Extents whose delayed references were applied to the extent tree.
    pub refs_run: u64,
    /// Delayed references that met their opposite in the queue and never reached the extent tree.
    pub refs_cancelled: u64,
    /// Groups whose blocks were rewritten elsewhere, for their zones.
    pub groups_emptied: u64,
}

/// What is kept of commits.
#[derive(Default)]
pub(super) struct Costs {
    sums: Counters,
    /// When the commit under way began.
    begun: Option<u64>,
}

/// When a commit reached what.
pub(super) struct Times {
    /// The moment from which on the commit was led.
    pub(super) begun: u64,
    /// From then on nobody could join.
    pub(super) closed: u64,
    /// How long it took until then.
    pub(super) unblocked: u64,
}

impl Costs {
    /// A commit begins.
    pub(super) fn begin(&mut self, now: u64) {
        self.begun = Some(now);
    }

    /// The commit that began has failed.
    pub(super) fn give_up(&mut self) {
        self.begun = None;
    }

    /// The commit that began is durable.
    pub(super) fn end(&mut self, times: &Times, now: u64) {
        let sums = &mut self.sums;
        let critical = times.unblocked.saturating_sub(times.closed);
        let whole = now.saturating_sub(times.begun);
        sums.commits = sums.commits.saturating_add(1);
        sums.last_critical_ns = critical;
        sums.longest_critical_ns = sums.longest_critical_ns.max(critical);
        sums.last_commit_ns = whole;
        sums.longest_commit_ns = sums.longest_commit_ns.max(whole);
        sums.all_commits_ns = sums.all_commits_ns.saturating_add(whole);
        self.begun = None;
    }

    /// From here on another commit is the longest.
    pub(super) fn forget_longest(&mut self) {
        self.sums.longest_commit_ns = 0;
    }

    /// What there is to tell.
    pub(super) fn counters(&self, now: u64) -> Counters {
        let age = |begun| now.saturating_sub(begun);
        Counters {
            current_commit_ns: self.begun.map_or(0, age),
            ..self.sums
        }
    }
}
