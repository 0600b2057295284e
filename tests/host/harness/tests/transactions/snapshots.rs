// SPDX-License-Identifier: GPL-2.0
//! Blocks that several trees share: references by parent, counts above one, full backrefs.

use crate::files::{File, Files};
use crate::mounted::Mounted;
use engine::disk::ObjectId;
use harness::random::Random;
use harness::tools;

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
    let mounted = Mounted::mount(tools::mkfs(512 * MIB, &["-n", node_size])).unwrap();
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
        tools::check(&mounted.device.image()).unwrap();
    }
    for (files, mine) in &trees {
        for file in mine {
            assert!(files.has(file));
            files.remove(file).unwrap();
        }
    }
    drop(trees);
    tools::check(&mounted.unmount()).unwrap();
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
