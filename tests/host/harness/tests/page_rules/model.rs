// SPDX-License-Identifier: GPL-2.0
//! What the model is made of: blocks of the cache, the tasks, and the faults that can be planted.

use super::sync::Sync;
use engine::fs::{Allowance, WriteKind};
use harness::token::Token;
use std::collections::BTreeMap;
use std::vec::Vec;

/// What is done otherwise than the rules say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plant {
    Nothing,
    /// A writer makes blocks delayed when it reserves, and does not look again under the lock.
    CoverEarly,
    /// A writer looks up what is at a block when it first reserves.
    LookUpEarly,
    /// Writeback drops blocks without space.
    ForgetTheUncovered,
    /// fsync does not wait for the workers.
    DoNotSettle,
    /// fsync does not mind what others have put off.
    PassOver,
    /// Truncation keeps the space of what it cuts.
    KeepSpace,
    /// A hole keeps the space of what it had.
    KeepSpaceOfHole,
    /// Faults and readahead go on while a hole is out of the cache and not yet out of the trees.
    LetFaultsIn,
    /// A hole does not wait for what is on its way to the disk.
    PunchUnderWay,
    /// Nobody looks under the lock whether unwritten space is still there.
    TrustThePlace,
    /// A store does not wait for what is on its way to the same place.
    StoreUnderWay,
    /// A worker gives a block unwritten space that a hole is about to take.
    MendInPlace,
    /// What is on its way counts as there before the trees have it.
    EndEarly,
    /// Who seeks bytes does not ask the folios that were dirtied behind the file system's back.
    SeekPastStrays,
}

/// What the trees have of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tree {
    Hole,
    /// Space that was given and not written.
    Unwritten,
    Written,
}

/// A block of the cache. Its contents are two halves: a store changes one and must not lose the other.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Contents(pub(super) [u32; 2]);

#[derive(Clone, Copy, Default)]
pub(super) struct Block {
    pub(super) cached: Option<Contents>,
    pub(super) dirty: bool,
    /// Contents that are on their way to the disk.
    pub(super) under_way: Option<Contents>,
    /// A write of it failed: the disk does not have what the cache has, and fsync has said so.
    pub(super) is_lost: bool,
}

pub(super) enum Task {
    /// Writes a half of each of these blocks.
    Write {
        start: u64,
        end: u64,
        half: usize,
        allowance: Allowance<Token>,
        seen: BTreeMap<u64, Contents>,
        reserved: bool,
    },
    /// A store through a mapping.
    Store {
        block: u64,
        allowance: Allowance<Token>,
        reserved: bool,
    },
    /// A worker's care for a folio.
    Mend {
        folio: u64,
        allowance: Allowance<Token>,
        reserved: bool,
        /// Nobody cuts or makes a hole meanwhile.
        keeps_out: bool,
    },
    /// A write on its way: it will end, well or not.
    UnderWay {
        blocks: Vec<u64>,
        space: Token,
        kind: WriteKind,
    },
    /// A hole that is out of the cache, and not out of the trees.
    Punch {
        start: u64,
        end: u64,
    },
    Sync(Sync),
}

/// Writeback stays undone: the folio is dirty again.
pub(super) struct NoMemory;
