// SPDX-License-Identifier: GPL-2.0
//! Random histories: the engine does what the model does, `btrfs check` finds nothing wrong, and a power cut anywhere
//! leaves a state that was. `make soak` does far more of them.

use engine::disk::{Kind, ObjectId};
use harness::device::Image;
use harness::history::{History, Profile};
use harness::kinds::DeviceKind;
use harness::random::{self, Random};
use harness::walker::walk;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs histories with these seeds and cuts the power in each.
fn run(kind: DeviceKind, variant: u64, profile: Profile, seeds: std::ops::Range<u64>, steps: u64) {
    run_looking(kind, variant, profile, seeds, steps, |_| {});
}

/// The same, with a look at what each history leaves.
fn run_looking(
    kind: DeviceKind,
    variant: u64,
    profile: Profile,
    seeds: std::ops::Range<u64>,
    steps: u64,
    look: impl Fn(&Image) + Sync,
) {
    let base = vec![kind.image(variant)];
    for seed in random::seeds(seeds) {
        let history = History {
            seed,
            profile: kind.profile(profile),
            steps,
        };
        let tested = history.test(|steps| {
            let outcome = history.run_steps(&base, steps)?;
            outcome.check()?;
            look(&outcome.images[0]);
            outcome.cut_power(&mut Random::new(seed), 20).map(drop)
        });
        tested.unwrap_or_else(|failing| panic!("{failing}"));
    }
}

#[test]
fn mixed_on_a_regular_device() {
    run(DeviceKind::Regular, 0, Profile::MIXED, 0..12, 300);
}

#[test]
fn names_on_a_regular_device() {
    run(DeviceKind::Regular, 0, Profile::NAMES, 100..106, 600);
}

#[test]
fn data_on_a_regular_device() {
    run(DeviceKind::Regular, 0, Profile::DATA, 200..206, 300);
}

#[test]
fn mixed_on_zones() {
    run(DeviceKind::Sequential, 0, Profile::MIXED, 300..312, 300);
}

#[test]
fn data_on_zones() {
    run(DeviceKind::Sequential, 0, Profile::DATA, 400..406, 300);
}

#[test]
fn few_active_zones() {
    run(DeviceKind::FewActive, 0, Profile::MIXED, 500..504, 300);
    run(DeviceKind::FewActive, 1, Profile::DATA, 510..513, 200);
    run(DeviceKind::FewActive, 2, Profile::DATA, 520..523, 200);
}

#[test]
fn conventional_and_sequential_zones() {
    let kind = DeviceKind::PartlyConventional;
    run(kind, 0, Profile::MIXED, 600..603, 300);
    run(kind, 1, Profile::DATA, 610..612, 200);
}

#[test]
fn other_formats() {
    let kind = DeviceKind::RegularOtherFormat;
    for variant in 0..kind.variants() {
        let seeds = 700 + variant..701 + variant;
        run(kind, variant, Profile::MIXED, seeds, 300);
    }
}

/// `btrfs check` compares each cache that a superblock has believed.
#[test]
fn free_space_in_caches() {
    let kind = DeviceKind::RegularWithCaches;
    let caches = AtomicUsize::new(0);
    run_looking(kind, 0, Profile::MIXED, 800..804, 300, |image| {
        let walked = walk(image);
        assert!(walked.superblock.has_caches());
        let headers = walked.items(ObjectId::ROOT_TREE, Kind::CACHE_HEADER);
        let headers = headers
            .iter()
            .filter(|(key, _)| key.objectid == ObjectId::FREE_SPACE);
        caches.fetch_add(headers.count(), Ordering::Relaxed);
    });
    assert!(caches.into_inner() >= 4);
}
