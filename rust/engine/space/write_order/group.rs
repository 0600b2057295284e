// SPDX-License-Identifier: GPL-2.0
//! How far a block group has been written.

use super::{Ending, NewGroup};
use crate::disk::{Bytes, Logical};
use crate::space::reserve::Reserve;
use crate::space::Class;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;
use latch::prelude::*;

/// Whether allocation from a group was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "blocks may still be allocated where the group stays open"]
pub(in crate::space) enum Closing {
    /// The group was closed by this call.
    Closed,
    /// The group was not closed: something stands against it.
    Refused,
}

/// The allocation state of a group of tree blocks, as the write order sees it.
pub(in crate::space) trait OrderedGroup: Send + Sync {
    /// Where the last block ends that was allocated and not abandoned.
    fn blocks_end(&self) -> Logical;

    /// Whether `addr` was allocated and no block will ever stand there: zeros are written in its place.
    fn is_abandoned(&self, addr: Logical) -> bool;

    /// Ends allocation for good, and gives up what is left, if no block will be written behind `pointer` and it was promised to
    /// nobody. `reserve` says how much of what is kept back may go with it.
    fn give_up_at(&self, pointer: Logical, reserve: Reserve) -> Result<Closing>;
}

/// A data group that holds active zones or may do so, as the write order sees it.
pub(in crate::space) trait DataGroup: Send + Sync {
    /// What is left to allocate in it, if it holds active zones, nothing is on its way to them, and what is left was
    /// promised to nobody.
    fn spare(&self) -> Option<Bytes>;

    /// Whether its zones may be given back by themselves: writes to them are under way, or a command is.
    fn is_busy(&self) -> bool;

    /// Ends allocation for good if [`Self::spare`] still says so, and has `finish` finish the zones. Nobody else commands them
    /// meanwhile.
    fn give_up(&self, finish: &mut dyn FnMut()) -> Result<Closing>;
}

/// The address of the next byte that may be written to a group. Absolute: what counts from the group's start is a
/// [`crate::disk::ZoneOffset`], and the two cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WritePointer(Logical);

impl WritePointer {
    pub(super) fn at(addr: Logical) -> Self {
        Self(addr)
    }

    pub(super) fn get(self) -> Logical {
        self.0
    }
}

/// What the zones of a group are to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupPhase {
    /// Nothing was written since the last reset, and the zones hold no active resources.
    Empty,
    /// Blocks are being written.
    Active,
    /// All blocks were sent; the zones stay active until the writes complete.
    Filled,
    /// The zones take nothing until they are reset, and hold no active resources.
    Finished,
}

/// How far a group has been written, under the write order's mutex.
pub(super) struct Progress {
    pub(super) class: Class,
    pub(super) start: Logical,
    pub(super) len: Bytes,
    pub(super) capacity_end: Logical,
    pub(super) ending: Ending,
    pub(super) pointer: WritePointer,
    pub(super) zone_state: GroupPhase,
    /// Writes under way. Completions lower it without a lock.
    pub(super) in_flight: Arc<AtomicU64>,
    pub(super) group: Arc<dyn OrderedGroup>,
}

impl Progress {
    pub(super) fn new(new: NewGroup) -> Result<Self> {
        let capacity_end = new.start.saturating_add(new.capacity);
        let zone_state = match (new.written_to, new.active) {
            (at, _) if at >= capacity_end => GroupPhase::Finished,
            (at, false) if at == new.start => GroupPhase::Empty,
            _ => GroupPhase::Active,
        };
        Ok(Self {
            class: new.class,
            start: new.start,
            len: new.len,
            capacity_end,
            ending: new.ending,
            pointer: WritePointer::at(new.written_to),
            zone_state,
            in_flight: Arc::new(AtomicU64::new(0), GFP_NOFAIL)?,
            group: new.group,
        })
    }

    /// The first byte behind the group.
    pub(super) fn end(&self) -> Logical {
        self.start.saturating_add(self.len)
    }

    /// Bytes that were not sent.
    pub(super) fn left(&self) -> Bytes {
        let pointer = self.pointer.get();
        self.capacity_end
            .checked_since(pointer)
            .unwrap_or(Bytes::ZERO)
    }

    /// Whether writes are under way.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }

    /// Whether every block was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.pointer.get() >= self.group.blocks_end()
    }

    /// Whether every allocated block was sent and has completed, so that the zones can be finished or reset.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_sent() && !self.is_busy()
    }

    /// Nothing is written to the zones before they are reset.
    pub(super) fn close(&mut self) {
        self.zone_state = GroupPhase::Finished;
        self.pointer = WritePointer::at(self.capacity_end);
    }

    /// Moves the pointer over a block that is about to be submitted.
    pub(super) fn submit(&mut self, end: Logical) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.pointer = WritePointer::at(end);
        InFlight {
            count: Some(self.in_flight.clone()),
            blocks: 1,
        }
    }
}

/// Writes that were submitted. Dropped when they have completed, well or not, in any context.
#[must_use = "dropping it says that the write has completed"]
pub struct InFlight {
    count: Option<Arc<AtomicU64>>,
    blocks: u64,
}

impl InFlight {
    /// A write that nobody counts.
    pub(super) fn uncounted() -> Self {
        Self {
            count: None,
            blocks: 0,
        }
    }

    /// Joins a write that completes together with this one, in the same bio. Gives it back if it belongs to another
    /// group.
    pub fn join(&mut self, mut other: InFlight) -> Result<(), InFlight> {
        let same = match (&self.count, &other.count) {
            (None, None) => true,
            (Some(mine), Some(others)) => Arc::ptr_eq(mine, others),
            _ => false,
        };
        if !same {
            return Err(other);
        }
        self.blocks = self.blocks.saturating_add(other.blocks);
        other.count = None;
        Ok(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(count) = &self.count {
            count.fetch_sub(self.blocks, Ordering::Release);
        }
    }
}
