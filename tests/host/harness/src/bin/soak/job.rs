// SPDX-License-Identifier: GPL-2.0
//! One history and what is done with it.

use harness::device::Image;
use harness::history::{on_a_thread, Cuts, History, Profile};
use harness::kinds::DeviceKind;
use std::fmt;

/// What is done with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// `btrfs check` looks at its end.
    Check,
    /// The power is cut in every write of it, or only in this event.
    CutEveryWrite(Option<usize>),
}

/// A history on a kind of device. Kind and seed say all about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The kind.
    pub kind: DeviceKind,
    /// The seed.
    pub seed: u64,
    /// What is done with it.
    pub work: Work,
}

/// As arguments of this program.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, seed) = (self.kind.name(), self.seed);
        match self.work {
            Work::Check => write!(f, "--kind {kind} --history {seed}"),
            Work::CutEveryWrite(None) => write!(f, "--kind {kind} --cut-history {seed}"),
            Work::CutEveryWrite(Some(event)) => {
                write!(f, "--kind {kind} --cut-history {seed} --event {event}")
            }
        }
    }
}

const PROFILES: [Profile; 3] = [Profile::MIXED, Profile::DATA, Profile::NAMES];
/// Steps of a history.
const STEPS: u64 = 300;
/// Of 1000 steps, how many are a sync where writes meet power cuts: most of what can go wrong goes wrong in one.
const SYNCS: u64 = 90;

impl Job {
    /// An empty file system. Seeds go through the variants of the kind, and with each through the profiles.
    pub(crate) fn image(&self) -> Image {
        self.kind.image(self.seed)
    }

    fn history(&self) -> History {
        let profile = PROFILES[(self.seed / self.kind.variants()) as usize % PROFILES.len()];
        let profile = match self.work {
            Work::Check => profile,
            Work::CutEveryWrite(_) => Profile {
                syncs: SYNCS,
                ..profile
            },
        };
        History {
            seed: self.seed,
            profile: self.kind.profile(profile),
            steps: STEPS,
        }
    }

    /// Does it; a panic is a failure. `each_cut` hears of every power cut.
    pub(crate) fn run(&self, each_cut: &mut (dyn FnMut() + Send)) -> Result<Cuts, String> {
        on_a_thread(|| self.work(each_cut))
    }

    fn work(&self, each_cut: &mut dyn FnMut()) -> Result<Cuts, String> {
        let outcome = self.history().run(&[self.image()])?;
        outcome.check()?;
        match self.work {
            Work::Check => Ok(Cuts::default()),
            Work::CutEveryWrite(only) => outcome.cut_every_write(only, each_cut),
        }
    }
}
