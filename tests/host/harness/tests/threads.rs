// SPDX-License-Identifier: GPL-2.0
//! Several users at once, and commits under way all the time: nobody waits for ever, nobody sees another's files, and a
//! power cut leaves each of them a state that was.

use engine::disk::Bytes;
use engine::fs::Moved;
use engine::space::Reclaim;
use engine::txn::Counters;
use harness::device::{Image, Recorder, User};
use harness::history::{
    settle, survey_below, Driver, Generator, Model, Op, Profile, Snapshot, Snapshots,
};
use harness::mount::{Access, Mounted};
use harness::random::{self, Random};
use harness::tools;
use kernel::error::code::ENOSPC;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

const USERS: User = 4;
/// A deadlock cannot be caught; this ends it.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often a user asks again for what was refused for want of space.
const ASKS: u32 = 100;

/// What a user did.
struct Work {
    states: Vec<Model>,
    ops: Vec<Op>,
    root: engine::disk::ObjectId,
}

impl Work {
    /// Whether this is a state in the middle of a step that goes in pieces: others commit at any time.
    fn was_between(&self, found: &Snapshot, steps: std::ops::RangeInclusive<u64>) -> bool {
        let mut steps = (*steps.start() + 1..=*steps.end()).map(|step| step as usize);
        steps.any(|step| {
            settle(
                found,
                &self.states[step - 1],
                &self.states[step],
                &self.ops[step - 1],
            )
            .is_ok()
        })
    }
}

fn profile(user: User, base: Profile) -> Profile {
    let mix = if user % 2 == 0 {
        Profile::MIXED
    } else {
        Profile::NAMES
    };
    Profile {
        remounts: 0,
        syncs: 40,
        preallocation: base.preallocation,
        ..mix
    }
}

fn work(driver: Driver, recorder: &Recorder, seed: u64, profile: Profile, steps: u64) -> Work {
    let mut driver = driver;
    let root = driver.root();
    let mut model = Model::default();
    let mut generator = Generator::new(seed, profile);
    let (mut states, mut ops) = (vec![model.clone()], Vec::new());
    for step in 1..=steps {
        let op = generator.next(&model);
        recorder.begin(step);
        let wanted = model.apply(&op);
        states.push(model.clone());
        let mut done = driver.apply(&op, model.now());
        // Where all zones are in use others may have to go on first: who writes asks again, as at the kernel's edge.
        for _ in 0..ASKS {
            if done != Err(ENOSPC) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
            done = driver.apply(&op, model.now());
        }
        assert_eq!(done, wanted, "seed {seed} step {step} {op:?}");
        assert_eq!(latch::lockdep::held(), 0, "seed {seed} step {step} {op:?}");
        if op == Op::Sync {
            recorder.promise(step);
        }
        ops.push(op);
    }
    Work { states, ops, root }
}

/// Commits, tidies and drops caches until told to stop.
fn disturb(mounted: &Mounted, stop: &AtomicBool) {
    let mut random = Random::new(1);
    while !stop.load(Ordering::Relaxed) {
        match random.below(6) {
            0 => mounted.txns.commit().expect("commit"),
            1 => mounted.txns.commit_if_older(0, &|| ()).expect("commit"),
            2 => mounted.txns.maintain().expect("maintain"),
            3 => drop(mounted.txns.space().forget(8)),
            4 => {
                let relocation = mounted.fs.relocation();
                let done = relocation.go_on(Reclaim::Now, &|| true);
                done.expect("relocation");
            }
            _ => mounted.store.shrink(),
        }
        std::thread::sleep(Duration::from_millis(random.below(8)));
    }
}

fn watch(done: &Arc<AtomicBool>) {
    let done = done.clone();
    std::thread::spawn(move || {
        let begun = std::time::Instant::now();
        while !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(200));
            if begun.elapsed() > PATIENCE {
                eprintln!("the users do not come to an end");
                std::process::abort();
            }
        }
    });
}

/// What commits cost in it, and what data was moved.
fn run(base: Image, seed: u64, kind: Profile, steps: u64, cuts: u64) -> (Counters, Moved) {
    let mounted = Arc::new(Mounted::mount(vec![base], Access::ReadWrite).unwrap());
    let name = |user: User| format!("user {user}").into_bytes();
    let drivers: Vec<Driver> = (0..USERS)
        .map(|user| Driver::start_below(&mounted, &name(user)).unwrap())
        .collect();
    mounted.txns.commit().unwrap();
    let base = mounted.images();
    let recorder = Recorder::default();
    mounted.devices[0].record(&recorder, 0);
    let done = Arc::new(AtomicBool::new(false));
    watch(&done);
    let stop = AtomicBool::new(false);
    let works: Vec<Work> = std::thread::scope(|scope| {
        let disturber = scope.spawn(|| disturb(&mounted, &stop));
        let workers: Vec<_> = drivers
            .into_iter()
            .enumerate()
            .map(|(user, driver)| {
                let recorder = recorder.for_user(user);
                let profile = profile(user, kind);
                scope.spawn(move || {
                    work(driver, &recorder, seed * 100 + user as u64, profile, steps)
                })
            })
            .collect();
        let works: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        stop.store(true, Ordering::Relaxed);
        disturber.join().expect("the disturber");
        works
            .into_iter()
            .map(|work| work.expect("a user"))
            .collect()
    });
    done.store(true, Ordering::Relaxed);
    for work in &works {
        let last = work.states.len() as u64 - 1;
        let found = survey_below(&mounted, work.root).unwrap();
        Snapshots::new(&work.states)
            .find(&found, last..=last)
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
    assert_eq!(mounted.violations(), Vec::<String>::new());
    let counters = (mounted.txns.counters(), mounted.fs.relocation().moved());
    let mounted = Arc::try_unwrap(mounted).ok().expect("the only user");
    let images = mounted.unmount().unwrap();
    tools::check_with(&images[0], &["--check-data-csum"])
        .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    cut_power(&base, &recorder, &works, seed, cuts);
    counters
}

fn cut_power(base: &[Image], recorder: &Recorder, works: &[Work], seed: u64, cuts: u64) {
    let mut random = Random::new(seed);
    let mut replay = recorder.replay(base.to_vec());
    let total = replay.len() as u64;
    let mut snapshots: Vec<Snapshots<'_>> = works
        .iter()
        .map(|work| Snapshots::new(&work.states))
        .collect();
    loop {
        if replay.is_before_change() && random.below(total) < cuts {
            let images = replay.power_cut(&mut random);
            let at = format!("seed {seed} event {} of {total}", replay.position());
            if random.one_in(4) {
                tools::check(&images[0]).unwrap_or_else(|e| panic!("{at}: {e}"));
            }
            let mounted = Mounted::mount(images, Access::ReadWrite)
                .unwrap_or_else(|e| panic!("{at}: mount {e:?}"));
            for (user, work) in works.iter().enumerate() {
                let found = survey_below(&mounted, work.root)
                    .unwrap_or_else(|e| panic!("{at}: survey {e:?}"));
                let steps = replay.promised_by(user)..=replay.begun_by(user);
                if let Err(failure) = snapshots[user].find(&found, steps.clone()) {
                    assert!(
                        work.was_between(&found, steps),
                        "{at} user {user}: {failure}"
                    );
                }
            }
        }
        if !replay.step() {
            return;
        }
    }
}

#[test]
fn on_a_regular_device() {
    let image = tools::mkfs(512 << 20, &[]);
    for seed in random::seeds(0..3) {
        run(image.clone(), seed, Profile::MIXED, 150, 12);
    }
}

#[test]
fn on_small_nodes() {
    let image = tools::mkfs(512 << 20, &["-n", "4096", "-m", "single"]);
    for seed in random::seeds(10..13) {
        run(image.clone(), seed, Profile::MIXED, 150, 12);
    }
}

#[test]
fn on_zones() {
    let image = tools::mkfs_zoned(32, &[], tools::zone_layout(16 << 20));
    for seed in random::seeds(20..23) {
        run(image.clone(), seed, Profile::MIXED.for_zones(), 150, 12);
    }
}

/// Zones of 320 blocks fill in some thirty commits.
#[test]
fn on_zones_that_must_be_emptied() {
    let image = tools::mkfs_zoned(28, &[], tools::zone_layout(5 << 20));
    let profile = Profile::MIXED.for_zones();
    let (mut emptied, mut moved) = (0, Bytes::ZERO);
    for seed in random::seeds(30..33) {
        let (counters, data) = run(image.clone(), seed, profile, 700, 30);
        emptied += counters.groups_emptied;
        moved = moved.saturating_add(data.bytes);
    }
    assert!(emptied > 0 && !moved.is_zero(), "{emptied} {moved:?}");
}
