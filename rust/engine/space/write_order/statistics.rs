// SPDX-License-Identifier: GPL-2.0
//! What the write order counts.

use core::sync::atomic::{AtomicU64, Ordering};

/// What the write order did since mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOrderStatistics {
    /// Blocks that could not go out because one before them had not.
    pub holes: u64,
    /// Addresses without a block that were filled with zeros.
    pub fills: u64,
    /// Blocks that were left for later.
    pub skips: u64,
    /// Times that a caller was told to commit instead.
    pub again: u64,
    /// Times that a caller had to wait for writes before a zone could be finished.
    pub drains: u64,
    /// Groups whose zones were activated.
    pub activations: u64,
    /// Groups whose zones were given back.
    pub finishes: u64,
    /// Groups among those that were given up before they were full, to make place for another.
    pub forced: u64,
}

/// What [`WriteOrderStatistics`] tells, while it is counted.
#[derive(Default)]
pub(super) struct Counters {
    holes: AtomicU64,
    fills: AtomicU64,
    skips: AtomicU64,
    again: AtomicU64,
    drains: AtomicU64,
    activations: AtomicU64,
    finishes: AtomicU64,
    forced: AtomicU64,
}

macro_rules! counters {
    ($($name:ident -> $field:ident;)*) => {
        impl Counters {
            $(pub(super) fn $name(&self) {
                self.$field.fetch_add(1, Ordering::Relaxed);
            })*

            /// The counts now.
            pub(super) fn read(&self) -> WriteOrderStatistics {
                WriteOrderStatistics { $($field: self.$field.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    hole -> holes;
    fill -> fills;
    skip -> skips;
    again -> again;
    drain -> drains;
    activate -> activations;
    finish -> finishes;
    force -> forced;
}
