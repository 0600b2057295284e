// SPDX-License-Identifier: GPL-2.0
//! Many tasks, many transactions.

use crate::files::{File, Files};
use crate::mounted::{mount, unmount, zoned_image};
use engine::btree::{Store, WriteMode};
use engine::disk::{Bytes, Logical};
use harness::device::Image;
use harness::mount::Layers;
use harness::random::Random;
use harness::tools;
use std::sync::atomic::{AtomicBool, Ordering};

const MIB: u64 = 1 << 20;

/// Creates, shares, removes and commits at random; the files that are there afterwards.
fn work(files: &Files<'_>, mounted: &Layers, task: u64, steps: u64) -> Vec<File> {
    let mut random = Random::new(task);
    let mut mine: Vec<File> = Vec::new();
    for step in 0..steps {
        let name = format!("task{task}-file{step}");
        let choice = random.below(10);
        if choice < 5 || mine.is_empty() {
            let sectors = random.below(40);
            let piece = 4096 * (1 + random.below(8));
            mine.push(files.create(&name, sectors * 4096, piece).unwrap());
        } else if choice < 7 {
            let from = random.choose(&mine).clone();
            mine.push(files.share(&from, &name).unwrap());
        } else {
            let at = random.below(mine.len() as u64) as usize;
            files.remove(&mine.swap_remove(at)).unwrap();
        }
        if random.one_in(25) {
            mounted.txns.commit().unwrap();
        }
    }
    mine
}

/// Writes dirty blocks at any time and drops clean ones, as memory pressure does, until told to end.
fn press(mounted: &Layers, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let everything = (Logical::new(0), u64::MAX);
        let store = &mounted.store;
        store
            .write(
                everything.0,
                Bytes::new(everything.1),
                WriteMode::Background,
            )
            .unwrap();
        store.shrink();
        mounted.txns.maintain().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn many_tasks(image: Image, tasks: u64, steps: u64) {
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    let done = AtomicBool::new(false);
    let kept: Vec<File> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..tasks)
            .map(|task| {
                let (files, mounted) = (&files, &mounted);
                scope.spawn(move || work(files, mounted, task, steps))
            })
            .collect();
        scope.spawn(|| press(&mounted, &done));
        let kept: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        kept.into_iter().flat_map(|kept| kept.unwrap()).collect()
    });
    drop(files);
    let counters = mounted.txns.counters();
    assert!(counters.commits > 0 && counters.refs_run > 0 && counters.refs_cancelled > 0);
    let image = unmount(mounted);
    tools::check(&image).unwrap();

    // All of it is found again, and goes away again.
    let mounted = mount(image).unwrap();
    let files = Files::new(&mounted.txns);
    for file in &kept {
        assert!(files.has(file));
        files.remove(file).unwrap();
    }
    drop(files);
    let image = unmount(mounted);
    tools::check(&image).unwrap();
}

#[test]
fn one_task() {
    many_tasks(tools::mkfs(256 * MIB, &[]), 1, 60);
}

#[test]
fn many_tasks_on_a_regular_device() {
    many_tasks(tools::mkfs(512 * MIB, &[]), 4, 250);
}

#[test]
fn many_tasks_with_small_nodes() {
    many_tasks(
        tools::mkfs(512 * MIB, &["-n", "4096", "-m", "single"]),
        4,
        250,
    );
}

#[test]
fn without_skinny_metadata_and_block_group_tree() {
    let features = "^skinny-metadata,^block-group-tree,^no-holes";
    many_tasks(tools::mkfs(256 * MIB, &["-O", features]), 2, 100);
}

#[test]
fn other_checksums() {
    many_tasks(tools::mkfs(256 * MIB, &["--csum", "xxhash"]), 1, 60);
}

#[test]
fn many_tasks_on_a_zoned_device() {
    let image = zoned_image(12, 64 * MIB);
    many_tasks(image, 4, 150);
}

/// References in items of their own.
#[test]
fn one_extent_of_many_files() {
    let mounted = mount(tools::mkfs(256 * MIB, &[])).unwrap();
    let files = Files::new(&mounted.txns);
    let mut random = Random::new(3);
    let first = files.create("first", 64 << 10, 64 << 10).unwrap();
    let mut all: Vec<File> = (0..300)
        .map(|n| {
            if n % 70 == 0 {
                mounted.txns.commit().unwrap();
            }
            files.share(&first, &format!("share{n}")).unwrap()
        })
        .collect();
    all.push(first);
    mounted.txns.commit().unwrap();
    tools::check(&mounted.device().image()).unwrap();
    while !all.is_empty() {
        let at = random.below(all.len() as u64) as usize;
        files.remove(&all.swap_remove(at)).unwrap();
        if random.one_in(40) {
            mounted.txns.commit().unwrap();
            tools::check(&mounted.device().image()).unwrap();
        }
    }
    drop(files);
    tools::check(&unmount(mounted)).unwrap();
}

#[test]
fn an_idle_commit_writes_nothing() {
    let mounted = mount(tools::mkfs(256 * MIB, &[])).unwrap();
    let before = mounted.device().image();
    mounted.txns.commit().unwrap();
    drop(mounted.txns.start(engine::txn::Units::inserts(3)).unwrap());
    mounted.txns.commit().unwrap();
    mounted.txns.commit_if_older(0, &|| ()).unwrap();
    assert_eq!(mounted.txns.counters().commits, 0);
    assert!(mounted.device().image().pages == before.pages);
    let committed = mounted.txns.committed();
    let files = Files::new(&mounted.txns);
    files.create("one", 4096, 4096).unwrap();
    mounted.txns.commit_if_older(u64::MAX, &|| ()).unwrap();
    assert_eq!(mounted.txns.committed(), committed);
    mounted.txns.commit_if_older(0, &|| ()).unwrap();
    mounted.txns.commit().unwrap();
    assert_eq!(mounted.txns.committed(), committed.next());
    assert_eq!(mounted.txns.counters().commits, 1);
}

#[test]
#[should_panic(expected = "Transaction taken twice by one task")]
fn a_task_has_one_handle() {
    let mounted = mount(tools::mkfs(256 * MIB, &[])).unwrap();
    let _outer = mounted.txns.start(engine::txn::Units::inserts(3)).unwrap();
    let _inner = mounted.txns.start(engine::txn::Units::inserts(3));
}
