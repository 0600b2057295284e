// SPDX-License-Identifier: GPL-2.0
//! Which block may go out now.

use super::group::{GroupPhase, InFlight, Progress};
use super::hold::Holders;
use super::{Groups, Sequential, NOT_ORDERED};
use crate::btree::WriteMode;
use crate::disk::{Bug, Bytes, Flaw, Logical};
use crate::volume::Activation;
use latch::prelude::*;
use latch::MutexGuard;

/// The right to write metadata: nobody else sends any while this lives.
pub struct WriteTurn<'g> {
    holders: &'g Holders,
    sequential: Option<(&'g Sequential, MutexGuard<'g, Groups>)>,
}

/// What is to be done with a block.
#[must_use]
pub enum Admission<'a> {
    /// Submit it, after [`WriteToken::submitting`].
    Write(WriteToken<'a>),
    /// An address before it was allocated and got no block. Submit zeros, as many as the block has bytes, to `at`, after
    /// [`WriteToken::submitting`]; then ask for the same block again.
    Fill {
        /// The address to fill.
        at: Logical,
        /// The right to write there.
        token: WriteToken<'a>,
    },
    /// Leave it: it was sent already, or must wait for others and the caller can do without.
    Skip,
    /// It cannot be written before another that is not there yet. `EAGAIN`: an fsync commits instead. A commit never
    /// meets this.
    Hole,
    /// Drop the guard, wait until all writes in this range have completed, take another turn and ask again.
    Drain {
        /// Where the range starts.
        start: Logical,
        /// How many bytes it has.
        len: Bytes,
    },
    /// Drop the guard, call [`super::WriteOrder::await_data`], take another turn and ask again.
    AwaitData(u64),
}

impl Admission<'_> {
    /// The answer to a block that cannot go out now.
    fn refused(mode: WriteMode) -> Self {
        match mode {
            WriteMode::Background => Self::Skip,
            WriteMode::Integrity | WriteMode::Commit => Self::Hole,
        }
    }
}

/// The right to write one block now. Dropped unused, nothing has happened.
#[must_use]
pub struct WriteToken<'a> {
    target: Option<(&'a mut Groups, Logical, Logical)>,
}

impl WriteToken<'_> {
    /// The block goes out now, come what may: the write pointer moves over it. Called right before submission, when
    /// nothing can fail any more.
    pub fn submitting(self) -> InFlight {
        let Some((state, group, end)) = self.target else {
            return InFlight::uncounted();
        };
        let Some(progress) = state.groups.get_mut(&group) else {
            return InFlight::uncounted();
        };
        let in_flight = progress.submit(end);
        if end >= progress.capacity_end {
            progress.zone_state = GroupPhase::Filled;
            state.filled = state.filled.saturating_add(1);
        }
        in_flight
    }
}

/// What stands between a block and the device.
pub(super) enum Verdict {
    Ready,
    Wait,
    Drain(Logical, Bytes),
    AwaitData(u64),
}

impl<'g> WriteTurn<'g> {
    pub(super) fn new(
        holders: &'g Holders,
        sequential: Option<(&'g Sequential, MutexGuard<'g, Groups>)>,
    ) -> Self {
        Self {
            holders,
            sequential,
        }
    }

    /// The next range behind `from` that should be written before all others: groups that hold active zones. The rest
    /// follows in the order of addresses. Without zones there is none.
    pub fn active_after(&self, from: Option<Logical>) -> Option<(Logical, Bytes)> {
        let (_, state) = self.sequential.as_ref()?;
        let first = from.map_or(Logical::new(0), |from| from.saturating_add(Bytes::new(1)));
        let mut groups = state
            .groups
            .range_from(&first)
            .map(|(_, progress)| progress);
        groups
            .find(|progress| progress.zone_state == GroupPhase::Active)
            .map(|progress| (progress.start, progress.len))
    }

    /// Whether the dirty block at `addr` may be written. Errors are the device's, or mean that the block must not
    /// exist: the caller aborts the transaction.
    pub fn admit(&mut self, addr: Logical, len: Bytes, mode: WriteMode) -> Result<Admission<'_>> {
        if self.holders.keeps_back(mode) {
            return Ok(Admission::refused(mode));
        }
        let Some((sequential, state)) = &mut self.sequential else {
            return Ok(Admission::Write(WriteToken { target: None }));
        };
        let state: &mut Groups = state;
        let end = addr.saturating_add(len);
        let Some((group, progress)) = state.group_of(addr) else {
            return Ok(Admission::Write(WriteToken { target: None }));
        };
        let pointer = progress.pointer.get();
        if addr < pointer {
            sequential.counters.skip();
            return Ok(Admission::Skip);
        }
        progress.check_capacity(addr, end)?;
        let fills = addr > pointer && progress.group.is_abandoned(pointer);
        if addr > pointer && !fills {
            sequential.counters.hole();
            return Ok(sequential.refuse(mode));
        }
        if progress.zone_state == GroupPhase::Empty && !sequential.may_activate(addr, mode) {
            return Ok(sequential.refuse(mode));
        }
        match sequential.prepare(state, group)? {
            Verdict::Ready if fills => {
                sequential.counters.fill();
                Ok(Admission::Fill {
                    at: pointer,
                    token: WriteToken {
                        target: Some((state, group, pointer.saturating_add(len))),
                    },
                })
            }
            Verdict::Ready => Ok(Admission::Write(WriteToken {
                target: Some((state, group, end)),
            })),
            Verdict::Wait => Ok(sequential.refuse(mode)),
            Verdict::Drain(..) | Verdict::AwaitData(_) if mode == WriteMode::Background => {
                Ok(sequential.refuse(mode))
            }
            Verdict::AwaitData(seen) => {
                sequential.counters.drain();
                Ok(Admission::AwaitData(seen))
            }
            Verdict::Drain(start, len) => {
                sequential.counters.drain();
                Ok(Admission::Drain { start, len })
            }
        }
    }
}

impl Progress {
    /// Whether the block `[addr, end)` lies in what can be written of the group.
    fn check_capacity(&self, addr: Logical, end: Logical) -> Result {
        if end <= self.capacity_end {
            return Ok(());
        }
        let (found, expected) = (end.get(), self.capacity_end.get());
        let flaw = Flaw::new(
            "block lies behind the capacity of its zones",
            found,
            expected,
        );
        Err(flaw.in_block(addr).report())
    }
}

impl Groups {
    /// The group on sequential zones that an address is in.
    fn group_of(&self, addr: Logical) -> Option<(Logical, &Progress)> {
        let (&start, progress) = self.groups.floor(&addr)?;
        (addr < progress.end()).then_some((start, progress))
    }
}

impl Sequential {
    /// The answer to a block that cannot go out before others, counted.
    fn refuse<'a>(&self, mode: WriteMode) -> Admission<'a> {
        match mode {
            WriteMode::Background => self.counters.skip(),
            WriteMode::Integrity => self.counters.again(),
            WriteMode::Commit => {
                // Blocks of a commit leave no hole: those that were dropped are written all the same, and addresses
                // without a block are filled.
                pr_err!("a commit met a hole in a zone\n");
                self.counters.again();
            }
        }
        Admission::refused(mode)
    }

    /// Whether somebody may have zones activated. The commit under way needs some for its own blocks, and those of the
    /// next transaction could hold all of them.
    fn may_activate(&self, addr: Logical, mode: WriteMode) -> bool {
        match mode {
            WriteMode::Commit => true,
            WriteMode::Background => self.zones.has_spare(addr),
            WriteMode::Integrity => false,
        }
    }

    /// Makes the zones of `group` writable, at the cost of another group's if the device's budget is spent.
    fn prepare(&self, state: &mut Groups, group: Logical) -> Result<Verdict> {
        let Some(progress) = state.groups.get(&group) else {
            return Err(NOT_ORDERED.of(group.get()).report());
        };
        match progress.zone_state {
            GroupPhase::Active => return Ok(Verdict::Ready),
            GroupPhase::Empty => {}
            GroupPhase::Filled | GroupPhase::Finished => {
                let bug = Bug::new("a block was allocated in zones that are full");
                return Err(bug.of(group.get()).report());
            }
        }
        let start = progress.start;
        loop {
            if self.zones.activate(start)? == Activation::Active {
                self.counters.activate();
                if let Some(progress) = state.groups.get_mut(&group) {
                    progress.zone_state = GroupPhase::Active;
                }
                return Ok(Verdict::Ready);
            }
            if let Some(verdict) = self.make_way(state, group)? {
                return Ok(verdict);
            }
        }
    }
}
