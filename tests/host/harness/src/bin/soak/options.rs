// SPDX-License-Identifier: GPL-2.0
//! What is asked for on the command line.

use crate::job::{Job, Work};
use clap::Parser;
use harness::kinds::DeviceKind;

/// The seeds of histories with power cuts are away from the others'.
const FIRST_CUT_SEED: u64 = 1_000_000;

/// Many random histories on every kind of device, and power cuts in every write of some.
#[derive(Parser)]
pub(crate) struct Options {
    /// The kind of device; all of them if it is not said
    #[arg(long, value_parser = kind)]
    kind: Option<DeviceKind>,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Histories on each kind of device
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    histories: u64,
    /// Histories, on all kinds together, whose every write meets a power cut
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    cut_histories: u64,
    /// This history alone
    #[arg(
        long,
        value_name = "SEED",
        requires = "kind",
        conflicts_with = "cut_history"
    )]
    history: Option<u64>,
    /// This one alone, with power cuts
    #[arg(long, value_name = "SEED", requires = "kind")]
    cut_history: Option<u64>,
    /// The only write of it that meets one
    #[arg(long, requires = "cut_history")]
    event: Option<usize>,
}

impl Options {
    /// All that is to do, the long ones first.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let all = DeviceKind::ALL;
        let kinds = self.kind.as_ref().map_or(&all[..], std::slice::from_ref);
        if let Some((seed, work)) = self.alone() {
            let job = |&kind| Job { kind, seed, work };
            return kinds.iter().map(job).collect();
        }
        let count = kinds.len() as u64;
        let cut = (0..self.cut_histories).map(|number| Job {
            kind: kinds[(number % count) as usize],
            seed: FIRST_CUT_SEED + self.from + number / count,
            work: Work::CutEveryWrite(None),
        });
        let checked = (0..self.histories).flat_map(|number| {
            kinds.iter().map(move |&kind| Job {
                kind,
                seed: self.from + number,
                work: Work::Check,
            })
        });
        cut.chain(checked).collect()
    }

    /// The one history that was asked for.
    fn alone(&self) -> Option<(u64, Work)> {
        let checked = self.history.map(|seed| (seed, Work::Check));
        let cut = |seed| (seed, Work::CutEveryWrite(self.event));
        checked.or(self.cut_history.map(cut))
    }
}

fn kind(name: &str) -> Result<DeviceKind, String> {
    let known = || DeviceKind::ALL.map(DeviceKind::name).join(", ");
    DeviceKind::named(name).ok_or_else(|| format!("no such kind; there are {}", known()))
}
