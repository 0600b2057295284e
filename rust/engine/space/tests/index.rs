// SPDX-License-Identifier: GPL-2.0

use super::at;
use crate::disk::Bytes;
use crate::space::reserve::{GroupIndex, Offer, Offered};
use random::Random;
use std::collections::BTreeMap;

fn agree(random: &mut Random, index: &GroupIndex, model: &BTreeMap<u64, Offered>) {
    let from = random.below(400);
    let least = 1 + random.below(40);
    let behind = || model.range(from..);
    let first = |holds: &dyn Fn(&Offered) -> bool| {
        behind()
            .find(|(_, offered)| holds(offered))
            .map(|(&start, _)| at(start))
    };
    for (offer, of) in [
        (
            Offer::Ready,
            (|offered| offered.ready.get()) as fn(&Offered) -> u64,
        ),
        (Offer::Asleep, |offered| offered.asleep.get()),
        (Offer::Unread, |offered| offered.unread.get()),
    ] {
        assert_eq!(
            index.offering(offer, at(from), Bytes::new(least)),
            first(&|offered| of(offered) >= least)
        );
        assert_eq!(
            index.longest(offer),
            Bytes::new(model.values().map(of).max().unwrap_or(0))
        );
    }
    assert_eq!(
        index.unused_from(at(from)),
        first(&|offered| offered.unused)
    );
}

#[test]
fn the_index_finds_what_a_look_at_all_groups_finds() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut index = GroupIndex::new();
        let mut model = BTreeMap::new();
        for _ in 0..400 {
            let start = random.below(400);
            match random.below(6) {
                // Nearly always behind all others, as chunks come.
                0 | 1 => {
                    let start = match random.one_in(4) {
                        true => start,
                        false => model.keys().last().map_or(0, |last| last + 1),
                    };
                    index.insert(at(start)).unwrap();
                    model.entry(start).or_default();
                }
                2 if random.one_in(2) => {
                    index.remove(at(start));
                    model.remove(&start);
                }
                _ => {
                    let offered = Offered {
                        ready: Bytes::new(random.below(40)),
                        asleep: Bytes::new(random.below(40)),
                        unread: Bytes::new(random.below(40)),
                        unused: random.one_in(4),
                    };
                    index.set(at(start), offered).unwrap();
                    if let Some(known) = model.get_mut(&start) {
                        *known = offered;
                    }
                }
            }
            agree(&mut random, &index, &model);
        }
    }
}
