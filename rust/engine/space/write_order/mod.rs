// SPDX-License-Identifier: GPL-2.0
//! The order of metadata writes on sequential zones: one block after the other.
//!
//! Tree blocks cannot be written by zone append: their addresses stand in other blocks before they are written. So
//! they go out in the order of their addresses, each at the write pointer of its group, under one mutex. What cannot
//! be written in order now is left (background), or the caller is told to do a full commit instead (fsync).
//! `Documentation/metadata-io.md` has the protocol and the reasons.
//!
//! ```text
//! let mut turn = order.take_turn();
//! match turn.admit(addr, len, mode)? {
//!     Admission::Write(token) => { in_flight = token.submitting(); submit(block, in_flight) }
//!     Admission::Fill { at, token } => { in_flight = token.submitting(); submit(zeros, at); the same block again }
//!     Admission::Skip         => next block
//!     Admission::Hole         => return Err(EAGAIN)
//!     Admission::Drain(range) => { drop(turn); wait for the writes in range; take another turn, the same block again }
//!     Admission::AwaitData(n) => { drop(turn); order.await_data(n); take another turn, the same block again }
//! }
//! ```
//!
//! | module       | what it is                                                                         |
//! |--------------|------------------------------------------------------------------------------------|
//! | `admit`      | whether a block may be written now                                                 |
//! | `giving_way` | which group gives its active zones up when there are too few                       |
//! | `group`      | how far a group has been written, and what the order asks of groups                |
//! | `hold`       | keeping all but the commit from sending while the commit still changes blocks      |
//! | `progress`   | waiting for zones of data to be given back                                         |
//! | `statistics` | what is counted                                                                    |
//!
//! | type              | what it is                                                                    |
//! |-------------------|-------------------------------------------------------------------------------|
//! | [`WriteOrder`]    | one for each volume; on volumes without zones blocks go out in any order        |
//! | [`WriteTurn`]     | the right to write metadata                                                     |
//! | [`WriteToken`]    | the right to write one block: the pointer moves when it is used up              |
//! | [`InFlight`]      | a write that was submitted; dropped when it has completed                       |
//! | [`Hold`]          | while it lives, only a commit sends blocks                                      |
//! | [`Zones`]         | what the write order asks of the volume                                         |
//! | [`OrderedGroup`]  | what it asks of a group of tree blocks                                           |
//! | [`DataGroup`]     | what it asks of a group of file data, which it knows only for its active zones       |
//!
//! Lock order: `WriteOrder` > `FileTree` > `BlockGroup`. Under the mutex nothing
//! waits: not for IO ([`Admission::Drain`] hands that to the caller), not for a transaction.

mod admit;
mod giving_way;
mod group;
mod hold;
mod progress;
mod statistics;

pub use admit::{Admission, WriteToken, WriteTurn};
pub use group::InFlight;
pub use hold::Hold;
pub use progress::DataWait;
pub use statistics::WriteOrderStatistics;

pub(in crate::space) use group::{Closing, DataGroup, OrderedGroup};
pub(in crate::space) use progress::{DataProgress, Giving};

use crate::disk::{Bug, Bytes, Logical};
use crate::map::OrdMap;
use crate::space::Class;
use crate::volume::Activation;
use group::{GroupPhase, Progress, WritePointer};
use hold::Holders;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};
use statistics::Counters;

/// Blocks come from groups that were added, and only such are emptied.
const NOT_ORDERED: Bug = Bug::new("block group is not in the write order");

/// The zones below block groups, by the groups' addresses.
pub trait Zones: Send + Sync {
    /// Takes active resources for a group.
    fn activate(&self, group: Logical) -> Result<Activation>;
    /// How the active zones are shared between metadata, for which `group` asks, and data.
    fn share(&self, group: Logical) -> Share;
    /// Whether [`Self::activate`] would leave all that a commit may need.
    fn has_spare(&self, group: Logical) -> bool;
    /// Finishes a group's zones before they are full, and gives their active resources back.
    fn finish(&self, group: Logical) -> Result;
    /// All bytes of a group were written: its zones are full by themselves and their active resources free.
    fn filled(&self, group: Logical);
    /// Empties a group's zones.
    fn reset(&self, group: Logical) -> Result;
}

/// What metadata has of its share of the active zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Metadata has less than all of it: data holds more than is left to it.
    Owed,
    /// Metadata has all of it.
    Held,
}

/// What a group on sequential zones starts with.
pub(in crate::space) struct NewGroup {
    /// The class is metadata or system.
    pub(in crate::space) class: Class,
    /// The address of the group.
    pub(in crate::space) start: Logical,
    /// The bytes of the group in the logical space.
    pub(in crate::space) len: Bytes,
    /// What its zones hold in whole blocks.
    pub(in crate::space) capacity: Bytes,
    /// What is left behind these.
    pub(in crate::space) ending: Ending,
    /// The address that the device's write pointer stands at.
    pub(in crate::space) written_to: Logical,
    /// Whether the zones hold active resources.
    pub(in crate::space) active: bool,
    /// The allocation state of the group.
    pub(in crate::space) group: Arc<dyn OrderedGroup>,
}

/// What is left of a group's zones behind its last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum Ending {
    /// Nothing is left: the zones are full by themselves.
    Full,
    /// Less than a block is left: the zones must be finished.
    Short,
}

/// The order of a volume: see the module's text.
pub struct WriteOrder {
    sequential: Option<Sequential>,
    holders: Holders,
}

/// The order of a zoned volume.
struct Sequential {
    zones: Arc<dyn Zones>,
    state: Mutex<Groups>,
    /// Data writes that have ended.
    data: Arc<DataProgress>,
    counters: Counters,
}

/// The groups on sequential zones. A group that is not here takes writes in any order.
struct Groups {
    groups: OrdMap<Logical, Progress>,
    /// The data groups on sequential zones.
    data: OrdMap<Logical, Arc<dyn DataGroup>>,
    /// Groups that are written to the end and wait for the last completions.
    filled: usize,
}

impl WriteOrder {
    /// Makes the order of a volume without zones: blocks go out in any order and no lock is taken.
    pub fn none() -> Self {
        Self {
            sequential: None,
            holders: Holders::none(),
        }
    }

    /// Makes the order of a zoned volume.
    pub fn sequential(zones: Arc<dyn Zones>) -> Result<Self> {
        let state = Groups {
            groups: OrdMap::new(),
            data: OrdMap::new(),
            filled: 0,
        };
        let state = Mutex::new(state, Rank::WriteOrder)?;
        Ok(Self {
            sequential: Some(Sequential {
                zones,
                state,
                data: Arc::new(DataProgress::new()?, GFP_NOFAIL)?,
                counters: Counters::default(),
            }),
            holders: Holders::none(),
        })
    }

    /// Has only commits send blocks until the answer is dropped.
    pub fn hold(&self) -> Hold<'_> {
        self.holders.add()
    }

    /// Waits for the right to write metadata. No tree block may be locked that another writer could wait for.
    pub fn take_turn(&self) -> WriteTurn<'_> {
        let sequential = self.sequential.as_ref().map(|sequential| {
            let mut state = sequential.state.lock();
            sequential.reap(&mut state);
            (sequential, state)
        });
        WriteTurn::new(&self.holders, sequential)
    }

    /// What the write order did so far.
    pub fn statistics(&self) -> WriteOrderStatistics {
        self.sequential
            .as_ref()
            .map_or_else(WriteOrderStatistics::default, |sequential| {
                sequential.counters.read()
            })
    }

    /// Counts the data writes of the groups that the write order knows.
    pub(in crate::space) fn data_progress(&self) -> Result<Arc<DataProgress>> {
        match &self.sequential {
            Some(sequential) => Ok(sequential.data.clone()),
            None => Ok(Arc::new(DataProgress::new()?, GFP_NOFAIL)?),
        }
    }

    /// Zones of data may be about to be given back. `None` where nobody waits for zones.
    pub(in crate::space) fn giving(&self) -> Option<Giving<'_>> {
        Some(self.sequential.as_ref()?.data.giving())
    }

    /// After [`Admission::AwaitData`]: waits until a data write has ended. No turn may be held.
    pub fn await_data(&self, seen: u64) {
        if let Some(sequential) = &self.sequential {
            sequential.data.await_while(seen, || true);
        }
    }

    /// A data group on sequential zones joins.
    pub(in crate::space) fn add_data(&self, start: Logical, group: Arc<dyn DataGroup>) -> Result {
        let Some(sequential) = &self.sequential else {
            return Ok(());
        };
        sequential.state.lock().data.insert(start, group)?;
        Ok(())
    }

    /// A group on sequential zones joins.
    pub(in crate::space) fn add(&self, new: NewGroup) -> Result {
        let Some(sequential) = &self.sequential else {
            return Ok(());
        };
        let start = new.start;
        let progress = Progress::new(new)?;
        sequential.state.lock().groups.insert(start, progress)?;
        Ok(())
    }

    /// A group leaves. `EBUSY` while blocks of it were not sent or have not completed.
    pub(in crate::space) fn remove(&self, start: Logical) -> Result {
        let Some(sequential) = &self.sequential else {
            return Ok(());
        };
        let mut state = sequential.state.lock();
        sequential.reap(&mut state);
        match state.groups.get(&start) {
            Some(progress) if !progress.is_quiet() => Err(EBUSY),
            _ => {
                state.groups.remove(&start);
                state.data.remove(&start);
                Ok(())
            }
        }
    }

    /// Whether nothing of a group is unsent or under way: it may be removed or reset.
    pub(in crate::space) fn is_quiet(&self, start: Logical) -> bool {
        let Some(sequential) = &self.sequential else {
            return true;
        };
        let mut state = sequential.state.lock();
        sequential.reap(&mut state);
        state.groups.get(&start).is_none_or(Progress::is_quiet)
    }

    /// Empties a group's zones. The allocator gives out nothing of the group meanwhile, and nothing after an error, until it is
    /// emptied after all. `EBUSY` as [`Self::remove`].
    pub(in crate::space) fn reset(&self, start: Logical) -> Result {
        let Some(sequential) = &self.sequential else {
            return Ok(());
        };
        {
            let mut state = sequential.state.lock();
            sequential.reap(&mut state);
            let progress = state.groups.get_mut(&start);
            let progress = progress.ok_or(NOT_ORDERED.of(start.get()))?;
            if !progress.is_quiet() {
                return Err(EBUSY);
            }
            progress.close();
        }
        sequential.zones.reset(start)?;
        // The device is not asked where its pointer is: it could be frozen, and a reset leaves no doubt.
        let mut state = sequential.state.lock();
        if let Some(progress) = state.groups.get_mut(&start) {
            progress.zone_state = GroupPhase::Empty;
            progress.pointer = WritePointer::at(start);
        }
        Ok(())
    }
}

impl Sequential {
    /// Gives back what groups hold that were written to the end and whose writes have all completed.
    fn reap(&self, state: &mut Groups) {
        if state.filled == 0 {
            return;
        }
        for (_, progress) in state.groups.iter_mut() {
            if progress.zone_state != GroupPhase::Filled || progress.is_busy() {
                continue;
            }
            match progress.ending {
                Ending::Full => self.zones.filled(progress.start),
                Ending::Short => {
                    if let Err(error) = self.zones.finish(progress.start) {
                        // It holds an active zone until the next mount.
                        pr_warn!(
                            "block group {}: zones cannot be finished: {error:?}\n",
                            progress.start
                        );
                    }
                }
            }
            progress.zone_state = GroupPhase::Finished;
            state.filled = state.filled.saturating_sub(1);
            self.counters.finish();
        }
    }
}
