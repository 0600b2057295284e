// SPDX-License-Identifier: GPL-2.0
//! A free space tree that is not valid is made anew by a mount that writes, whatever it says. `btrfs check` compares it with
//! the extent tree.

use crate::conversion::{features, made_wrong, used};
use crate::files::{File, Files};
use crate::mounted::{mount, mount_with, unmount, zoned_image};
use engine::disk::{CompatRo, Logical};
use engine::txn::{Access, Options};
use harness::device::{Fate, Image, Recorder};
use harness::mount::{devices, Layers};
use harness::random::Random;
use harness::tools;
use kernel::prelude::ENOSPC;
use kernel::print::Capture;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const VALID: u64 = CompatRo::FREE_SPACE_TREE_VALID.get();

fn is_valid(image: &Image) -> bool {
    features(image) & VALID != 0
}

/// A volume with files, every second of them removed again; its free space tree lacks some of what it should have, says
/// something else of the rest, and is not valid.
fn stale(image: Image) -> (Image, Vec<File>) {
    let (mut image, kept) = used(image);
    tools::edit_superblock(&mut image, |raw| {
        let features = raw.compat_ro_flags.get();
        raw.compat_ro_flags.set(features & !VALID);
    });
    (image, kept)
}

/// A volume whose free space tree is marked as stale and does not fit.
fn stale_and_wrong(image: Image) -> (Image, Vec<File>) {
    let (image, kept) = stale(image);
    // Nothing of it is looked at, so that it can be changed as any tree.
    let mut valid = image.clone();
    tools::edit_superblock(&mut valid, |raw| {
        raw.compat_ro_flags.set(raw.compat_ro_flags.get() | VALID)
    });
    let mut image = made_wrong(valid);
    tools::edit_superblock(&mut image, |raw| {
        raw.compat_ro_flags.set(raw.compat_ro_flags.get() & !VALID)
    });
    (image, kept)
}

fn is_made_anew(image: Image) {
    let (image, kept) = stale(image);
    // Read-only it is left alone.
    let mounted = mount_with(image.clone(), Options::new(Access::ReadOnly)).unwrap();
    assert!(unmount(mounted).pages == image.pages);
    let log = Capture::new();
    let mounted = mount(image).unwrap();
    assert!(
        log.contains("rebuilding free space tree"),
        "{:?}",
        log.lines()
    );
    let rebuilt = mounted.device().after_power_cut(&mut Random::new(1));
    assert!(is_valid(&rebuilt));
    tools::check(&rebuilt).unwrap();
    // It is kept up to date from then on.
    let files = Files::new(&mounted.txns);
    kept.iter()
        .step_by(2)
        .for_each(|file| files.remove(file).unwrap());
    files.create("another", 3 * MIB, MIB).unwrap();
    drop(files);
    let image = unmount(mounted);
    tools::check(&image).unwrap();
    let log = Capture::new();
    tools::check(&unmount(mount(image).unwrap())).unwrap();
    assert_eq!(log.lines(), Vec::<String>::new());
}

#[test]
fn a_stale_free_space_tree_is_made_anew() {
    is_made_anew(tools::mkfs(256 * MIB, &[]));
    is_made_anew(tools::mkfs(
        256 * MIB,
        &["-n", "4096", "-m", "single", "-O", "^block-group-tree"],
    ));
}

#[test]
fn a_stale_free_space_tree_on_zones_is_made_anew() {
    is_made_anew(zoned_image(12, 64 * MIB));
}

#[test]
fn what_a_stale_free_space_tree_says_does_not_matter() {
    let (image, kept) = stale_and_wrong(tools::mkfs(256 * MIB, &[]));
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    assert!(kept.iter().all(|file| files.has(file)));
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}

/// A volume that is full of data and of metadata, with a free space tree that is not valid; what takes no space but names, and
/// what takes the data.
fn full(image: Image, options: Options) -> (Layers, Vec<File>, Vec<File>) {
    let mounted = mount_with(image, options).unwrap();
    let files = Files::new(&mounted.txns);
    let fill = |name: &str, len| {
        let make = |number| files.create(&format!("{name}{number}"), len, MIB);
        let mut made = Vec::new();
        loop {
            match make(made.len()) {
                Ok(file) => made.push(file),
                Err(error) if error == ENOSPC => return made,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    let data = fill("data", 2 * MIB);
    let names = fill(&"name".repeat(50), 0);
    mounted.txns.commit().unwrap();
    drop(files);
    (mounted, names, data)
}

fn made_stale(mut image: Image) -> Image {
    tools::edit_superblock(&mut image, |raw| {
        raw.compat_ro_flags.set(raw.compat_ro_flags.get() & !VALID)
    });
    image
}

/// A volume that is full of metadata, and whose device has room again for a chunk.
fn crowded(image: Image) -> Image {
    let (mounted, _, data) = full(image, Options::new(Access::ReadWrite));
    let files = Files::new(&mounted.txns);
    data.iter().for_each(|file| files.remove(file).unwrap());
    drop(files);
    mounted.txns.commit().unwrap();
    mounted.txns.maintain().unwrap();
    mounted.txns.commit().unwrap();
    made_stale(unmount(mounted))
}

#[test]
fn a_stale_free_space_tree_of_a_full_volume_is_made_anew() {
    for image in [
        tools::mkfs(128 * MIB, &["-m", "single"]),
        tools::mkfs(256 * MIB, &["-n", "65536", "-m", "single"]),
        zoned_image(24, 16 * MIB),
    ] {
        let (mounted, names, data) = full(image, Options::new(Access::ReadWrite));
        let mounted = mount(made_stale(unmount(mounted))).unwrap();
        let rebuilt = mounted.device().after_power_cut(&mut Random::new(1));
        assert!(is_valid(&rebuilt));
        tools::check(&rebuilt).unwrap();
        let files = Files::new(&mounted.txns);
        let gone = names.iter().chain(&data);
        gone.step_by(7).for_each(|file| files.remove(file).unwrap());
        drop(files);
        tools::check(&unmount(mounted)).unwrap();
    }
}

/// Whichever chunk is made while the tree is emptied and made anew is in it, also where the tree had one at its place.
#[test]
fn chunks_are_made_while_a_free_space_tree_is() {
    let chunks = |layers: &Layers| {
        let mut count = 0;
        let mut from = Logical::new(0);
        while let Some(chunk) = layers.volume.chunk_from(from) {
            from = chunk.logical.checked_add(chunk.len).unwrap();
            count += 1;
        }
        count
    };
    for image in [
        tools::mkfs(256 * MIB, &["-m", "single"]),
        tools::mkfs(256 * MIB, &["-m", "single", "-O", "^block-group-tree"]),
    ] {
        let image = crowded(image);
        let before = chunks(&mount_with(image.clone(), Options::new(Access::ReadOnly)).unwrap());
        let mounted = mount(image).unwrap();
        assert!(chunks(&mounted) > before, "none was made");
        let rebuilt = mounted.device().after_power_cut(&mut Random::new(1));
        assert!(is_valid(&rebuilt));
        tools::check(&rebuilt).unwrap();
        tools::check(&unmount(mounted)).unwrap();
    }
}

/// After a power cut it is either done or begun again.
#[test]
fn the_power_is_cut_while_it_is_made() {
    let (image, _) = stale_and_wrong(tools::mkfs(256 * MIB, &["-m", "single"]));
    cut_everywhere(image);
}

#[test]
fn the_power_is_cut_while_chunks_are_made_too() {
    cut_everywhere(crowded(tools::mkfs(128 * MIB, &["-m", "single"])));
}

fn cut_everywhere(image: Image) {
    let devices = devices(vec![image.clone()]).unwrap();
    let recorder = Recorder::default();
    devices[0].record(&recorder, 0);
    let options = Options::new(Access::ReadWrite);
    drop(harness::mount::Layers::mount(devices, options, Ok).unwrap());
    let mut replay = recorder.replay(vec![image]);
    let (mut random, mut cuts) = (Random::new(3), 0);
    while replay.step() {
        if !replay.is_after_change() {
            continue;
        }
        let cut = replay
            .power_cut_with(*random.choose(&Fate::ALL), &mut random)
            .remove(0);
        if is_valid(&cut) {
            tools::check(&cut).unwrap();
        }
        tools::check(&unmount(mount(cut).unwrap())).unwrap();
        cuts += 1;
    }
    assert!(cuts > 5, "{cuts}");
}
