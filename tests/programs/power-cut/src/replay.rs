// SPDX-License-Identifier: GPL-2.0
//! The state of a disk at any point of a log, and what a power cut there leaves of it.

use crate::log::{Event, Id};
use crate::media::{Change, Image, PAGE};
use rand::{rngs::SmallRng, seq::IndexedRandom, RngExt};
use std::collections::{HashMap, HashSet};

/// What becomes of the changes that are not durable when the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All of them are kept.
    Kept,
    /// None is kept, though some may be torn.
    Lost,
    /// Some are kept, in any order, and some torn.
    Mixed,
}

struct Volatile {
    id: Id,
    change: Change,
    fua: bool,
    done: bool,
}

/// A disk while a log is replayed.
pub(crate) struct Replay {
    durable: Image,
    /// In the order of their arrival.
    volatile: Vec<Volatile>,
    /// What was done before each flush that is under way.
    flushes: HashMap<Id, HashSet<Id>>,
}

impl Replay {
    /// All of `image` is durable.
    pub(crate) fn new(image: Image) -> Self {
        Self {
            durable: image,
            volatile: Vec::new(),
            flushes: HashMap::new(),
        }
    }

    pub(crate) fn step(&mut self, event: &Event) {
        match event {
            &Event::Change {
                id,
                ref change,
                fua,
            } => {
                self.volatile.push(Volatile {
                    id,
                    change: change.clone(),
                    fua,
                    done: false,
                });
            }
            &Event::Flush { id } => {
                let done = self.volatile.iter().filter(|volatile| volatile.done);
                self.flushes
                    .insert(id, done.map(|volatile| volatile.id).collect());
            }
            Event::Done { id } => self.done(*id),
            Event::Begin(_) | Event::Acknowledged { .. } => {}
        }
    }

    fn done(&mut self, id: Id) {
        if let Some(covered) = self.flushes.remove(&id) {
            self.settle(covered);
        } else if let Some(volatile) = self.volatile.iter_mut().find(|volatile| volatile.id == id) {
            volatile.done = true;
            if volatile.fua {
                self.settle(HashSet::from([id]));
            }
        }
    }

    /// Makes changes durable, and with them what is before them in their zones.
    fn settle(&mut self, mut ids: HashSet<Id>) {
        let mut zones = HashSet::new();
        for volatile in self.volatile.iter().rev() {
            let Some(zone) = self.durable.zone_of(volatile.change.at()) else {
                continue;
            };
            if ids.contains(&volatile.id) {
                zones.insert(zone);
            } else if zones.contains(&zone) {
                ids.insert(volatile.id);
            }
        }
        let (settled, volatile) = std::mem::take(&mut self.volatile)
            .into_iter()
            .partition(|it| ids.contains(&it.id));
        self.volatile = volatile;
        let settled: Vec<Volatile> = settled;
        for Volatile { change, .. } in &settled {
            apply(&mut self.durable, change);
        }
    }

    /// How many changes would be at risk in a power cut now.
    pub(crate) fn at_risk(&self) -> usize {
        self.volatile.len()
    }

    /// What the disk holds after a power cut now. Outside of sequential zones any of the volatile changes is kept, lost
    /// or torn between sectors; in a sequential zone they end somewhere, perhaps inside of a write.
    pub(crate) fn cut(&self, fate: Fate, random: &mut SmallRng) -> Image {
        let mut image = self.durable.clone();
        let kept = match fate {
            Fate::Kept => 1.0,
            Fate::Lost => 0.0,
            Fate::Mixed => *[0.05, 0.25, 0.5, 0.75, 0.95].choose(random).unwrap_or(&0.5),
        };
        let mut ended = HashSet::new();
        for Volatile { change, .. } in &self.volatile {
            match image.zone_of(change.at()) {
                Some(zone) if ended.contains(&zone) => {}
                _ if random.random_bool(kept) => apply(&mut image, change),
                Some(zone) => {
                    ended.insert(zone);
                    tear(&mut image, change, random);
                }
                None if random.random_bool(0.25) => shred(&mut image, change, random),
                None => {}
            }
        }
        image
    }
}

/// A change that the disk took before goes in again.
fn apply(image: &mut Image, change: &Change) {
    if let Err(refusal) = image.apply(change) {
        panic!("a log that does not replay: {refusal}");
    }
}

/// Keeps the first part of a write.
fn tear(image: &mut Image, change: &Change, random: &mut SmallRng) {
    if let Change::Write { at, pages } = change {
        let pages = pages[..random.random_range(0..pages.len())].into();
        apply(image, &Change::Write { at: *at, pages });
    }
}

/// Keeps some sectors of a write.
fn shred(image: &mut Image, change: &Change, random: &mut SmallRng) {
    if let Change::Write { at, pages } = change {
        for (index, page) in pages.iter().enumerate() {
            if random.random_bool(0.5) {
                image.pages.set(at + index as u64 * PAGE, page.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ublk::Geometry;
    use rand::SeedableRng;

    const ZONE: u64 = 1 << 20;

    fn replay(zone: Option<u64>, events: &[Event]) -> Replay {
        let mut replay = Replay::new(Image::new(Geometry {
            size: 4 * ZONE,
            zone,
        }));
        events.iter().for_each(|event| replay.step(event));
        replay
    }

    fn write(id: Id, at: u64, fua: bool) -> Event {
        Event::Change {
            id,
            change: Change::write(at, &[id as u8 + 1; PAGE as usize]),
            fua,
        }
    }

    fn left(replay: &Replay, fate: Fate, at: u64) -> u8 {
        let image = replay.cut(fate, &mut SmallRng::seed_from_u64(1));
        image.pages.read(at, PAGE)[0]
    }

    #[test]
    fn a_flush_covers_what_was_answered_before_it_came() {
        let mut events = vec![
            write(0, 0, false),
            write(1, PAGE, false),
            Event::Done { id: 0 },
            Event::Flush { id: 2 },
        ];
        events.push(Event::Done { id: 1 });
        let before = replay(None, &events);
        assert_eq!(before.at_risk(), 2);
        assert_eq!(left(&before, Fate::Kept, PAGE), 2);
        events.push(Event::Done { id: 2 });
        let after = replay(None, &events);
        assert_eq!(after.at_risk(), 1);
        assert_eq!(left(&after, Fate::Lost, 0), 1);
    }

    #[test]
    fn a_durable_write_is_durable_once_answered_and_covers_nothing_else() {
        let taken = [
            write(0, 0, false),
            Event::Done { id: 0 },
            write(1, PAGE, true),
        ];
        assert_eq!(replay(None, &taken).at_risk(), 2);
        let mut answered = replay(None, &taken);
        answered.step(&Event::Done { id: 1 });
        assert_eq!(answered.at_risk(), 1);
        assert_eq!(left(&answered, Fate::Lost, PAGE), 2);
    }

    #[test]
    fn a_sequential_zone_ends_somewhere_and_keeps_its_order() {
        let events: Vec<Event> = (0..9)
            .map(|id| write(id, ZONE + id * PAGE, false))
            .collect();
        let replay = replay(Some(ZONE), &events);
        for seed in 0..50 {
            let image = replay.cut(Fate::Mixed, &mut SmallRng::seed_from_u64(seed));
            let pointer = image.write_pointer(ZONE).unwrap();
            for id in 0..9 {
                let at = ZONE + id * PAGE;
                let expected = if at < pointer { id as u8 + 1 } else { 0 };
                assert_eq!(image.pages.read(at, PAGE)[0], expected);
            }
        }
    }

    #[test]
    fn what_is_before_a_durable_write_in_its_zone_is_durable_too() {
        let events = [
            write(0, ZONE, false),
            write(1, ZONE + PAGE, true),
            Event::Done { id: 1 },
        ];
        assert_eq!(left(&replay(Some(ZONE), &events), Fate::Lost, ZONE), 1);
    }
}
