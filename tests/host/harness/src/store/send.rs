// SPDX-License-Identifier: GPL-2.0
//! Blocks on their way to the device: sealed, put into the queue, written.

use super::{Backing, HostStore, Sent, State, QUEUE};
use engine::btree::{seal, BlockInfo, BlockRef, Expected, WriteMode};
use engine::disk::{Bytes, Corrupt, Logical};
use engine::space::{Admission, InFlight, WriteTurn};
use kernel::prelude::*;
use kernel::sync::Arc;
use latch::{Latched, Nesting, Side, TreeKind};
use std::ops::Range;

/// What became of a block that was to be sent.
pub(super) enum Outcome {
    /// It was sent, or need not be.
    Passed,
    /// Zeros were sent that had to go before it.
    Filled,
    /// Others must complete first: those in this range.
    Drain(Logical, u64),
    /// A data write must end first.
    AwaitData(u64),
}

impl<B: Backing> HostStore<B> {
    /// The first dirty block in a range.
    pub(super) fn next_dirty(&self, range: Range<u64>) -> Option<BlockRef> {
        let state = self.state();
        let mut dirty = state.blocks.range(range).filter(|(_, cached)| cached.dirty);
        dirty.next().map(|(_, cached)| cached.block.clone())
    }

    /// Seals a block and puts it into the queue, if the write order lets it pass.
    pub(super) fn send(
        &self,
        block: &BlockRef,
        order: Option<&mut WriteTurn<'_>>,
        mode: WriteMode,
    ) -> Result<Outcome> {
        let info = *block.meta();
        let nesting = Nesting {
            tree: TreeKind::Other,
            level: info.level,
            side: Side::Path,
        };
        let mut guard = match mode {
            WriteMode::Background => match Latched::try_write(block) {
                Some(guard) => guard,
                None => return Ok(Outcome::Passed),
            },
            WriteMode::Integrity | WriteMode::Commit => Latched::write(block, nesting),
        };
        let Some(filler) = self.is_dirty(block) else {
            return Ok(Outcome::Passed);
        };
        let len = guard.bytes().len();
        let token = match order {
            None => None,
            Some(order) => match order.admit(info.addr, Bytes::new(len as u64), mode)? {
                Admission::Write(token) => Some(token),
                Admission::Fill { at, token } => {
                    self.fill(at, len, token.submitting());
                    return Ok(Outcome::Filled);
                }
                Admission::Skip => return Ok(Outcome::Passed),
                Admission::Hole => return Err(EAGAIN),
                Admission::Drain { start, len } => return Ok(Outcome::Drain(start, len.get())),
                Admission::AwaitData(seen) => return Ok(Outcome::AwaitData(seen)),
            },
        };
        let bytes = if filler {
            std::vec![0; guard.bytes().len()]
        } else {
            self.sealed(guard.bytes_mut(), &info)?
        };
        let addr = info.addr.get();
        let sent = Sent {
            addr,
            bytes,
            _in_flight: token.map(|token| token.submitting()),
        };
        self.enqueue(sent, filler);
        Ok(Outcome::Passed)
    }

    /// Whether a block that was found dirty still is, and whether it only fills its place.
    pub(super) fn is_dirty(&self, block: &BlockRef) -> Option<bool> {
        let state = self.state();
        let cached = state.blocks.get(&block.meta().addr.get())?;
        (Arc::ptr_eq(&cached.block, block) && cached.dirty).then_some(cached.filler)
    }

    pub(super) fn sealed(&self, bytes: &mut [u8], info: &BlockInfo) -> Result<std::vec::Vec<u8>> {
        let expected = Expected {
            owner: None,
            level: info.level,
            generation: info.generation,
            first_key: None,
        };
        let format = self.backing.format();
        let context = self.context(&format, &expected, info.addr);
        seal(bytes, &context).map_err(Corrupt::report)?;
        Ok(bytes.to_vec())
    }

    /// Zeros for an address without a block.
    pub(super) fn fill(&self, at: Logical, len: usize, in_flight: InFlight) {
        let sent = Sent {
            addr: at.get(),
            bytes: std::vec![0; len],
            _in_flight: Some(in_flight),
        };
        self.enqueue(sent, true);
    }

    pub(super) fn enqueue(&self, sent: Sent, filler: bool) {
        let mut state = self.state();
        if filler {
            state.blocks.remove(&sent.addr);
        } else if let Some(cached) = state.blocks.get_mut(&sent.addr) {
            cached.dirty = false;
        }
        state.queue.push_back(sent);
        state.counters.writes += 1;
        while state.queue.len() > QUEUE {
            self.submit_first(&mut state);
        }
    }

    /// Sends the dirty blocks of a range, in ascending order.
    pub(super) fn send_range(&self, range: Range<u64>, mode: WriteMode) -> Result {
        let mut order = self.order.get().map(|order| order.take_turn());
        self.backing.check_sending()?;
        let mut from = range.start;
        while let Some(block) = self.next_dirty(from..range.end) {
            match self.send(&block, order.as_mut(), mode)? {
                Outcome::Passed => from = block.meta().addr.get() + 1,
                Outcome::Filled => {}
                Outcome::Drain(start, len) => {
                    drop(order);
                    self.complete(start.get()..start.get() + len);
                    order = self.order.get().map(|order| order.take_turn());
                }
                Outcome::AwaitData(seen) => {
                    drop(order);
                    self.order.get().inspect(|order| order.await_data(seen));
                    order = self.order.get().map(|order| order.take_turn());
                }
            }
        }
        Ok(())
    }

    /// Groups that hold active zones, in the order in which they should be written.
    pub(super) fn active_groups(&self) -> std::vec::Vec<Range<u64>> {
        let Some(order) = self.order.get() else {
            return std::vec::Vec::new();
        };
        let order = order.take_turn();
        let mut groups = std::vec::Vec::new();
        let mut after = None;
        while let Some((start, len)) = order.active_after(after) {
            groups.push(start.get()..start.get().saturating_add(len.get()));
            after = Some(start);
        }
        groups
    }

    /// Waits for the blocks of a range that are on their way.
    pub(super) fn complete(&self, range: Range<u64>) {
        let mut state = self.state();
        while state.queue.iter().any(|sent| range.contains(&sent.addr)) {
            self.submit_first(&mut state);
        }
    }

    pub(super) fn submit_first(&self, state: &mut State) {
        let Some(Sent {
            addr,
            bytes,
            _in_flight,
        }) = state.queue.pop_front()
        else {
            return;
        };
        if let Err(error) = self.write_copies(Logical::new(addr), &bytes) {
            state.failed.push((addr, error));
        }
    }

    pub(super) fn write_copies(&self, addr: Logical, bytes: &[u8]) -> Result {
        let mut result = Ok(());
        for (device, at) in self.backing.places(addr, bytes.len() as u64)? {
            result = result.and(self.backing.device(device).write(at, bytes));
        }
        result
    }

    pub(super) fn submit_all(&self) {
        let mut state = self.state();
        while !state.queue.is_empty() {
            self.submit_first(&mut state);
        }
    }
}
