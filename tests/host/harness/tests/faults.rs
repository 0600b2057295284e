// SPDX-License-Identifier: GPL-2.0
//! What fails below, fails above, and nothing is lost: memory, devices, space.

use harness::device::faults::{Extent, Request};
use harness::device::Image;
use harness::history::{is_seen, settle, survey, Driver, Generator, Model, Op, Profile};
use harness::mount::{Access, Mounted};
use harness::random::{self, Random};
use harness::{tools, worn};
use kernel::alloc::inject;
use kernel::prelude::{Error, ENOMEM, ENOSPC};
use kernel::print::Capture;

/// A file system under a history, and the state it is in.
struct Run {
    driver: Driver,
    model: Model,
    generator: Generator,
    /// States since the last one that was promised to be durable.
    since_promise: Vec<Model>,
}

impl Run {
    fn start(image: Image, seed: u64, profile: Profile) -> Self {
        let mounted = Mounted::mount(vec![image], Access::ReadWrite).unwrap();
        let driver = Driver::start(mounted).unwrap();
        let model = Model::default();
        Self {
            driver,
            since_promise: vec![model.clone()],
            model,
            generator: Generator::new(seed, profile),
        }
    }

    fn advance(&mut self, op: &Op, state: Model) {
        if matches!(op, Op::Sync | Op::Remount) {
            self.since_promise.clear();
        }
        self.since_promise.push(state.clone());
        self.model = state;
    }

    /// Compares what there is with the states before and after a step that failed.
    fn settle(&mut self, op: &Op, after: &Model) -> Result<(), String> {
        let found = survey(self.driver.mounted()).map_err(|error| format!("survey: {error:?}"))?;
        let state = settle(&found, &self.model, after, op)?;
        self.driver
            .relearn(&state)
            .map_err(|error| format!("lookup: {error:?}"))?;
        self.since_promise.push(state.clone());
        self.model = state;
        Ok(())
    }

    /// The transaction was given up: everything but a remount fails, and then one of the last states is there.
    fn recover(self, op: &Op, after: &Model) -> Result<Image, String> {
        let mounted = self.driver.finish();
        for device in &mounted.devices {
            device.faults(|faults| faults.heal());
        }
        let images = mounted.images();
        let _ = mounted.unmount();
        tools::check(&images[0])?;
        let mounted = Mounted::mount(images, Access::ReadWrite)
            .map_err(|error| format!("mount: {error:?}"))?;
        let found = survey(&mounted).map_err(|error| format!("survey: {error:?}"))?;
        let known = self
            .since_promise
            .iter()
            .chain([after])
            .any(|state| state.snapshot() == found);
        if !known {
            settle(&found, &self.model, after, op)?;
        }
        let images = mounted
            .unmount()
            .map_err(|error| format!("unmount: {error:?}"))?;
        tools::check_with(&images[0], &["--check-data-csum"])?;
        Ok(images[0].clone())
    }
}

fn regular() -> Image {
    tools::mkfs(256 << 20, &[])
}

fn zoned() -> Image {
    tools::mkfs_zoned(24, &[], tools::zone_layout(16 << 20))
}

/// Every step may meet one failing allocation.
fn memory_runs_out(image: Image, seed: u64, profile: Profile, steps: u64) -> Result<u64, String> {
    let mut run = Run::start(image, seed, profile);
    let mut random = Random::new(seed);
    let mut failed = 0;
    for step in 0..steps {
        let op = run.generator.next(&run.model);
        let mut after = run.model.clone();
        let wanted = after.apply(&op);
        let log = Capture::new();
        let inject = (op != Op::Remount && is_seen(&op, &run.model) && random.one_in(2))
            .then(|| inject::fail_nth(random.below(6)));
        let done = run.driver.apply(&op, after.now());
        drop(inject);
        let explain = |what: String| {
            format!(
                "seed {seed} step {step} {op:?}: {what}\n{}",
                log.lines().join("\n")
            )
        };
        assert_eq!(
            latch::lockdep::held(),
            0,
            "{}",
            explain("locks are held".into())
        );
        if let Some(error) = run.driver.mounted().txns.is_aborted() {
            return Err(explain(format!("aborted by {error:?}")));
        }
        match done {
            _ if done == wanted => run.advance(&op, after),
            Err(error) if error == ENOMEM => {
                failed += 1;
                run.settle(&op, &after).map_err(explain)?;
            }
            _ => return Err(explain(format!("{done:?} instead of {wanted:?}"))),
        }
    }
    let images = run
        .driver
        .finish()
        .unmount()
        .map_err(|error| format!("seed {seed} unmount: {error:?}"))?;
    let judged = tools::check_with(&images[0], &["--check-data-csum"]);
    judged
        .map(|_| failed)
        .map_err(|e| format!("seed {seed}: {e}"))
}

#[test]
fn memory_on_a_regular_device() {
    let image = regular();
    let mut failed = 0;
    for seed in random::seeds(0..30) {
        failed += memory_runs_out(image.clone(), seed, Profile::MIXED, 150)
            .unwrap_or_else(|e| panic!("{e}"));
    }
    println!("{failed} steps failed");
    assert!(failed > 30);
}

#[test]
fn memory_on_zones() {
    let image = zoned();
    let mut failed = 0;
    for seed in random::seeds(100..115) {
        let profile = Profile::MIXED.for_zones();
        failed +=
            memory_runs_out(image.clone(), seed, profile, 150).unwrap_or_else(|e| panic!("{e}"));
    }
    println!("{failed} steps failed");
    assert!(failed > 15);
}

/// A group is emptied although every allocation fails that may. What was there is there.
fn empty_without_memory(image: &Image) {
    let mounted = mount(image);
    let before = survey(&mounted).unwrap();
    let failing = inject::fail_randomly(1, 1);
    mounted.txns.maintain().unwrap();
    mounted.txns.commit().unwrap();
    drop(failing);
    assert_eq!(mounted.txns.counters().groups_emptied, 1);
    assert!(survey(&mounted).unwrap() == before);
    assert_eq!(mounted.violations(), Vec::<String>::new());
    tools::check(&mounted.unmount().unwrap()[0]).unwrap();
}

#[test]
fn memory_while_zones_are_emptied() {
    empty_without_memory(&worn::image(&["-m", "single"]));
    empty_without_memory(&worn::image(&["-m", "single", "-n", "4096"]));
}

fn mount(image: &Image) -> Mounted {
    Mounted::mount(vec![image.clone()], Access::ReadWrite).unwrap()
}

/// One request fails somewhere in a history.
fn device_fails(image: Image, seed: u64, profile: Profile, steps: u64) -> Result<(), String> {
    let mut run = Run::start(image, seed, profile);
    let mut random = Random::new(seed);
    let request = *random.choose(&[
        Request::Write,
        Request::Write,
        Request::Flush,
        Request::Read,
        Request::Manage,
    ]);
    let extent = if random.one_in(2) {
        Extent::Once
    } else {
        Extent::FromThen
    };
    let n = random.below(if request == Request::Write { 400 } else { 20 });
    let device = run.driver.mounted().devices[0].clone();
    device.faults(|faults| faults.fail_nth(request, n, extent));
    for step in 0..steps {
        let op = run.generator.next(&run.model);
        let mut after = run.model.clone();
        let wanted = after.apply(&op);
        let log = Capture::new();
        let done = run.driver.apply(&op, after.now());
        let explain = |what: String| {
            format!(
                "seed {seed} step {step} {op:?}: {what}\n{}",
                log.lines().join("\n")
            )
        };
        assert_eq!(
            latch::lockdep::held(),
            0,
            "{}",
            explain("locks are held".into())
        );
        if done != wanted {
            // An unlink, say, does not fail because of another file's data.
            let since_fault = device.faults(|faults| faults.seen(request)) > n;
            if !since_fault {
                return Err(explain(format!("{done:?} instead of {wanted:?}")));
            }
            return run.recover(&op, &after).map(|_| ()).map_err(explain);
        }
        run.advance(&op, after);
    }
    let after = run.model.clone();
    run.recover(&Op::DropCaches, &after).map(|_| ())
}

#[test]
fn requests_on_a_regular_device() {
    let image = regular();
    for seed in random::seeds(0..60) {
        device_fails(image.clone(), seed, Profile::MIXED, 120).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn requests_on_zones() {
    let image = zoned();
    for seed in random::seeds(100..140) {
        device_fails(image.clone(), seed, Profile::MIXED.for_zones(), 120)
            .unwrap_or_else(|e| panic!("{e}"));
    }
}

/// Whether a step gives space back and must not fail for want of it.
fn frees(op: &Op) -> bool {
    matches!(
        op,
        Op::Unlink { .. }
            | Op::Rmdir { .. }
            | Op::Truncate { size: 0, .. }
            | Op::Sync
            | Op::Remount
    )
}

/// The device fills up, again and again.
fn space_runs_out(image: Image, seed: u64, profile: Profile, steps: u64) -> Result<u64, String> {
    let mut run = Run::start(image, seed, profile);
    let mut full = 0;
    for step in 0..steps {
        let op = run.generator.next(&run.model);
        let mut after = run.model.clone();
        let wanted: Result<(), Error> = after.apply(&op);
        let log = Capture::new();
        let done = run.driver.apply(&op, after.now());
        let explain = |what: String| {
            format!(
                "seed {seed} step {step} {op:?}: {what}\n{}",
                log.lines().join("\n")
            )
        };
        if run.driver.mounted().txns.is_aborted().is_some() {
            return Err(explain("the transaction was aborted".into()));
        }
        match done {
            _ if done == wanted => run.advance(&op, after),
            Err(error) if error == ENOSPC && !frees(&op) => {
                full += 1;
                run.settle(&op, &after).map_err(explain)?;
            }
            _ => return Err(explain(format!("{done:?} instead of {wanted:?}"))),
        }
    }
    let images = run
        .driver
        .finish()
        .unmount()
        .map_err(|error| format!("unmount: {error:?}"))?;
    tools::check_with(&images[0], &["--check-data-csum"]).map(|_| full)
}

/// Files that are too many for the device.
const LARGE: Profile = Profile {
    max_file: 8 << 20,
    max_write: 4 << 20,
    files: 24,
    ..Profile::DATA
};

#[test]
fn space_on_a_regular_device() {
    let image = tools::mkfs(128 << 20, &["-m", "single"]);
    let mut full = 0;
    for seed in random::seeds(0..2) {
        let profile = Profile {
            max_file: 24 << 20,
            max_write: 8 << 20,
            files: 60,
            ..LARGE
        };
        full += space_runs_out(image.clone(), seed, profile, 400).unwrap_or_else(|e| panic!("{e}"));
    }
    println!("{full} steps met a full device");
    assert!(full > 3);
}

#[test]
fn space_on_zones() {
    let image = tools::mkfs_zoned(20, &[], tools::zone_layout(4 << 20));
    let mut full = 0;
    for seed in random::seeds(100..104) {
        full += space_runs_out(image.clone(), seed, LARGE.for_zones(), 400)
            .unwrap_or_else(|e| panic!("{e}"));
    }
    println!("{full} steps met a full device");
    assert!(full > 10);
}
