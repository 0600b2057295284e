// SPDX-License-Identifier: GPL-2.0
//! What power cuts leave of a history: it mounts, is sound, shows a state that was, and goes on.

use super::driver::Driver;
use super::generator::{Generator, Profile};
use super::model::Model;
use super::run::{compare_results, Failure, Outcome, Snapshots};
use super::survey::{survey, survey_below};
use crate::device::{Fate, Image, Replay};
use crate::mount::{Access, Mounted};
use crate::random::Random;
use crate::tools;
use kernel::prelude::Error;
use kernel::print::Capture;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Steps that a file system makes after each power cut.
const STEPS_AFTER: u64 = 12;

/// Who looks at what a power cut left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judge {
    /// The engine alone.
    Engine,
    /// `btrfs check` as well, before the mount and after the unmount.
    Tools,
}

/// What was done to a history.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cuts {
    /// Writes, discards and zone commands in it.
    pub changes: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Runs of `btrfs check`.
    pub checks: u64,
}

impl Cuts {
    /// The sum.
    pub fn add(&mut self, other: Self) {
        self.changes += other.changes;
        self.cuts += other.cuts;
        self.checks += other.checks;
    }
}

/// What is looked at after a cut, and with whom to compare.
struct Inquest<'a> {
    profile: Profile,
    snapshots: Snapshots<'a>,
}

impl Outcome {
    fn inquest(&self) -> Inquest<'_> {
        Inquest {
            profile: self.history.profile,
            snapshots: Snapshots::new(&self.states),
        }
    }

    /// Cuts the power at about `cuts` of the points where something was at risk, and looks at what is left: it mounts,
    /// and shows a state that the file system was in, not older than what was promised.
    pub fn cut_power(&self, random: &mut Random, cuts: u64) -> Result<(), Failure> {
        let mut replay = self.recorder.replay(self.base.clone());
        let mut inquest = self.inquest();
        let total = (replay.len() as u64).max(1);
        let mut done = 0u64;
        loop {
            if replay.is_before_change() && random.below(total) < cuts {
                let images = replay.power_cut(random);
                let judge = match done % 8 {
                    0 => Judge::Tools,
                    _ => Judge::Engine,
                };
                done += 1;
                inquest
                    .hold(&images, steps(&replay), judge, random)
                    .map_err(|what| explain(&replay, "", what))?;
            }
            if !replay.step() {
                return Ok(());
            }
        }
    }

    /// Cuts the power in every write, or only in the one that is event number `only`, with each [`Fate`] of what is not
    /// durable; `btrfs check` judges every time. `each` hears of every cut.
    pub fn cut_every_write(
        &self,
        only: Option<usize>,
        each: &mut dyn FnMut(),
    ) -> Result<Cuts, Failure> {
        let mut replay = self.recorder.replay(self.base.clone());
        let mut inquest = self.inquest();
        let mut done = Cuts::default();
        while replay.step() {
            if !replay.is_after_change() {
                continue;
            }
            done.changes += 1;
            if only.is_some_and(|only| only != replay.position()) {
                continue;
            }
            for fate in Fate::ALL {
                // Of its own, for a cut alone to be the same as among all others.
                let mut random = Random::new(self.history.seed << 32 | replay.position() as u64);
                let images = replay.power_cut_with(fate, &mut random);
                inquest
                    .hold(&images, steps(&replay), Judge::Tools, &mut random)
                    .map_err(|what| explain(&replay, &format!("{fate:?}, "), what))?;
                done.cuts += 1;
                done.checks += 2;
                each();
            }
        }
        Ok(done)
    }
}

/// The steps whose state may be found after a cut here.
fn steps(replay: &Replay) -> RangeInclusive<u64> {
    replay.promised()..=replay.begun()
}

fn explain(replay: &Replay, fate: &str, what: Failure) -> Failure {
    let (at, total) = (replay.position(), replay.len());
    let (first, last) = steps(replay).into_inner();
    format!("power cut at event {at} of {total}, {fate}steps {first} to {last}: {what}")
}

impl Inquest<'_> {
    fn hold(
        &mut self,
        images: &[Image],
        steps: RangeInclusive<u64>,
        judge: Judge,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let log = Capture::new();
        judge
            .look(images, &[])
            .and_then(|()| self.use_volume(images, steps, random))
            .and_then(|after| judge.look(&after, &["--check-data-csum"]))
            .map_err(|what| format!("{what}\n{}", log.lines().join("\n")))
    }

    /// Mounts, compares, makes a few more steps, and unmounts.
    fn use_volume(
        &mut self,
        images: &[Image],
        steps: RangeInclusive<u64>,
        random: &mut Random,
    ) -> Result<Vec<Image>, Failure> {
        let mounted = Mounted::mount(images.to_vec(), Access::ReadWrite).map_err(at("mount"))?;
        let found = survey(&mounted).map_err(at("survey"))?;
        self.snapshots.find(&found, steps)?;
        let mounted = self.go_on(mounted, random)?;
        let devices = mounted.devices.clone();
        let after = mounted.unmount().map_err(at("unmount"))?;
        let violations: Vec<String> = devices.iter().flat_map(|dev| dev.violations()).collect();
        match violations.is_empty() {
            true => Ok(after),
            false => Err(violations.join("\n")),
        }
    }

    /// A short history in a directory of its own: what is left must take more.
    fn go_on(&self, mounted: Mounted, random: &mut Random) -> Result<Mounted, Failure> {
        let mounted = Arc::new(mounted);
        let mut driver =
            Driver::start_below(&mounted, b"after the cut").map_err(at("mkdir after the cut"))?;
        drop(mounted);
        let profile = Profile {
            max_file: 64 << 10,
            max_write: 16 << 10,
            syncs: 100,
            remounts: 0,
            ..self.profile
        };
        let mut generator = Generator::new(random.next(), profile);
        let mut model = Model::default();
        for _ in 0..STEPS_AFTER {
            let op = generator.next(&model);
            let wanted = model.apply(&op);
            compare_results(driver.apply(&op, model.now()), wanted)
                .map_err(|what| format!("after the cut {op:?}: {what}"))?;
        }
        let found =
            survey_below(driver.mounted(), driver.root()).map_err(at("survey after the cut"))?;
        let differences = found.compare(&model.snapshot());
        match differences.is_empty() {
            true => Ok(driver.finish()),
            false => Err(format!("after the cut:\n{}", differences.join("\n"))),
        }
    }
}

fn at(what: &'static str) -> impl Fn(Error) -> Failure {
    move |error| format!("{what}: {error:?}")
}

impl Judge {
    fn look(self, images: &[Image], options: &[&str]) -> Result<(), Failure> {
        if self == Self::Engine {
            return Ok(());
        }
        images
            .iter()
            .try_for_each(|image| tools::check_with(image, options).map(drop))
    }
}
