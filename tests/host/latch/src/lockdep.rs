// SPDX-License-Identifier: GPL-2.0
//! The order of locks, enforced: a task that waits for a lock of an earlier [`Rank`] than one that it holds, for a lock
//! that it has, or for two of one rank panics, at once and whether or not anybody ever does the inverse.

use crate::{Nesting, Rank};
use core::fmt;
use std::cell::RefCell;

/// Where a lock stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// At its rank.
    Rank(Rank),
    /// Among the blocks of a tree.
    Block(Nesting),
    /// At a tree block that was taken without waiting: of which tree is not told.
    TriedBlock,
}

impl Standing {
    fn rank(self) -> Rank {
        match self {
            Self::Rank(rank) => rank,
            Self::Block(nesting) => nesting.tree.rank(),
            Self::TriedBlock => Rank::FileTree,
        }
    }

    /// Whether a task that holds this may wait for `next`.
    fn precedes(self, next: Self) -> bool {
        match (self, next) {
            (Self::Block(held), Self::Block(next)) if held.tree.rank() == next.tree.rank() => {
                held.precedes(next)
            }
            (Self::TriedBlock, Self::Block(_)) => true,
            _ => self.rank() < next.rank(),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rank(rank) => write!(f, "{rank:?}"),
            Self::Block(at) => write!(f, "{:?} ({at:?})", at.tree.rank()),
            Self::TriedBlock => write!(f, "a tree block"),
        }
    }
}

struct Held {
    at: Standing,
    lock: usize,
}

crate::raw::thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

/// Called before a task waits for the lock at address `lock`. Only to try it is allowed whatever is held.
#[track_caller]
pub(crate) fn check(at: Standing, lock: usize) {
    HELD.with(|held| {
        for held in held.borrow().iter() {
            if held.lock == lock {
                panic!("lock order: {at} taken twice by one task");
            }
            if !held.at.precedes(at) {
                panic!("lock order: {at} taken under {}", held.at);
            }
        }
    });
}

/// A lock that this thread has, until dropped.
pub(crate) struct Token {
    lock: usize,
    // Locks are released by the thread that took them.
    _thread: core::marker::PhantomData<*const ()>,
}

/// Called when the lock was taken.
pub(crate) fn taken(at: Standing, lock: usize) -> Token {
    HELD.with(|held| held.borrow_mut().push(Held { at, lock }));
    Token {
        lock,
        _thread: core::marker::PhantomData,
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(at) = held.iter().rposition(|held| held.lock == self.lock) {
                held.remove(at);
            }
        });
    }
}

/// How many locks this thread holds. For tests: nothing may be held where the engine was left.
pub fn held() -> usize {
    HELD.with(|held| held.borrow().len())
}
