// SPDX-License-Identifier: GPL-2.0
//! Writes that were begun: when they are complete, and how many were under way at once.

use super::{Change, SimDevice, State};
use crate::random::Random;
use engine::volume::device::BegunWrite;
use kernel::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

/// When writes that were begun are complete.
#[derive(Default)]
pub enum Pace {
    /// At once.
    #[default]
    AtOnce,
    /// When somebody waits for one, and all of them then: what a device's queue holds takes the time of one.
    Together,
    /// Some at once; of the others in any order until the one that somebody waits for.
    AnyOrder(Random),
}

/// What a device saw of such writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Begun {
    /// How many there were.
    pub writes: usize,
    /// The most that were under way at once.
    pub most: usize,
    /// The most bytes that were.
    pub most_bytes: usize,
    /// How often somebody had to wait.
    pub waits: usize,
}

/// The writes of a device that were begun, by their numbers.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) pace: Pace,
    pub(super) seen: Begun,
    writes: Vec<(u64, Change)>,
    ended: BTreeMap<u64, Result>,
}

impl UnderWay {
    /// Those that are not complete.
    pub(super) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.writes.iter().map(|(_, change)| change)
    }

    /// The writes that complete now, in this order: at the beginning of `number`, or when somebody waits for it.
    fn complete(&mut self, number: u64, is_awaited: bool) -> Vec<(u64, Change)> {
        match &mut self.pace {
            Pace::Together if !is_awaited => Vec::new(),
            Pace::AtOnce | Pace::Together => std::mem::take(&mut self.writes),
            Pace::AnyOrder(random) => {
                let mut now = Vec::new();
                let is_due = |now: &[(u64, Change)]| now.iter().any(|(of, _)| *of == number);
                while !self.writes.is_empty() && !is_due(&now) {
                    if !is_awaited && random.one_in(2) {
                        break;
                    }
                    let next = random.below(self.writes.len() as u64) as usize;
                    now.push(self.writes.swap_remove(next));
                }
                now
            }
        }
    }

    fn is_under_way(&self, number: u64) -> bool {
        self.writes.iter().any(|(of, _)| *of == number)
    }
}

/// A write that was begun.
struct Ticket<'a> {
    device: &'a SimDevice,
    number: u64,
}

impl SimDevice {
    /// When writes that are begun from now on are complete.
    pub fn set_pace(&self, pace: Pace) {
        let under_way = &mut self.state().under_way;
        under_way.pace = pace;
        under_way.seen = Begun::default();
    }

    /// What was begun since the pace was set.
    pub fn begun(&self) -> Begun {
        self.state().under_way.seen
    }

    /// How many writes are not complete.
    pub fn under_way(&self) -> usize {
        self.state().under_way.writes.len()
    }

    pub(super) fn begin(&self, at: u64, data: &[u8]) -> Result<KBox<dyn BegunWrite + '_>> {
        let (change, len) = (
            Change::Write {
                at,
                data: data.into(),
            },
            data.len() as u64,
        );
        let mut state = self.state();
        let overlaps = |other: &Change| other.at() < at + len && at < other.at() + other.len();
        if state.under_way.changes().any(overlaps) {
            state.violation(format!("two writes at once of {len} bytes at {at}"))?;
        }
        let under_way = &mut state.under_way;
        let number = under_way.seen.writes as u64;
        under_way.writes.push((number, change));
        let bytes: u64 = under_way.changes().map(Change::len).sum();
        let seen = &mut under_way.seen;
        seen.writes += 1;
        seen.most = seen.most.max(under_way.writes.len());
        seen.most_bytes = seen.most_bytes.max(bytes as usize);
        let now = under_way.complete(number, false);
        self.end(&mut state, now);
        drop(state);
        let ticket = Ticket {
            device: self,
            number,
        };
        Ok(KBox::new(ticket, GFP_KERNEL)?)
    }

    fn end(&self, state: &mut State, writes: Vec<(u64, Change)>) {
        for (number, change) in writes {
            let checked = self.check(state, super::Request::Write, change.at(), change.len());
            let ended = checked.and_then(|()| state.change(change));
            state.under_way.ended.insert(number, ended);
        }
    }
}

impl BegunWrite for Ticket<'_> {
    fn wait(&self) -> Result {
        let mut state = self.device.state();
        if state.under_way.is_under_way(self.number) {
            state.under_way.seen.waits += 1;
            let now = state.under_way.complete(self.number, true);
            self.device.end(&mut state, now);
        }
        state.under_way.ended[&self.number]
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let _ = self.wait();
        self.device.state().under_way.ended.remove(&self.number);
    }
}
