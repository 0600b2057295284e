// SPDX-License-Identifier: GPL-2.0
//! Random histories: the file system must do as the model does.

use crate::player::Player;
use harness::device::Image;
use harness::history::{Generator, Model, Op, Profile};
use harness::tools;

const MIB: u64 = 1 << 20;

/// Plays `steps` of a history; the image at its end has passed the judges.
pub fn play(image: Image, seed: u64, profile: Profile, steps: usize) -> Image {
    let mut player = Player::new(image).unwrap();
    player.inline = seed % 4 != 3;
    let mut model = Model::default();
    let mut generator = Generator::new(seed, profile);
    for step in 0..steps {
        let op = generator.next(&model);
        let expected = model.apply(&op);
        if op == Op::Remount {
            player = player.remount().unwrap();
            player.compare(&model);
            player.tick();
            continue;
        }
        let result = player.apply(&op);
        assert_eq!(result, expected, "seed {seed} step {step}: {op:?}");
        if step % 50 == 49 {
            player.compare(&model);
        }
    }
    player.compare(&model);
    let image = player.unmount();
    tools::check_with(&image, &["--check-data-csum"])
        .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    image
}

#[test]
fn mixed() {
    for seed in 0..4 {
        play(tools::mkfs(512 * MIB, &[]), seed, Profile::MIXED, 400);
    }
}

#[test]
fn names() {
    for seed in 10..13 {
        play(tools::mkfs(512 * MIB, &[]), seed, Profile::NAMES, 600);
    }
}

#[test]
fn data() {
    for seed in 20..23 {
        play(tools::mkfs(512 * MIB, &[]), seed, Profile::DATA, 300);
    }
}

#[test]
fn small_nodes() {
    for seed in 30..32 {
        play(
            tools::mkfs(512 * MIB, &["-n", "4096"]),
            seed,
            Profile::MIXED,
            400,
        );
    }
}

#[test]
fn holes_with_items() {
    for seed in 40..44 {
        play(
            tools::mkfs(512 * MIB, &["-O", "^no-holes"]),
            seed,
            Profile::MIXED,
            400,
        );
    }
}

#[test]
fn other_features() {
    let options: [&[&str]; 3] = [
        &["--csum", "sha256"],
        &["-O", "^extref,^skinny-metadata,^block-group-tree"],
        &["-m", "single", "--csum", "xxhash"],
    ];
    for (options, seed) in options.iter().zip(50..) {
        play(tools::mkfs(512 * MIB, options), seed, Profile::MIXED, 250);
    }
}

#[test]
fn on_a_zoned_device() {
    for seed in 60..62 {
        let options = ["-m", "single", "-d", "single"];
        let image = tools::mkfs_zoned(16, &options, tools::zone_layout(64 * MIB));
        play(image, seed, Profile::MIXED, 300);
    }
}

#[test]
fn what_restore_finds() {
    let image = play(tools::mkfs(512 * MIB, &[]), 70, Profile::MIXED, 300);
    let restored = tools::restore(&image).unwrap();
    let seen = Player::mount(image).unwrap().snapshot().unwrap();
    assert_eq!(
        seen.restorable().compare(&restored.restorable()),
        Vec::<String>::new()
    );
}
