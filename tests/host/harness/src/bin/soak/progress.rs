// SPDX-License-Identifier: GPL-2.0
//! What was done so far, and whether it still goes on.

use crate::job::{Job, Work};
use harness::history::Cuts;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How often there is a line.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long a history without a cut, or one cut, may take: a loop cannot be caught.
const PATIENCE: Duration = Duration::from_secs(300);
/// Lines of a failure that are shown.
const SHOWN: usize = 60;

/// Counts, for all workers.
pub(crate) struct Progress {
    begun: Instant,
    total: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    // Since when each is at the cut that it is at.
    running: Vec<(Job, Instant)>,
    cuts: u64,
    done: BTreeMap<&'static str, Done>,
    failures: Vec<Job>,
    finished: bool,
}

/// What was done on a kind of device.
#[derive(Clone, Copy, Default)]
struct Done {
    histories: u64,
    cut_histories: u64,
    cuts: Cuts,
}

impl Progress {
    /// Nothing was done yet.
    pub(crate) fn new(jobs: &VecDeque<Job>) -> Self {
        Self {
            begun: Instant::now(),
            total: jobs.len(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Somebody does `job`.
    pub(crate) fn begin(&self, job: Job) {
        self.state().running.push((job, Instant::now()));
    }

    /// A power cut of `job` is over.
    pub(crate) fn cut(&self, job: Job) {
        let mut state = self.state();
        state.cuts += 1;
        if let Some((_, since)) = state.running.iter_mut().find(|(other, _)| *other == job) {
            *since = Instant::now();
        }
    }

    /// `job` is over.
    pub(crate) fn end(&self, job: Job, result: Result<Cuts, String>) {
        let mut state = self.state();
        state.running.retain(|(other, _)| *other != job);
        match result {
            Ok(cuts) => {
                let done = state.done.entry(job.kind.name()).or_default();
                done.cuts.add(cuts);
                match job.work {
                    Work::Check => done.histories += 1,
                    Work::CutEveryWrite(_) => done.cut_histories += 1,
                }
            }
            Err(what) => {
                state.failures.push(job);
                let shown: Vec<&str> = what.lines().take(SHOWN).collect();
                println!("FAILED, alone: scripts/soak {job}\n{}", shown.join("\n"));
            }
        }
    }

    /// Says how far it is until [`Self::finish`]; ends the process when something does not come to an end.
    pub(crate) fn report(&self) {
        let mut state = self.state();
        while !state.finished {
            state = self.changed.wait_timeout(state, INTERVAL).unwrap().0;
            if let Some((job, _)) = state
                .running
                .iter()
                .find(|(_, since)| since.elapsed() > PATIENCE)
            {
                println!("FAILED, does not come to an end; alone: scripts/soak {job}");
                std::process::exit(1);
            }
            let sum = state.sum();
            let jobs = sum.histories + sum.cut_histories + state.failures.len() as u64;
            println!(
                "{:5} s: {jobs} of {} histories, {} of them cut in every write; {} power cuts; {} failed",
                self.begun.elapsed().as_secs(),
                self.total,
                sum.cut_histories,
                state.cuts,
                state.failures.len()
            );
        }
    }

    /// All is done.
    pub(crate) fn finish(&self) {
        self.state().finished = true;
        self.changed.notify_all();
    }

    /// How many histories failed.
    pub(crate) fn failed(&self) -> usize {
        self.state().failures.len()
    }

    /// What was done, a line for each kind of device and one for all.
    pub(crate) fn sum(&self) -> String {
        let state = self.state();
        let mut lines: Vec<String> = state
            .done
            .iter()
            .map(|(kind, done)| done.line(kind))
            .collect();
        lines.push(state.sum().line("all"));
        lines.extend(
            state
                .failures
                .iter()
                .map(|job| format!("failed: scripts/soak {job}")),
        );
        let passed = self.total - state.failures.len();
        lines.push(format!(
            "# soak: {passed} passed, {} failed",
            state.failures.len()
        ));
        lines.join("\n")
    }
}

impl State {
    fn sum(&self) -> Done {
        let mut sum = Done::default();
        for done in self.done.values() {
            sum.histories += done.histories;
            sum.cut_histories += done.cut_histories;
            sum.cuts.add(done.cuts);
        }
        sum
    }
}

impl Done {
    fn line(&self, kind: &str) -> String {
        format!(
            "{kind:21} {:5} histories; {:3} cut in every write: {:6} writes, {:6} cuts, {:6} checks of them",
            self.histories, self.cut_histories, self.cuts.changes, self.cuts.cuts, self.cuts.checks
        )
    }
}
