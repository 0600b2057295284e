// SPDX-License-Identifier: GPL-2.0
//! Random histories on volumes of other formats than mkfs's default.

use harness::history::{History, Profile};
use harness::random::Random;
use harness::tools;
use std::ops::Range;

fn run(options: &[&str], profile: Profile, seeds: Range<u64>, steps: u64) {
    let base = [tools::mkfs(512 << 20, options)];
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
        let cut = outcome.cut_power(&mut Random::new(seed), 5);
        cut.unwrap_or_else(|failure| panic!("{history:?}: {failure}"));
    }
}

#[test]
fn small_nodes() {
    run(&["-n", "4096"], Profile::MIXED, 30..33, 400);
}

#[test]
fn holes_with_items() {
    run(&["-O", "^no-holes"], Profile::MIXED, 40..46, 400);
    run(&["-O", "^no-holes"], Profile::DATA, 40..43, 300);
}

#[test]
fn without_extended_references() {
    run(
        &["-O", "^extref,^skinny-metadata,^block-group-tree"],
        Profile::NAMES,
        50..52,
        400,
    );
}

#[test]
fn long_checksums() {
    run(
        &["--csum", "sha256", "-n", "4096"],
        Profile::DATA,
        60..62,
        250,
    );
    run(
        &["--csum", "xxhash", "-m", "single"],
        Profile::MIXED,
        62..64,
        250,
    );
}

#[test]
fn large_nodes() {
    run(&["-n", "65536"], Profile::MIXED, 70..72, 300);
}
