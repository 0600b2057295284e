// SPDX-License-Identifier: GPL-2.0
//! Blocks that several trees share: references by parent, counts above one, full backrefs.

use crate::files::{File, Files};
use crate::mounted::{mount, unmount};
use engine::disk::ObjectId;
use harness::mount::Layers;
use harness::random::Random;
use harness::tools;
use kernel::prelude::ENOSPC;

const MIB: u64 = 1 << 20;

/// Changes a subvolume at random.
fn change(files: &Files<'_>, mine: &mut Vec<File>, random: &mut Random, name: &str, steps: u64) {
    for step in 0..steps {
        if random.below(3) == 0 || mine.is_empty() {
            let name = format!("{name}-{step}");
            mine.push(files.create(&name, 4096 * random.below(6), 8192).unwrap());
        } else {
            let at = random.below(mine.len() as u64) as usize;
            files.remove(&mine.swap_remove(at)).unwrap();
        }
    }
}

/// Snapshots of snapshots, changed in turns and emptied in the end.
fn snapshots(node_size: &str, seed: u64) {
    let mut random = Random::new(seed);
    let mounted = mount(tools::mkfs(512 * MIB, &["-n", node_size])).unwrap();
    let txns = &mounted.txns;
    let mut trees: Vec<(Files<'_>, Vec<File>)> = vec![(Files::new(txns), Vec::new())];
    for n in 0..200 {
        let file = trees[0]
            .0
            .create(&format!("first{n}"), 12288, 4096)
            .unwrap();
        trees[0].1.push(file);
    }
    for round in 0..8 {
        if round < 5 {
            let from = random.below(trees.len() as u64) as usize;
            let id = ObjectId::new(256 + round);
            trees[from]
                .0
                .snapshot(id, &format!("snapshot{round}"))
                .unwrap();
            txns.commit().unwrap();
            // What is in the directory of a snapshot of a snapshot does not concern files.
            let files = trees[from].1.clone();
            trees.push((Files::of(txns, id), files));
        }
        for (n, (files, mine)) in trees.iter_mut().enumerate() {
            change(
                files,
                mine,
                &mut random,
                &format!("round{round}tree{n}"),
                25,
            );
            if random.one_in(3) {
                txns.commit().unwrap();
            }
        }
        txns.commit().unwrap();
        tools::check(&mounted.device().image()).unwrap();
    }
    for (files, mine) in &trees {
        for file in mine {
            assert!(files.has(file));
            files.remove(file).unwrap();
        }
    }
    drop(trees);
    tools::check(&unmount(mounted)).unwrap();
}

#[test]
fn snapshots_share_and_part() {
    snapshots("16384", 1);
}

#[test]
fn snapshots_of_deep_trees() {
    for seed in 2..6 {
        snapshots("4096", seed);
    }
}

/// What is left in use of metadata.
fn metadata_used(mounted: &Layers) -> u64 {
    mounted.txns.space().statistics().metadata.used.get()
}

/// Commits fill zones that are emptied again, while a few names come and go in a tree of which a snapshot has all
/// blocks. Only what the names change is parted.
#[test]
fn emptying_zones_does_not_part_what_a_snapshot_shares() {
    let layout = tools::zone_layout(4 * MIB);
    let image = tools::mkfs_zoned(40, &["-m", "single"], layout);
    let mounted = mount(image).unwrap();
    let txns = &mounted.txns;
    let files = Files::new(txns);
    for n in 0..4000 {
        // Long names: few to a leaf.
        files.create(&format!("{n:0>200}"), 0, 4096).unwrap();
        if n % 40 == 0 {
            txns.commit().unwrap();
        }
    }
    files.snapshot(ObjectId::new(256), "snapshot").unwrap();
    txns.commit().unwrap();
    let before = metadata_used(&mounted);
    for n in 0..1000 {
        let file = files.create(&format!("churn{n}"), 0, 4096).unwrap();
        txns.commit().unwrap();
        files.remove(&file).unwrap();
        txns.commit().unwrap();
        txns.maintain().unwrap();
    }
    let after = metadata_used(&mounted);
    assert!(txns.counters().groups_emptied > 0);
    assert!(after < before + before / 2, "{before} bytes became {after}");
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}

/// A snapshot holds blocks in most zones of a full volume: names can be removed, and it is not full too early.
#[test]
fn a_zoned_volume_with_a_snapshot_fills_and_empties() {
    let layout = tools::zone_layout(4 * MIB);
    let image = tools::mkfs_zoned(20, &["-m", "single"], layout);
    let mounted = mount(image).unwrap();
    let txns = &mounted.txns;
    let files = Files::new(txns);
    let mut random = Random::new(3);
    let mut mine = Vec::new();
    let (mut snapshot, mut refused) = (false, 0);
    for n in 0.. {
        match files.create(&format!("{n:0>200}"), 0, 4096) {
            Ok(file) => mine.push(file),
            Err(error) => {
                assert_eq!(error, ENOSPC);
                refused += 1;
                for _ in 0..3 {
                    let at = random.below(mine.len() as u64) as usize;
                    files.remove(&mine.swap_remove(at)).unwrap();
                }
                if refused > 40 {
                    break;
                }
            }
        }
        if n % 40 == 0 {
            txns.commit().unwrap();
        }
        if !snapshot && metadata_used(&mounted) > 4 * MIB {
            files.snapshot(ObjectId::new(256), "snapshot").unwrap();
            txns.commit().unwrap();
            snapshot = true;
        }
    }
    assert!(snapshot);
    while !mine.is_empty() {
        let at = random.below(mine.len() as u64) as usize;
        files.remove(&mine.swap_remove(at)).unwrap();
        if random.one_in(3) {
            txns.commit().unwrap();
        }
    }
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}
