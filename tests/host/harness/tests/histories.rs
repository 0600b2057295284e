// SPDX-License-Identifier: GPL-2.0
//! Random histories: the engine does what the model does, `btrfs check` finds nothing wrong, and a power cut anywhere
//! leaves a state that was.

use harness::device::Image;
use harness::history::{History, Profile};
use harness::random::Random;
use harness::tools;
use std::sync::OnceLock;

fn regular() -> Vec<Image> {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    vec![IMAGE.get_or_init(|| tools::mkfs(512 << 20, &[])).clone()]
}

fn zoned() -> Vec<Image> {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    vec![IMAGE
        .get_or_init(|| tools::mkfs_zoned(24, &[], tools::zone_layout(16 << 20)))
        .clone()]
}

/// Runs histories with these seeds and cuts the power in each.
fn run(base: Vec<Image>, profile: Profile, seeds: std::ops::Range<u64>, steps: u64, cuts: u64) {
    for seed in seeds {
        let history = History {
            seed,
            profile,
            steps,
        };
        let outcome = history
            .run(&base)
            .unwrap_or_else(|failure| panic!("{failure}"));
        outcome
            .check()
            .unwrap_or_else(|failure| panic!("{history:?}: {failure}"));
        let cut = outcome.cut_power(&mut Random::new(seed), cuts);
        cut.unwrap_or_else(|failure| panic!("{history:?}: {failure}"));
    }
}

#[test]
fn mixed_on_a_regular_device() {
    run(regular(), Profile::MIXED, 0..12, 300, 20);
}

#[test]
fn names_on_a_regular_device() {
    run(regular(), Profile::NAMES, 100..106, 600, 20);
}

#[test]
fn data_on_a_regular_device() {
    run(regular(), Profile::DATA, 200..206, 300, 20);
}

#[test]
fn mixed_on_zones() {
    run(zoned(), Profile::MIXED.for_zones(), 300..312, 300, 20);
}

#[test]
fn data_on_zones() {
    run(zoned(), Profile::DATA.for_zones(), 400..406, 300, 20);
}
