// SPDX-License-Identifier: GPL-2.0
//! Full volumes and chunks that come and go.

use crate::files::{File, Files};
use crate::mounted::{mount, unmount, zoned_image};
use engine::disk::Bytes;
use engine::space::Urgency;
use harness::device::Image;
use harness::mount::Layers;
use harness::random::Random;
use harness::tools;
use kernel::prelude::*;
use std::vec::Vec;

const MIB: u64 = 1 << 20;

/// Creates files until there is no space, and removes them all.
fn fill_and_empty(mounted: &Layers, len: u64, piece: u64) -> usize {
    let files = Files::new(&mounted.txns);
    let mut all: Vec<File> = Vec::new();
    loop {
        // Long names: metadata fills fast.
        let name = format!("{:0>200}", all.len());
        match files.create(&name, len, piece) {
            Ok(file) => all.push(file),
            Err(error) => {
                assert_eq!(error, ENOSPC);
                break;
            }
        }
    }
    mounted.txns.commit().unwrap();
    tools::check(&mounted.device().image()).unwrap();
    for file in &all {
        files.remove(file).unwrap();
    }
    all.len()
}

fn fill_twice(image: Image, len: u64, piece: u64) {
    let mounted = mount(image).unwrap();
    let first = fill_and_empty(&mounted, len, piece);
    mounted.txns.commit().unwrap();
    mounted.txns.maintain().unwrap();
    mounted.txns.commit().unwrap();
    tools::check(&mounted.device().image()).unwrap();
    let second = fill_and_empty(&mounted, len, piece);
    assert!(
        first > 0 && second * 10 >= first * 8,
        "{first} files, then {second}"
    );
    tools::check(&unmount(mounted)).unwrap();
}

/// To make a chunk takes the same however many there are: nobody reads through the device tree.
#[test]
fn a_chunk_is_made_without_a_look_at_the_others() {
    const GIB: u64 = 1 << 30;
    let image = tools::mkfs(1200 * GIB, &["-m", "single", "-n", "4096"]);
    let mounted = mount(image).unwrap();
    let mut promised = Vec::new();
    for _ in 0..1000 {
        promised.push(mounted.txns.reserve_data(Bytes::new(GIB)).unwrap());
    }
    mounted.txns.commit().unwrap();
    mounted.store.shrink();
    let before = mounted.store.counters().reads;
    promised.push(mounted.txns.reserve_data(Bytes::new(GIB)).unwrap());
    let reads = mounted.store.counters().reads - before;
    assert!(reads < 16, "{reads} blocks were read");
    drop(promised);
    unmount(mounted);
}

#[test]
fn metadata_fills_and_empties() {
    fill_twice(tools::mkfs(160 * MIB, &[]), 0, 4096);
}

#[test]
fn data_fills_and_empties() {
    fill_twice(tools::mkfs(1024 * MIB, &[]), 4 * MIB, MIB);
}

#[test]
fn a_zoned_device_fills_and_empties() {
    let image = zoned_image(10, 16 * MIB);
    fill_twice(image, 2 * MIB, MIB);
}

#[test]
fn chunks_are_made_and_removed() {
    let mounted = mount(tools::mkfs(2048 * MIB, &[])).unwrap();
    let files = Files::new(&mounted.txns);
    let all: Vec<File> = (0..120)
        .map(|n| files.create(&format!("f{n}"), 8 * MIB, MIB).unwrap())
        .collect();
    mounted.txns.commit().unwrap();
    tools::check(&mounted.device().image()).unwrap();
    for file in &all {
        files.remove(file).unwrap();
    }
    drop(files);
    mounted.txns.commit().unwrap();
    mounted.txns.maintain().unwrap();
    let image = unmount(mounted);
    tools::check(&image).unwrap();
}

/// Fills the volume and makes room in turns, until it was full a few times; what is left.
fn press(mounted: &Layers, files: &Files<'_>, task: u64) -> Vec<File> {
    let mut random = Random::new(task);
    let mut mine: Vec<File> = Vec::new();
    let mut full = 0;
    for n in 0.. {
        let len = *random.choose(&[0, 0, 4096, 65536, MIB]);
        match files.create(&format!("{task}-{n:0>120}"), len, 256 << 10) {
            Ok(file) => mine.push(file),
            Err(error) => {
                assert_eq!(error, ENOSPC);
                full += 1;
                for _ in 0..mine.len().min(20) {
                    let at = random.below(mine.len() as u64) as usize;
                    let file = mine.swap_remove(at);
                    files
                        .remove(&file)
                        .expect("removing works on a full volume");
                }
            }
        }
        if full > 4 {
            break;
        }
        if random.one_in(300) {
            mounted.txns.commit().unwrap();
        }
    }
    mine
}

fn many_tasks_on_a_full_volume(image: Image) {
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    let kept: Vec<File> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|task| {
                let (files, mounted) = (&files, &mounted);
                scope.spawn(move || press(mounted, files, task))
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    mounted.txns.commit().unwrap();
    tools::check(&mounted.device().image()).unwrap();
    for file in &kept {
        files.remove(file).unwrap();
    }
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}

#[test]
fn many_tasks_fill_a_regular_device() {
    many_tasks_on_a_full_volume(tools::mkfs(160 * MIB, &[]));
    many_tasks_on_a_full_volume(tools::mkfs(300 * MIB, &["-n", "4096", "-m", "single"]));
}

#[test]
fn many_tasks_fill_a_zoned_device() {
    many_tasks_on_a_full_volume(zoned_image(8, 16 * MIB));
}

/// Each reservation that is refused empties zones, which all tasks choose at once.
#[test]
fn many_tasks_fill_small_zones() {
    for options in [&["-m", "single"][..], &["-m", "single", "-n", "4096"], &[]] {
        let layout = tools::zone_layout(4 * MIB);
        many_tasks_on_a_full_volume(tools::mkfs_zoned(24, options, layout));
    }
}

/// However much metadata there is: a chunk that is made because little is free is not given up because that much is enough.
#[test]
fn an_idle_volume_stays_as_it_is() {
    idle_stays(tools::mkfs(128 * MIB, &["-m", "single", "-n", "4096"]));
    // Of these zones a part is never used.
    idle_stays(zoned_image(24, 16 * MIB));
}

fn idle_stays(image: Image) {
    let mounted = mount(image).unwrap();
    let round = || {
        mounted.txns.maintain().unwrap();
        mounted.txns.commit().unwrap();
        mounted.txns.committed()
    };
    for step in 0..12 {
        let files = Files::new(&mounted.txns);
        for number in 0..250 {
            let name = format!("{step}-{number:0>200}");
            files.create(&name, 0, 4096).unwrap();
        }
        drop(files);
        for _ in 0..3 {
            round();
        }
        let settled = round();
        for _ in 0..4 {
            assert_eq!(round(), settled, "after {step} steps");
        }
    }
    tools::check(&unmount(mounted)).unwrap();
}

/// While the zones of a group are reset nothing can be allocated there: what was promised must not lie in it.
#[test]
fn zones_that_were_promised_are_not_reset() {
    let mounted = mount(zoned_image(16, 4 * MIB)).unwrap();
    let files = Files::new(&mounted.txns);
    let file = files.create("dead", 3 * MIB, MIB).unwrap();
    mounted.txns.commit().unwrap();
    let mut promised = Vec::new();
    for bytes in [MIB, 4096] {
        while let Ok(more) = mounted.txns.reserve_data(Bytes::new(bytes)) {
            promised.push(more);
        }
    }
    // What is kept back to move data may be lent for a reset.
    while let Ok(more) = (mounted.txns).reserve_data_now(Bytes::new(4096), Urgency::Freeing) {
        promised.push(more);
    }
    files.remove(&file).unwrap();
    let unusable = || mounted.txns.space().statistics().data.unusable;
    mounted.txns.commit().unwrap();
    let dead = unusable();
    promised.clear();
    files.create("name", 0, MIB).unwrap();
    mounted.txns.commit().unwrap();
    assert_eq!(
        dead.get() - unusable().get(),
        3 * MIB,
        "when it was promised no more"
    );
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}
