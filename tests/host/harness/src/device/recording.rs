// SPDX-License-Identifier: GPL-2.0
//! Everything that was done to a set of devices, to cut the power at each point of it.

use super::media::{Change, Image, Media};
use crate::random::Random;
use std::sync::{Arc, Mutex};

/// Something a device saw.
#[derive(Clone, Debug)]
pub enum Event {
    /// A change, not durable yet.
    Change(Change),
    /// A flush.
    Flush,
    /// A note of the test: something was promised to be durable here.
    Mark(u64),
}

/// Where devices put what they see. One for all devices of a volume, so that the order is kept.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<(usize, Event)>>>);

impl Recorder {
    pub(super) fn add(&self, device: usize, event: Event) {
        self.0.lock().unwrap().push((device, event));
    }

    /// Records a note; [`Replay::mark`] gives the last one before a cut.
    pub fn mark(&self, note: u64) {
        self.add(0, Event::Mark(note));
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
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
            events: self.0.lock().unwrap().clone(),
            next: 0,
            mark: None,
        }
    }
}

/// Goes through a recording; at each point the power can be cut.
pub struct Replay {
    media: Vec<Media>,
    events: Vec<(usize, Event)>,
    next: usize,
    mark: Option<u64>,
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
            Event::Mark(note) => self.mark = Some(*note),
        }
        true
    }

    /// How many events were done.
    pub fn position(&self) -> usize {
        self.next
    }

    /// The last note before this point.
    pub fn mark(&self) -> Option<u64> {
        self.mark
    }

    /// What the devices hold when the power is cut here.
    pub fn power_cut(&self, random: &mut Random) -> Vec<Image> {
        self.media
            .iter()
            .map(|media| media.after_power_cut(random))
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
