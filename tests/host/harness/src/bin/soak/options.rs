// SPDX-License-Identifier: GPL-2.0
//! What is asked for on the command line.

use crate::job::{Job, Work};
use harness::kinds::DeviceKind;

/// What there is to ask for.
pub const USAGE: &str = "\
usage: soak [--kind KIND] [--from SEED] [--histories N] [--cut-histories N]
       soak --kind KIND --history SEED
       soak --kind KIND --cut-history SEED [--event EVENT]";

/// Histories on each kind of device.
const HISTORIES: u64 = 200;
/// Histories, on all kinds together, whose every write meets a power cut.
const CUT_HISTORIES: u64 = 20;
/// Their seeds are away from the others'.
const FIRST_CUT_SEED: u64 = 1_000_000;

/// What to do.
pub struct Options {
    kinds: Vec<DeviceKind>,
    from: u64,
    histories: u64,
    cut_histories: u64,
    alone: Option<(u64, Work)>,
}

impl Options {
    /// Understands the arguments; `Err` says what is wrong with them.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            kinds: DeviceKind::ALL.to_vec(),
            from: 0,
            histories: HISTORIES,
            cut_histories: CUT_HISTORIES,
            alone: None,
        };
        let mut event = None;
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} what?"))?;
            let number = || {
                let number = value.parse::<u64>();
                number.map_err(|_| format!("{name} {value}: not a number"))
            };
            match &*name {
                "--kind" => options.kinds = vec![kind(&value)?],
                "--from" => options.from = number()?,
                "--histories" => options.histories = number()?,
                "--cut-histories" => options.cut_histories = number()?,
                "--history" => options.alone = Some((number()?, Work::Check)),
                "--cut-history" => options.alone = Some((number()?, Work::CutEveryWrite(None))),
                "--event" => event = Some(number()? as usize),
                _ => return Err(format!("{name}: unknown")),
            }
        }
        match (&mut options.alone, event) {
            (Some((_, Work::CutEveryWrite(only))), event) => *only = event,
            (_, Some(_)) => return Err("--event without --cut-history".into()),
            _ => (),
        }
        match options.alone.is_some() && options.kinds.len() != 1 {
            true => Err("a history alone needs its --kind".into()),
            false => Ok(options),
        }
    }

    /// All that is to do, the long ones first.
    pub fn jobs(&self) -> Vec<Job> {
        if let Some((seed, work)) = self.alone {
            let job = |&kind| Job { kind, seed, work };
            return self.kinds.iter().map(job).collect();
        }
        let kinds = self.kinds.len() as u64;
        let cut = (0..self.cut_histories).map(|number| Job {
            kind: self.kinds[(number % kinds) as usize],
            seed: FIRST_CUT_SEED + self.from + number / kinds,
            work: Work::CutEveryWrite(None),
        });
        let checked = (0..self.histories).flat_map(|number| {
            self.kinds.iter().map(move |&kind| Job {
                kind,
                seed: self.from + number,
                work: Work::Check,
            })
        });
        cut.chain(checked).collect()
    }
}

fn kind(name: &str) -> Result<DeviceKind, String> {
    let known = || DeviceKind::ALL.map(DeviceKind::name).join(", ");
    DeviceKind::named(name).ok_or_else(|| format!("{name}: no such kind; there are {}", known()))
}
