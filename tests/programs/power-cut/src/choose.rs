// SPDX-License-Identifier: GPL-2.0
//! Where in a recording the power is cut.

use crate::log::Event;
use crate::replay::Fate;
use crate::workload::{Access, Combination, Durability};
use anyhow::{Context, Result};
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

/// Three of four cuts are right after an acknowledgement, so that all combinations have their turn; the others anywhere.
/// In the order of the recording.
pub(crate) fn choose(events: &[Event], cuts: usize, random: &mut SmallRng) -> Result<Vec<Cut>> {
    let combinations = in_turn(random);
    let mut chosen: Vec<Cut> = (0..cuts / 4).map(|_| anywhere(events, random)).collect();
    for &combination in combinations.iter().cycle().take(cuts - cuts / 4) {
        let cut = after(events, combination, random);
        chosen.push(cut.with_context(|| format!("nobody was told of a write: {combination:?}"))?);
    }
    chosen.sort_by_key(|cut| cut.at);
    Ok(chosen)
}

/// Each interface with each flag that makes a write durable at each place, by direct IO; the same through the page cache;
/// then all others in a random order.
fn in_turn(random: &mut SmallRng) -> Vec<Combination> {
    let flags = [Durability::ODsync, Durability::OSync, Durability::RwfDsync];
    let mut all = Combination::all();
    all.shuffle(random);
    all.sort_by_key(|it| match (flags.contains(&it.durability), it.access) {
        (true, Access::Direct) => 0,
        (true, Access::Buffered) => 1,
        (false, _) => 2,
    });
    all
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Interface, Target};
    use rand::SeedableRng;
    use std::collections::HashSet;

    fn acknowledged(by: Combination) -> Event {
        Event::Acknowledged {
            writes: Vec::new(),
            by: Some(by),
        }
    }

    #[test]
    fn direct_writes_have_their_turn_in_36_cuts_and_buffered_ones_in_72() {
        let events: Vec<Event> = Combination::all().into_iter().map(acknowledged).collect();
        for (cuts, cells) in [(36, 27), (72, 54)] {
            let chosen = choose(&events, cuts, &mut SmallRng::seed_from_u64(1)).unwrap();
            let met: HashSet<Combination> = chosen.iter().filter_map(|cut| cut.after).collect();
            assert_eq!((chosen.len(), met.len()), (cuts, cells));
            let is_cell = |it: &Combination| {
                matches!(
                    it.durability,
                    Durability::ODsync | Durability::OSync | Durability::RwfDsync
                ) && (cells == 54 || it.access == Access::Direct)
            };
            assert!(met.iter().all(is_cell));
        }
    }

    #[test]
    fn a_combination_of_which_nobody_was_told_is_an_error() {
        let missing = Combination {
            interface: Interface::Aio,
            durability: Durability::OSync,
            target: Target::Hole,
            access: Access::Direct,
        };
        let all = Combination::all().into_iter().filter(|it| *it != missing);
        let events: Vec<Event> = all.map(acknowledged).collect();
        assert!(choose(&events, 36, &mut SmallRng::seed_from_u64(1)).is_err());
    }
}
