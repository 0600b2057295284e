// SPDX-License-Identifier: GPL-2.0
//! The gate that metadata passes on its way to sequential zones, one block after the other.
//!
//! Tree blocks cannot be written by zone append: their addresses stand in other blocks before they are written. So
//! they go out in the order of their addresses, each at the write pointer of its group, under one mutex. What cannot
//! be written in order now is left (background), or the caller is told to do a full commit instead (fsync).
//! `Documentation/metadata-io.md` has the protocol and the reasons.
//!
//! ```text
//! let mut guard = gate.enter();
//! match guard.admit(addr, len, mode)? {
//!     Admission::Write(token) => { in_flight = token.submitting(); submit(block, in_flight) }
//!     Admission::Fill { at, token } => { in_flight = token.submitting(); submit(zeros, at); the same block again }
//!     Admission::Skip         => next block
//!     Admission::Hole         => return Err(EAGAIN)
//!     Admission::Drain(range) => { drop(guard); wait for the writes in range; enter again, the same block again }
//!     Admission::AwaitData(n) => { drop(guard); gate.await_data(n); enter again, the same block again }
//! }
//! ```
//!
//! | module       | what it is                                                                         |
//! |--------------|------------------------------------------------------------------------------------|
//! | `admit`      | whether a block may be written now                                                 |
//! | `giving_way` | which group gives its active zones up when there are too few                       |
//! | `group`      | how far a group has been written, and what the order asks of groups                |
//! | `statistics` | what is counted                                                                    |
//!
//! | type              | what it is                                                                    |
//! |-------------------|-------------------------------------------------------------------------------|
//! | [`MetadataGate`]  | one for each volume; on volumes without zones it lets everything pass           |
//! | [`GateGuard`]     | the right to write metadata                                                     |
//! | [`WriteToken`]    | the right to write one block: the pointer moves when it is used up              |
//! | [`InFlight`]      | a write that was submitted; dropped when it has completed                       |
//! | [`Zones`]         | what the gate asks of the volume                                                |
//! | [`GateGroup`]     | what it asks of the allocator                                                   |
//! | [`DataGroup`]     | the same of a group of file data, which it knows only for its active zones       |
//!
//! The mutex is taken before a block group's lock and under no tree block lock that a commit needs. Under it nothing
//! waits: not for IO ([`Admission::Drain`] hands that to the caller), not for a transaction.

mod admit;
mod giving_way;
mod group;
mod statistics;

pub use admit::{Admission, GateGuard, WriteToken};
pub use group::{DataGroup, GateGroup, InFlight};
pub use statistics::GateStatistics;

use crate::disk::Logical;
use crate::map::OrdMap;
use crate::space::groups::zones::DataProgress;
use crate::space::Class;
use crate::volume::Activation;
use group::{Phase, Progress, WritePointer};
use kernel::sync::Arc;
use latch::prelude::*;
use latch::Mutex;
use statistics::Counters;

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
    /// Less than all of it: data holds more than is left to it.
    Owed,
    /// All.
    Held,
}

/// What a group on sequential zones starts with.
pub(in crate::space) struct NewGroup {
    /// Metadata or system.
    pub(in crate::space) class: Class,
    /// Its address.
    pub(in crate::space) start: Logical,
    /// Its bytes in the logical space.
    pub(in crate::space) len: u64,
    /// What its zones hold in whole blocks.
    pub(in crate::space) capacity: u64,
    /// Whether that is all they hold.
    pub(in crate::space) ending: Ending,
    /// Where the device's write pointer stands.
    pub(in crate::space) written_to: Logical,
    /// Its zones hold active resources.
    pub(in crate::space) active: bool,
    /// Its allocation state.
    pub(in crate::space) group: Arc<dyn GateGroup>,
}

/// What is left of a group's zones behind its last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum Ending {
    /// Nothing: they are full by themselves.
    Full,
    /// Less than a block: they must be finished.
    Short,
}

/// The gate of a volume: see the module's text.
pub struct MetadataGate {
    serial: Option<Serial>,
}

/// The gate of a zoned volume.
struct Serial {
    zones: Arc<dyn Zones>,
    state: Mutex<State>,
    /// Data writes that have ended.
    data: Arc<DataProgress>,
    counters: Counters,
}

/// The groups on sequential zones. A group that is not here takes writes in any order.
struct State {
    groups: OrdMap<u64, Progress>,
    /// The data groups on sequential zones.
    data: OrdMap<u64, Arc<dyn DataGroup>>,
    /// Groups that are written to the end and wait for the last completions.
    filled: usize,
}

impl MetadataGate {
    /// For volumes without zones: everything passes and no lock is taken.
    pub fn open() -> Self {
        Self { serial: None }
    }

    /// For zoned volumes.
    pub fn serial(zones: Arc<dyn Zones>) -> Result<Self> {
        let state = State {
            groups: OrdMap::new(),
            data: OrdMap::new(),
            filled: 0,
        };
        let state = Mutex::new(state, latch::class!("rbtrfs_metadata_gate"))?;
        Ok(Self {
            serial: Some(Serial {
                zones,
                state,
                data: Arc::new(DataProgress::new()?, GFP_NOFAIL)?,
                counters: Counters::default(),
            }),
        })
    }

    /// Waits for the right to write metadata. No tree block may be locked that another writer could wait for.
    pub fn enter(&self) -> GateGuard<'_> {
        GateGuard::new(self.serial.as_ref().map(|serial| {
            let mut state = serial.state.lock();
            serial.reap(&mut state);
            (serial, state)
        }))
    }

    /// What the gate did so far.
    pub fn statistics(&self) -> GateStatistics {
        self.serial
            .as_ref()
            .map_or_else(GateStatistics::default, |serial| serial.counters.read())
    }

    /// Gives back the active resources of groups that were written to the end.
    pub fn reap(&self) {
        drop(self.enter());
    }

    /// Counts the data writes of the groups that the gate knows.
    pub(in crate::space) fn data_progress(&self) -> Result<Arc<DataProgress>> {
        match &self.serial {
            Some(serial) => Ok(serial.data.clone()),
            None => Ok(Arc::new(DataProgress::new()?, GFP_NOFAIL)?),
        }
    }

    /// After [`Admission::AwaitData`]: waits until a data write has ended. No guard may be held.
    pub fn await_data(&self, seen: u64) {
        if let Some(serial) = &self.serial {
            serial.data.await_next(seen);
        }
    }

    /// A data group on sequential zones joins.
    pub(in crate::space) fn add_data(&self, start: Logical, group: Arc<dyn DataGroup>) -> Result {
        let Some(serial) = &self.serial else {
            return Ok(());
        };
        serial.state.lock().data.insert(start.get(), group)?;
        Ok(())
    }

    /// A group on sequential zones joins.
    pub(in crate::space) fn add(&self, new: NewGroup) -> Result {
        let Some(serial) = &self.serial else {
            return Ok(());
        };
        let start = new.start.get();
        let progress = Progress::new(new)?;
        serial.state.lock().groups.insert(start, progress)?;
        Ok(())
    }

    /// A group leaves. `EBUSY` while blocks of it were not sent or have not completed.
    pub(in crate::space) fn remove(&self, start: Logical) -> Result {
        let Some(serial) = &self.serial else {
            return Ok(());
        };
        let mut state = serial.state.lock();
        serial.reap(&mut state);
        match state.groups.get(&start.get()) {
            Some(progress) if !progress.is_quiet() => Err(EBUSY),
            _ => {
                state.groups.remove(&start.get());
                state.data.remove(&start.get());
                Ok(())
            }
        }
    }

    /// Whether nothing of a group is unsent or under way: it may be removed or reset.
    pub(in crate::space) fn is_quiet(&self, start: Logical) -> bool {
        let Some(serial) = &self.serial else {
            return true;
        };
        let mut state = serial.state.lock();
        serial.reap(&mut state);
        state
            .groups
            .get(&start.get())
            .is_none_or(Progress::is_quiet)
    }

    /// Empties a group's zones. The allocator gives out nothing of the group meanwhile. `EBUSY` as [`Self::remove`].
    pub(in crate::space) fn reset(&self, start: Logical) -> Result {
        let Some(serial) = &self.serial else {
            return Ok(());
        };
        {
            let mut state = serial.state.lock();
            serial.reap(&mut state);
            let progress = state.groups.get_mut(&start.get()).ok_or(ENOENT)?;
            if !progress.is_quiet() {
                return Err(EBUSY);
            }
            progress.phase = Phase::Finished;
        }
        serial.zones.reset(start)?;
        // The device is not asked where its pointer is: it could be frozen, and a reset leaves no doubt.
        let mut state = serial.state.lock();
        if let Some(progress) = state.groups.get_mut(&start.get()) {
            progress.phase = Phase::Empty;
            progress.pointer = WritePointer::at(start);
        }
        Ok(())
    }
}

impl Serial {
    /// Gives back what groups hold that were written to the end and whose writes have all completed.
    fn reap(&self, state: &mut State) {
        if state.filled == 0 {
            return;
        }
        for (_, progress) in state.groups.iter_mut() {
            if progress.phase != Phase::Filled || progress.is_busy() {
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
            progress.phase = Phase::Finished;
            state.filled = state.filled.saturating_sub(1);
            self.counters.finish();
        }
    }
}
