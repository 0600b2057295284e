// SPDX-License-Identifier: GPL-2.0
//! Runs histories: engine and model side by side, and the engine again after power cuts.

use super::driver::Driver;
use super::generator::{Generator, Profile};
use super::model::Model;
use super::op::{Id, Op};
use super::snapshot::Snapshot;
use super::survey::survey;
use crate::device::{Image, Recorder};
use crate::mount::{Access, Mounted};
use crate::tools;
use kernel::prelude::Error;
use kernel::print::Capture;
use std::collections::BTreeMap;

/// A history to run.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// Which one.
    pub seed: u64,
    /// What it is made of.
    pub profile: Profile,
    /// How many steps it has.
    pub steps: u64,
}

/// What a history left behind.
pub struct Outcome {
    /// The history.
    pub history: History,
    /// What the devices held before.
    pub base: Vec<Image>,
    /// All that the devices saw.
    pub recorder: Recorder,
    /// The model before each step, and at the end.
    pub states: Vec<Model>,
    /// What the devices hold after the unmount.
    pub images: Vec<Image>,
}

/// What went wrong, and in which step.
pub type Failure = String;

impl History {
    /// One of mixed operations.
    pub const fn mixed(seed: u64, steps: u64) -> Self {
        let profile = Profile::MIXED;
        Self {
            seed,
            profile,
            steps,
        }
    }

    /// The steps.
    pub fn steps(&self) -> Vec<Op> {
        let mut model = Model::default();
        let mut generator = Generator::new(self.seed, self.profile);
        let step = |_| {
            let op = generator.next(&model);
            let _ = model.apply(&op);
            op
        };
        (0..self.steps).map(step).collect()
    }

    /// The files that the steps make, after a remount.
    pub fn model(&self) -> Model {
        let mut model = Model::default();
        for op in self.steps() {
            let _ = model.apply(&op);
        }
        let _ = model.apply(&Op::Remount);
        model
    }

    /// Runs the history on the file system in `base`; see [`Self::run_steps`].
    pub fn run(&self, base: &[Image]) -> Result<Outcome, Failure> {
        self.run_steps(base, &self.steps())
    }

    /// Runs these steps of the history on the file system in `base`. Every step must end as in the model, and the files at the end
    /// and after each remount must be the model's. `Err` tells the step and what was logged in it.
    pub fn run_steps(&self, base: &[Image], steps: &[Op]) -> Result<Outcome, Failure> {
        let log = Capture::new();
        let at = |step: u64, op: &str, what: String| {
            format!(
                "{self:?} step {step} {op}: {what}\n{}",
                log.lines().join("\n")
            )
        };
        let mounted = Mounted::mount(base.to_vec(), Access::ReadWrite)
            .map_err(|e| at(0, "mount", format!("{e:?}")))?;
        let mut driver = Driver::start(mounted).map_err(|e| at(0, "start", format!("{e:?}")))?;
        let base = driver.mounted().images();
        let recorder = Recorder::default();
        for (index, device) in driver.mounted().devices.iter().enumerate() {
            device.record(&recorder, index);
        }
        let mut model = Model::default();
        let mut states = vec![model.clone()];
        for (step, op) in (1..).zip(steps) {
            recorder.begin(step);
            let wanted = model.apply(op);
            states.push(model.clone());
            let done = driver.apply(op, model.now());
            let name = format!("{op:?}");
            compare_results(done, wanted).map_err(|what| at(step, &name, what))?;
            if let Some(leak) = leftovers(&driver) {
                return Err(at(step, &name, leak));
            }
            match op {
                Op::Sync => recorder.promise(step),
                Op::Fsync { id } => recorder.promise(last_change(&states, *id)),
                Op::Remount => {
                    recorder.promise(step);
                    compare_files(driver.mounted(), &model)
                        .map_err(|what| at(step, &name, what))?;
                }
                _ => {}
            }
        }
        let end = steps.len() as u64;
        compare_files(driver.mounted(), &model).map_err(|what| at(end, "end", what))?;
        let mounted = driver.finish();
        let devices = mounted.devices.clone();
        let images = mounted
            .unmount()
            .map_err(|e| at(end, "unmount", format!("{e:?}")))?;
        let violations: Vec<String> = devices
            .iter()
            .flat_map(|device| device.violations())
            .collect();
        if !violations.is_empty() {
            return Err(at(end, "devices", violations.join("\n")));
        }
        Ok(Outcome {
            history: *self,
            base,
            recorder,
            states,
            images,
        })
    }
}

/// The step that changed a file last: an fsync promises no more than that, and nothing of what came later.
fn last_change(states: &[Model], id: Id) -> u64 {
    let unchanged = |pair: &&[Model]| pair[0].same_file(&pair[1], id);
    let since = states
        .windows(2)
        .rev()
        .take_while(|pair| unchanged(pair))
        .count();
    (states.len() - 1 - since) as u64
}

/// A step did what the model did.
pub(super) fn compare_results(
    done: Result<(), Error>,
    wanted: Result<(), Error>,
) -> Result<(), Failure> {
    if done == wanted {
        return Ok(());
    }
    Err(format!("ended with {done:?} instead of {wanted:?}"))
}

/// What a step must not leave behind.
fn leftovers(driver: &Driver) -> Option<Failure> {
    if let Some(error) = driver.mounted().txns.is_aborted() {
        return Some(format!("the transaction was aborted with {error:?}"));
    }
    match latch::lockdep::held() {
        0 => None,
        held => Some(format!("{held} locks are still held")),
    }
}

/// What users see is what the model has.
pub fn compare_files(mounted: &Mounted, model: &Model) -> Result<(), Failure> {
    let found = survey(mounted).map_err(|error| format!("survey: {error:?}"))?;
    let differences = found.compare(&model.snapshot());
    match differences.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "engine and model differ:\n{}",
            differences.join("\n")
        )),
    }
}

impl Outcome {
    /// Lets `btrfs check` judge what is left at the end, data checksums included.
    pub fn check(&self) -> Result<(), Failure> {
        self.images
            .iter()
            .try_for_each(|image| tools::check_with(image, &["--check-data-csum"]).map(|_| ()))
    }
}

/// The states of a history as users see them, made when asked for.
pub struct Snapshots<'a> {
    states: &'a [Model],
    made: BTreeMap<u64, Snapshot>,
}

impl<'a> Snapshots<'a> {
    /// Those of these states, the one before the first step at 0.
    pub fn new(states: &'a [Model]) -> Self {
        Self {
            states,
            made: BTreeMap::new(),
        }
    }

    /// Open files without a name are gone after a power cut.
    fn get(&mut self, step: u64) -> &Snapshot {
        let states = self.states;
        self.made
            .entry(step)
            .or_insert_with(|| states[step as usize].snapshot())
    }

    /// The step among `steps` whose state this is.
    pub fn find(
        &mut self,
        found: &Snapshot,
        steps: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, Failure> {
        let (first, last) = (*steps.start(), *steps.end());
        if let Some(step) = steps.rev().find(|step| self.get(*step) == found) {
            return Ok(step);
        }
        let oldest = found.compare(self.get(first)).join("\n");
        let newest = found.compare(self.get(last)).join("\n");
        Err(format!(
            "this state never was. Against step {first}:\n{oldest}\nAgainst step {last}:\n{newest}"
        ))
    }
}
