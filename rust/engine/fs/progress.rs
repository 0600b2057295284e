// SPDX-License-Identifier: GPL-2.0
//! How far data has been moved out of block groups, and whose turn it is to move more.

use crate::disk::{Bytes, Logical};
use core::sync::atomic::{AtomicBool, AtomicU64};
use latch::prelude::*;
use latch::{Mutex, Rank};

/// What was moved since the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Block groups that were emptied.
    pub groups: u64,
    /// What was written elsewhere.
    pub bytes: Bytes,
}

/// How far data has been moved.
pub(super) struct Progress {
    /// Held by who moves data.
    pub(super) turn: Mutex<Vetted>,
    /// Block groups that were emptied.
    pub(super) groups: AtomicU64,
    /// Bytes that were written elsewhere.
    pub(super) bytes: AtomicU64,
    /// Snapshots that were made: what was a file's alone may not be so since.
    pub(super) snapshots: AtomicU64,
    /// The log was told that something cannot be moved.
    pub(super) told: AtomicBool,
}

/// What is known of the group that was looked at last: up to where all that is in it can be moved.
pub(super) struct Vetted {
    /// What that is true of; `None`: of none.
    pub(super) of: Option<Seen>,
    /// Where what was not looked at begins.
    pub(super) until: Logical,
}

/// A group as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Where it starts.
    pub(super) group: Logical,
    /// How often its zones had been reset.
    pub(super) resets: u64,
    /// How many snapshots had been made.
    pub(super) snapshots: u64,
}

impl Progress {
    /// Nothing was moved.
    pub(super) fn new() -> Result<Self> {
        let nowhere = Vetted {
            of: None,
            until: Logical::new(0),
        };
        Ok(Self {
            turn: Mutex::new(nowhere, Rank::Relocation)?,
            groups: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            told: AtomicBool::new(false),
        })
    }
}
