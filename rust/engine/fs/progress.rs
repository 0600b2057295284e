// SPDX-License-Identifier: GPL-2.0
//! How far data has been moved out of block groups, and whose turn it is to move more.

use crate::disk::Logical;
use core::sync::atomic::{AtomicBool, AtomicU64};
use latch::prelude::*;
use latch::{Mutex, Rank};

/// What was moved since the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Block groups that were emptied.
    pub groups: u64,
    /// Bytes that were written elsewhere.
    pub bytes: u64,
}

/// How far data has been moved.
pub(super) struct Progress {
    /// Held by who moves data.
    pub(super) turn: Mutex<Vetted>,
    /// Block groups that were emptied.
    pub(super) groups: AtomicU64,
    /// Bytes that were written elsewhere.
    pub(super) bytes: AtomicU64,
    /// It was said that something cannot be moved.
    pub(super) told: AtomicBool,
}

/// The group that was looked at last, and up to where all that is in it can be moved.
pub(super) struct Vetted {
    /// Where the group starts.
    pub(super) group: Logical,
    /// Where what was not looked at begins.
    pub(super) until: Logical,
}

impl Progress {
    /// Nothing was moved.
    pub(super) fn new() -> Result<Self> {
        let nowhere = Vetted {
            group: Logical::new(u64::MAX),
            until: Logical::new(u64::MAX),
        };
        Ok(Self {
            turn: Mutex::new(nowhere, Rank::Relocation)?,
            groups: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            told: AtomicBool::new(false),
        })
    }
}
