// SPDX-License-Identifier: GPL-2.0

//! A task that does one random thing after another.

use super::act::Act;
use super::check::Wrong;
use super::model::Known;
use super::{Options, PAGE};
use crate::source::Source;
use anyhow::Result;
use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct Worker<'a> {
    pub task: u64,
    pub failing: bool,
    pub source: &'a Source,
    pub random: SmallRng,
    files: &'a [Known],
    counts: &'a Counts,
    acts: Vec<(Act, u32)>,
    versions: u64,
}

/// How often each act was done, and how often it failed where it may.
#[derive(Default)]
pub(super) struct Counts {
    done: [AtomicU64; 32],
    failed: AtomicU64,
}

impl Counts {
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for act in Act::value_variants() {
            let count = self.done[*act as usize].load(Ordering::Relaxed);
            write!(f, "{act:?} {count}, ")?;
        }
        write!(f, "failed {}", self.failed())
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        options: &Options,
        task: u64,
        files: &'a [Known],
        source: &'a Source,
        counts: &'a Counts,
    ) -> Result<Self> {
        let wanted =
            |act: &Act| act.is_check() || options.only.is_empty() || options.only.contains(act);
        let acts = Act::value_variants().iter().copied().filter(wanted);
        let mut acts: Vec<_> = acts.map(|act| (act, act.weight())).collect();
        acts.retain(|(act, _)| options.failing.is_empty() || !act.may_raise_a_signal());
        acts.retain(|(act, _)| !options.missing.contains(act));
        Ok(Self {
            task,
            failing: !options.failing.is_empty(),
            source,
            random: SmallRng::seed_from_u64(options.seed * 1000 + task),
            files,
            counts,
            acts,
            versions: 0,
        })
    }

    /// One act on one file.
    pub(super) fn work(&mut self) -> Result<()> {
        let known = &self.files[self.random.random_range(0..self.files.len())];
        let act = self.choose();
        self.counts.done[act as usize].fetch_add(1, Ordering::Relaxed);
        match self.act(act, known) {
            Ok(()) => Ok(()),
            Err(error) if self.failing && error.downcast_ref::<Wrong>().is_none() => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(error.context(format!("task {}, {act:?}", self.task))),
        }
    }

    fn choose(&mut self) -> Act {
        let sum: u32 = self.acts.iter().map(|(_, weight)| weight).sum();
        let mut place = self.random.random_range(0..sum);
        for (act, weight) in &self.acts {
            if place < *weight {
                return *act;
            }
            place -= weight;
        }
        Act::CheckRead
    }

    /// Bytes that this task, and nobody before, writes to a place.
    pub(super) fn next_bytes(&mut self, known: &Known, begin: usize, end: usize) -> (u64, Vec<u8>) {
        self.versions += 1;
        let version = (self.task << 19) | (self.versions & 0x7_ffff);
        (
            version,
            crate::pattern::bytes(known.number, version, begin as u64, end - begin),
        )
    }

    /// A range anywhere in what the file may be: short ones, blocks, and long ones.
    pub(super) fn range(&mut self, limit: usize) -> (usize, usize) {
        let limit = limit.max(1);
        let most = match self.random.random_range(0..10) {
            0..3 => 200,
            3..6 => 2 * PAGE,
            6..9 => 64 << 10,
            _ => 400 << 10,
        };
        let begin = self.random.random_range(0..limit);
        let len = self.random.random_range(1..=most);
        (begin, (begin + len).min(limit))
    }
}
