// SPDX-License-Identifier: GPL-2.0
//! Of a history that fails, the few steps that matter: proptest leaves out as many as it can.

use super::model::Model;
use super::op::Op;
use super::run::{Failure, History};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use std::fmt;

/// The most that is tried for fewer steps, and for how many milliseconds.
const TRIES: u32 = 2000;
const PATIENCE: u32 = 180_000;

/// What fails in a history, and steps of it that do.
pub struct Failing {
    /// Which history.
    pub history: History,
    /// With these steps.
    pub steps: Vec<Op>,
    /// How.
    pub why: Failure,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}: {}", self.history, self.why)?;
        writeln!(f, "It takes {} steps:", self.steps.len())?;
        self.steps
            .iter()
            .try_for_each(|op| writeln!(f, "    {op:?}"))
    }
}

impl History {
    /// Tests the steps of this history; if that fails, fewer and fewer of them as long as it fails. A panic is a failure.
    pub fn test(
        &self,
        test: impl Fn(&[Op]) -> Result<(), Failure> + Sync,
    ) -> Result<(), Box<Failing>> {
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            max_shrink_iters: TRIES,
            max_shrink_time: PATIENCE,
            ..Config::default()
        });
        let steps = Shorter::of(self.steps());
        let done = runner.run_one(steps, |steps| {
            on_a_thread(|| test(&steps)).map_err(TestCaseError::fail)
        });
        let (why, steps) = match done {
            Ok(_) => return Ok(()),
            Err(TestError::Fail(why, steps)) => (why.to_string(), steps),
            Err(TestError::Abort(why)) => (why.to_string(), self.steps()),
        };
        Err(Box::new(Failing {
            history: *self,
            steps,
            why,
        }))
    }
}

/// Does it on a thread of its own, where a panic is a failure: it leaves locks held, which are counted by thread.
pub fn on_a_thread<T: Send>(
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Steps, ever fewer: pieces are left out from the front to the back, then smaller ones.
struct Shorter {
    steps: Vec<Op>,
    /// The steps before the last piece was left out, while it is not known whether it matters.
    before: Vec<Op>,
    piece: usize,
    at: usize,
    /// Whether a piece of this size did not matter.
    shorter: bool,
}

impl Shorter {
    fn of(steps: Vec<Op>) -> Self {
        Self {
            before: Vec::new(),
            piece: steps.len().div_ceil(2),
            at: 0,
            shorter: false,
            steps,
        }
    }
}

/// The steps that the VFS lets through.
fn let_through(steps: impl Iterator<Item = Op>) -> Vec<Op> {
    let mut model = Model::default();
    let fits = |op: &Op| {
        let fits = model.lets_through(op);
        if fits {
            let _ = model.apply(op);
        }
        fits
    };
    steps.filter(fits).collect()
}

impl ValueTree for Shorter {
    type Value = Vec<Op>;

    fn current(&self) -> Vec<Op> {
        self.steps.clone()
    }

    fn simplify(&mut self) -> bool {
        self.shorter |= !self.before.is_empty();
        if self.at >= self.steps.len() {
            if self.steps.is_empty() || (self.piece <= 1 && !self.shorter) {
                return false;
            }
            self.piece = self.piece.div_ceil(2);
            (self.at, self.shorter) = (0, false);
        }
        let without = self.at..self.at + self.piece;
        let left = self.steps.iter().enumerate();
        let left = left.filter(|(step, _)| !without.contains(step));
        let left = let_through(left.map(|(_, op)| op.clone()));
        self.before = std::mem::replace(&mut self.steps, left);
        true
    }

    fn complicate(&mut self) -> bool {
        if self.before.is_empty() {
            return false;
        }
        self.steps = std::mem::take(&mut self.before);
        self.at += self.piece;
        self.simplify()
    }
}
