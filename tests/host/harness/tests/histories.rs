// SPDX-License-Identifier: GPL-2.0
//! Random histories: the engine does what the model does, `btrfs check` finds nothing wrong, and a power cut anywhere
//! leaves a state that was.

use harness::device::zones::ZoneLayout;
use harness::device::Image;
use harness::history::{History, Profile};
use harness::random::{self, Random};
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
    for seed in random::seeds(seeds) {
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

/// Small zones, a few of them conventional, and few that may be active.
fn narrow_zones(conventional: u64, max_active: u32) -> Vec<Image> {
    let layout = tools::zone_layout(4 << 20);
    let layout = ZoneLayout {
        conventional,
        max_active: Some(max_active),
        ..layout
    };
    vec![tools::mkfs_zoned(24, &[], layout)]
}

#[test]
fn few_active_zones() {
    run(
        narrow_zones(0, 8),
        Profile::MIXED.for_zones(),
        500..504,
        300,
        20,
    );
    run(
        narrow_zones(0, 9),
        Profile::DATA.for_zones(),
        510..513,
        200,
        20,
    );
    run(
        narrow_zones(0, 14),
        Profile::DATA.for_zones(),
        520..523,
        200,
        20,
    );
}

#[test]
fn conventional_and_sequential_zones() {
    run(
        narrow_zones(2, 10),
        Profile::MIXED.for_zones(),
        600..603,
        300,
        20,
    );
    run(
        narrow_zones(6, 10),
        Profile::DATA.for_zones(),
        610..612,
        200,
        20,
    );
}

#[test]
fn other_formats() {
    let formats: [&[&str]; 6] = [
        &["-n", "4096", "-m", "single"],
        &["-n", "65536", "--csum", "xxhash"],
        &["-O", "^no-holes,^block-group-tree"],
        &["-O", "^free-space-tree,^block-group-tree"],
        &["-O", "^skinny-metadata,^extref", "--csum", "blake2"],
        &["--csum", "sha256", "-d", "DUP"],
    ];
    for (index, options) in (0..).zip(formats) {
        let base = vec![tools::mkfs(256 << 20, options)];
        run(base, Profile::MIXED, 700 + index..701 + index, 300, 16);
    }
}
