// SPDX-License-Identifier: GPL-2.0
//! Everything that was done to a set of devices, to cut the power at each point of it.

use super::media::{Change, Fate, Image, Media};
use crate::random::Random;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// One of several users of a volume in a test.
pub type User = usize;

/// Something a device saw.
#[derive(Clone, Debug)]
pub enum Event {
    /// A change, not durable yet.
    Change(Change),
    /// A flush.
    Flush,
    /// A user of the test began a step.
    Begun(User, u64),
    /// All steps of a user up to this one were promised to be durable.
    Promised(User, u64),
}

/// Where devices put what they see. One for all devices of a volume, so that the order is kept.
#[derive(Clone, Default)]
pub struct Recorder {
    events: Arc<Mutex<Vec<(usize, Event)>>>,
    user: User,
}

impl Recorder {
    /// Gives another user this recording to note steps in. The first is user 0.
    pub fn for_user(&self, user: User) -> Self {
        Self {
            events: self.events.clone(),
            user,
        }
    }

    pub(super) fn add(&self, device: usize, event: Event) {
        self.events.lock().unwrap().push((device, event));
    }

    /// Notes that a step of the test begins.
    pub fn begin(&self, step: u64) {
        self.add(0, Event::Begun(self.user, step));
    }

    /// Notes that all up to this step was promised to be durable.
    pub fn promise(&self, step: u64) {
        self.add(0, Event::Promised(self.user, step));
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts from `base`, what the devices held when the recording began.
    pub fn replay(&self, base: Vec<Image>) -> Replay {
        let media = base.into_iter().map(Media::new).collect();
        Replay {
            media,
            events: self.events.lock().unwrap().clone(),
            next: 0,
            begun: BTreeMap::new(),
            promised: BTreeMap::new(),
        }
    }
}

/// Goes through a recording; at each point the power can be cut.
pub struct Replay {
    media: Vec<Media>,
    events: Vec<(usize, Event)>,
    next: usize,
    begun: BTreeMap<User, u64>,
    promised: BTreeMap<User, u64>,
}

impl Replay {
    /// Does the next event; `false` at the end.
    pub fn step(&mut self) -> bool {
        let Some((device, event)) = self.events.get(self.next) else {
            return false;
        };
        self.next += 1;
        let media = &mut self.media[*device];
        match event {
            Event::Change(change) => media.apply(change.clone()).expect("it was taken before"),
            Event::Flush => media.flush(),
            Event::Begun(user, step) => {
                self.begun.insert(*user, *step);
            }
            Event::Promised(user, step) => {
                let promised = self.promised.entry(*user).or_default();
                *promised = (*promised).max(*step);
            }
        }
        true
    }

    /// How many events were done.
    pub fn position(&self) -> usize {
        self.next
    }

    /// The last step that user 0 began before this point; 0 before the first.
    pub fn begun(&self) -> u64 {
        self.begun_by(0)
    }

    /// The last step that user 0 was promised before this point; 0 before the first.
    pub fn promised(&self) -> u64 {
        self.promised_by(0)
    }

    /// As [`Self::begun`], for any user.
    pub fn begun_by(&self, user: User) -> u64 {
        self.begun.get(&user).copied().unwrap_or(0)
    }

    /// As [`Self::promised`], for any user.
    pub fn promised_by(&self, user: User) -> u64 {
        self.promised.get(&user).copied().unwrap_or(0)
    }

    /// Whether the next event puts something at risk: cutting the power before others only repeats an outcome.
    pub fn is_before_change(&self) -> bool {
        matches!(self.events.get(self.next), Some((_, Event::Change(_))))
    }

    /// Whether the last event put something at risk: the write under way when the power is cut here.
    pub fn is_after_change(&self) -> bool {
        let last = self.next.checked_sub(1).and_then(|at| self.events.get(at));
        matches!(last, Some((_, Event::Change(_))))
    }

    /// What the next event changes, if it changes something.
    pub fn next_change(&self) -> Option<&Change> {
        match self.events.get(self.next) {
            Some((_, Event::Change(change))) => Some(change),
            _ => None,
        }
    }

    /// What of the first device outlives a power cut here, whatever happens to the rest.
    pub fn durable(&self) -> &Image {
        self.media[0].durable()
    }

    /// How many events there are in all.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// What the devices hold when the power is cut here.
    pub fn power_cut(&self, random: &mut Random) -> Vec<Image> {
        self.media
            .iter()
            .map(|media| media.after_power_cut(random))
            .collect()
    }

    /// As [`Self::power_cut`], with this fate for the changes that are not durable.
    pub fn power_cut_with(&self, fate: Fate, random: &mut Random) -> Vec<Image> {
        self.media
            .iter()
            .map(|media| media.after_power_cut_with(fate, random))
            .collect()
    }

    /// What the devices show here.
    pub fn live(&self) -> Vec<Image> {
        self.media
            .iter()
            .map(|media| media.live().clone())
            .collect()
    }
}
