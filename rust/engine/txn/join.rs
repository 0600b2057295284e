// SPDX-License-Identifier: GPL-2.0
//! Who may join, and who waits for whom.

use super::transaction::Transaction;
use crate::disk::Generation;
use kernel::sync::Arc;
use latch::prelude::*;

/// How far the running transaction is on its way to its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everybody joins the transaction.
    Open,
    /// Completions join; others wait for the next transaction.
    Closing,
    /// Nobody joins the transaction.
    Closed,
}

/// Who wants to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joiner {
    /// A new operation.
    Starter,
    /// The end of one that somebody with a handle may be waiting for.
    Completion,
}

/// Whether a task leads the commit of the running transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leader {
    /// No task does: the next that wants the transaction committed will.
    None,
    /// A task leads it.
    Some,
}

/// The state that tasks wait for changes of. Its mutex is a leaf.
pub(super) struct Joining {
    /// The running transaction; none before its first handle.
    pub(super) running: Option<Arc<Transaction>>,
    /// How far the running transaction is on its way to its commit.
    pub(super) phase: Phase,
    /// Whether a task leads the commit of the running transaction.
    pub(super) leader: Leader,
    /// The transaction whose blocks and superblock are on their way.
    pub(super) unblocked: Option<Arc<Transaction>>,
    /// Handles of new operations that joined the running transaction.
    pub(super) starters: u32,
    /// Handles of completions that joined the running transaction.
    pub(super) completions: u32,
    /// Tasks that wait for a handle to end.
    pub(super) hungry: u32,
    /// The last transaction that began.
    pub(super) newest: Generation,
    /// The last one whose superblock is durable.
    pub(super) committed: Generation,
    /// What went wrong first.
    pub(super) aborted: Option<Error>,
}

/// Whether a task may be waiting for a handle to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// No task waits.
    No,
    /// Tasks wait, and are to be woken.
    Yes,
}

/// How a wait for a handle to end came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// A handle has ended since, or something else has changed.
    ForChange,
    /// There was no handle to wait for.
    ForNobody,
}

/// What somebody who wants all so far to be durable has to do.
pub(super) enum Next {
    /// Nothing any more.
    Done,
    /// Whoever asks has to wait.
    Wait,
    /// Lead the commit.
    Lead(Arc<Transaction>),
}

impl Joining {
    /// Makes what is so before the first transaction.
    pub(super) fn new(committed: Generation) -> Self {
        Self {
            running: None,
            phase: Phase::Open,
            leader: Leader::None,
            unblocked: None,
            starters: 0,
            completions: 0,
            hungry: 0,
            newest: committed,
            committed,
            aborted: None,
        }
    }

    /// Whether one of this kind may join now.
    pub(super) fn admits(&self, joiner: Joiner) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Closing => joiner == Joiner::Completion,
            Phase::Closed => false,
        }
    }

    /// A handle begins.
    pub(super) fn enter(&mut self, joiner: Joiner) {
        let count = self.count(joiner);
        *count = count.saturating_add(1);
    }

    /// A handle ends.
    pub(super) fn leave(&mut self, joiner: Joiner) -> Awaited {
        let count = self.count(joiner);
        *count = count.saturating_sub(1);
        let last = *count == 0;
        match self.hungry > 0 || last && self.phase != Phase::Open {
            true => Awaited::Yes,
            false => Awaited::No,
        }
    }

    fn count(&mut self, joiner: Joiner) -> &mut u32 {
        match joiner {
            Joiner::Starter => &mut self.starters,
            Joiner::Completion => &mut self.completions,
        }
    }

    /// The transaction that must be durable for all so far to be.
    pub(super) fn last_changed(&self) -> Option<Generation> {
        match &self.running {
            Some(running) if running.is_changed() => Some(running.generation),
            _ => self
                .unblocked
                .as_ref()
                .map(|unblocked| unblocked.generation),
        }
    }

    /// What to do to make `target` durable; who is told to lead, leads.
    pub(super) fn next_step(&mut self, target: Generation) -> Result<Next> {
        if let Some(error) = self.aborted {
            return Err(error);
        }
        if self.committed >= target {
            return Ok(Next::Done);
        }
        match &self.running {
            Some(running) if running.generation == target && self.leader == Leader::None => {
                self.leader = Leader::Some;
                Ok(Next::Lead(running.clone()))
            }
            _ => Ok(Next::Wait),
        }
    }

    /// The closed transaction is complete in memory: the next may begin.
    pub(super) fn unblock(&mut self) {
        self.unblocked = self.running.take();
        self.phase = Phase::Open;
        self.leader = Leader::None;
    }
}
