// SPDX-License-Identifier: GPL-2.0
//! Where in a recording the power is cut.

use crate::log::Event;
use crate::replay::Fate;
use crate::workload::{Combination, Durability};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{rngs::SmallRng, RngExt};

/// A point at which the power is cut.
pub(crate) struct Cut {
    /// How many events are before it.
    pub at: usize,
    pub fate: Fate,
    /// Who was told just before that data is durable.
    pub after: Option<Combination>,
}

/// Two of three cuts are right after an acknowledgement, so that all combinations have their turn; the others anywhere.
/// In the order of the recording.
pub(crate) fn choose(events: &[Event], cuts: usize, random: &mut SmallRng) -> Vec<Cut> {
    let combinations = in_turn(random);
    let mut turns = combinations.iter().cycle();
    let mut chosen: Vec<Cut> = (0..cuts)
        .map(|number| match number % 3 {
            0 => anywhere(events, random),
            _ => turns
                .next()
                .and_then(|&combination| after(events, combination, random))
                .unwrap_or_else(|| anywhere(events, random)),
        })
        .collect();
    chosen.sort_by_key(|cut| cut.at);
    chosen
}

/// All combinations in a random order, but first by each interface and each flag that makes a write durable, at each
/// place, either direct or buffered.
fn in_turn(random: &mut SmallRng) -> Vec<Combination> {
    let mut all = Combination::all();
    all.shuffle(random);
    let flags = [Durability::ODsync, Durability::OSync, Durability::RwfDsync];
    let mut seen = Vec::new();
    let (first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| {
        let kind = (it.interface, it.durability, it.target);
        let new = flags.contains(&it.durability) && !seen.contains(&kind);
        seen.extend(new.then_some(kind));
        new
    });
    [first, rest].concat()
}

fn anywhere(events: &[Event], random: &mut SmallRng) -> Cut {
    let fates = [Fate::Lost, Fate::Mixed, Fate::Mixed, Fate::Kept];
    Cut {
        at: random.random_range(0..=events.len()),
        fate: *fates.choose(random).unwrap_or(&Fate::Mixed),
        after: None,
    }
}

/// Right after one of the acknowledgements that a combination got.
fn after(events: &[Event], combination: Combination, random: &mut SmallRng) -> Option<Cut> {
    let is_it = |event: &Event| matches!(event, Event::Acknowledged { by: Some(by), .. } if *by == combination);
    let all: Vec<usize> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| is_it(event))
        .map(|(at, _)| at + 1)
        .collect();
    let fates = [Fate::Lost, Fate::Lost, Fate::Mixed];
    Some(Cut {
        at: *all.choose(random)?,
        fate: *fates.choose(random)?,
        after: Some(combination),
    })
}
