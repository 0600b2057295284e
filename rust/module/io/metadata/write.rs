// SPDX-License-Identifier: GPL-2.0

//! Blocks to the devices: in ascending order, on zoned volumes in the write order, as large requests.
//!
//! A block is sealed under its latch and marked as under writeback before the latch is released: from then on
//! the trees copy it before they change it. Nothing here waits during a turn, except for latches,
//! whose holders wait for neither turn nor commit.

use super::{addresses, Common};
use crate::linux::bio::{self, Completion, Plug};
use crate::linux::metadata_pages::{address_of, Pages};
use crate::linux::{Folio, LockedFolio, WriteUrgency, Writeback};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use engine::btree::{seal, BlockBytes, BlockInfo, WriteMode};
use engine::disk::{Bug, Bytes, Corrupt, Logical};
use engine::space::{Admission, InFlight, WriteOrder, WriteToken, WriteTurn};
use engine::volume::{ChunkMapping, NO_DEVICE};
use kernel::sync::aref::ARef;
use kernel::sync::{Arc, UniqueArc};
use latch::prelude::*;
use latch::{Latched, Nesting, Side, TreeKind, WriteGuard};

/// Blocks in one request at most: 1 MiB of the usual size.
const BATCH: usize = 64;

const NO_BATCH: Bug = Bug::new("a batch is gone that takes one more block");

/// Blocks that lie behind one another, on their way. Their writeback ends when the last copy is done.
struct Flight {
    folios: KVec<Writeback>,
    /// How many of the copies may fail.
    may_fail: u64,
    /// How many of the copies could not be written.
    failed: AtomicU64,
    /// Ends after the writeback.
    in_flight: KVec<InFlight>,
}

impl Completion for Flight {
    fn complete(this: Arc<Self>, result: Result) {
        if result.is_err() {
            this.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl bio::Flight for Flight {
    fn folios(&self) -> &[Writeback] {
        &self.folios
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if *self.failed.get_mut() > self.may_fail {
            self.folios.iter().for_each(Writeback::lost);
        }
    }
}

/// Blocks that will go out as one request for each copy. All memory is there before the first is added.
struct Batch {
    start: Logical,
    len: Bytes,
    flight: UniqueArc<Flight>,
    kind: WriteUrgency,
}

/// What became of one block.
enum Batching {
    /// The block is in the batch.
    Taken,
    /// The block is left for later, or was clean.
    Left,
    /// The writes in a range must complete first.
    Drain(Logical, Bytes),
    /// A data write must end first.
    AwaitData(u64),
}

impl Common {
    /// Writes the dirty blocks in `range` until `limit` pages are used up.
    pub(super) fn write(
        &self,
        pages: &Pages,
        range: &Range<Logical>,
        mode: WriteMode,
        limit: &mut i64,
    ) -> Result {
        let none = WriteOrder::none();
        let order = self.order.as_ref().map_or(&none, |order| &**order);
        let _plug = Plug::start()?;
        // Groups that hold active zones first: their completion makes room for the others.
        let mut active = None;
        loop {
            // A statement of its own: the guard must be gone before the next is taken.
            let next = order.take_turn().active_after(active);
            let Some((group, len)) = next else { break };
            let end = group.saturating_add(len).min(range.end);
            let of_group = range.start.max(group)..end;
            self.write_range(pages, order, &of_group, mode, limit)?;
            active = Some(group);
        }
        self.write_range(pages, order, range, mode, limit)
    }

    fn write_range(
        &self,
        pages: &Pages,
        order: &WriteOrder,
        range: &Range<Logical>,
        mode: WriteMode,
        limit: &mut i64,
    ) -> Result {
        let mut from = range.start;
        while from < range.end && *limit > 0 {
            let dirty = pages.dirty(&(from..range.end))?;
            let Some(last) = dirty.last() else { break };
            let next = address_of(last).saturating_add(last.size().into());
            self.write_folios(pages, order, &dirty, mode, limit)?;
            from = next;
        }
        Ok(())
    }

    /// Writes some folios, which ascend. `EROFS` after an abort.
    fn write_folios(
        &self,
        pages: &Pages,
        order: &WriteOrder,
        dirty: &[ARef<Folio>],
        mode: WriteMode,
        limit: &mut i64,
    ) -> Result {
        let mut batch = None;
        let mut guard = self.take_turn(order)?;
        let mut rest = dirty;
        while let Some((folio, tail)) = rest.split_first() {
            let outcome = self.write_folio(pages, &mut guard, &mut batch, folio, mode);
            match outcome {
                Ok(Batching::Taken) => {
                    *limit = limit.saturating_sub(pages_of(folio));
                    rest = tail;
                }
                Ok(Batching::Left) => rest = tail,
                Ok(Batching::Drain(start, len)) => {
                    self.submit(batch.take());
                    drop(guard);
                    pages.wait_keeping_errors(&addresses(start, len));
                    guard = self.take_turn(order)?;
                }
                Ok(Batching::AwaitData(seen)) => {
                    self.submit(batch.take());
                    drop(guard);
                    order.await_data(seen);
                    guard = self.take_turn(order)?;
                }
                Err(error) => {
                    self.submit(batch.take());
                    return Err(error);
                }
            }
        }
        // Before the turn ends: the next writer's blocks come after these.
        self.submit(batch.take());
        drop(guard);
        Ok(())
    }

    /// The turn to write, with which blocks may be sent. `EROFS` after an abort, which may have come in the wait for it.
    fn take_turn<'a>(&self, order: &'a WriteOrder) -> Result<WriteTurn<'a>> {
        let turn = order.take_turn();
        self.volume.check_sending()?;
        Ok(turn)
    }

    /// After an abort: takes the marks off dirty blocks, so that nobody waits for memory that never becomes clean. The blocks
    /// are kept until the unmount.
    pub(super) fn give_up(&self, pages: &Pages, range: &Range<Logical>, limit: &mut i64) -> Result {
        let mut from = range.start;
        while from < range.end && *limit > 0 {
            let dirty = pages.dirty(&(from..range.end))?;
            let Some(last) = dirty.last() else { break };
            from = address_of(last).saturating_add(last.size().into());
            for folio in &dirty {
                if let Some(block) = self.index.get(address_of(folio)) {
                    let generation = block.meta().generation.get();
                    self.unsent_from.fetch_min(generation, Ordering::Relaxed);
                }
                if let Some(writeback) = start_writeback(folio) {
                    *limit = limit.saturating_sub(pages_of(folio));
                    drop(writeback);
                }
            }
        }
        Ok(())
    }

    /// Whether the block at an address was given up, or may have been. The folio is locked, so that it is not given up
    /// meanwhile.
    pub(super) fn is_given_up(&self, addr: Logical) -> bool {
        let from = self.unsent_from.load(Ordering::Relaxed);
        let block = (from != u64::MAX).then(|| self.index.get(addr)).flatten();
        block.is_some_and(|block| block.meta().generation.get() >= from)
    }

    /// Puts one block into the batch, if it may go now.
    fn write_folio(
        &self,
        pages: &Pages,
        guard: &mut WriteTurn<'_>,
        batch: &mut Option<Batch>,
        folio: &ARef<Folio>,
        mode: WriteMode,
    ) -> Result<Batching> {
        let addr = address_of(folio);
        let Some(block) = self.index.get(addr) else {
            return Ok(Batching::Left);
        };
        let nesting = Nesting {
            tree: TreeKind::Other,
            level: block.meta().level,
            side: Side::Path,
        };
        let mut bytes = match mode {
            WriteMode::Background => match Latched::try_write(&block) {
                Some(bytes) => bytes,
                None => return Ok(Batching::Left),
            },
            WriteMode::Integrity | WriteMode::Commit => Latched::write(&block, nesting),
        };
        if !is_unsent(folio, &bytes) {
            return Ok(Batching::Left);
        }
        loop {
            let token = match guard.admit(addr, self.node_size.into(), mode)? {
                Admission::Write(token) => token,
                Admission::Fill { at, token } => {
                    self.fill(pages, batch, at, token, mode)?;
                    continue;
                }
                Admission::Skip => return Ok(Batching::Left),
                Admission::Hole => return Err(EAGAIN),
                Admission::Drain { start, len } => return Ok(Batching::Drain(start, len)),
                Admission::AwaitData(seen) => return Ok(Batching::AwaitData(seen)),
            };
            let open = self.batch_for(batch, addr, mode)?;
            seal(bytes.bytes_mut(), &self.context(addr, None)).map_err(Corrupt::report)?;
            let Some(folio) = start_writeback(folio) else {
                return Ok(Batching::Left);
            };
            // Nothing fails from here on.
            open.push(folio, token.submitting(), self.node_size.into());
            return Ok(Batching::Taken);
        }
    }

    /// Puts zeros into the batch for an address without a block.
    fn fill(
        &self,
        pages: &Pages,
        batch: &mut Option<Batch>,
        at: Logical,
        token: WriteToken<'_>,
        mode: WriteMode,
    ) -> Result {
        let (folio, bytes) = self.blank(pages, at)?;
        let open = self.batch_for(batch, at, mode)?;
        let writeback = folio.start_writeback();
        open.push(writeback, token.submitting(), self.node_size.into());
        drop(bytes);
        Ok(())
    }

    /// The batch, which takes a block at `addr` now.
    fn batch_for<'b>(
        &self,
        batch: &'b mut Option<Batch>,
        addr: Logical,
        mode: WriteMode,
    ) -> Result<&'b mut Batch> {
        let fits = match batch.as_ref() {
            Some(open) => open.takes(addr) && self.adjoins(open)?,
            None => false,
        };
        if !fits {
            let next = Batch::new(addr, mode)?;
            self.submit(batch.take());
            return Ok(batch.insert(next));
        }
        Ok(batch.as_mut().ok_or(NO_BATCH)?)
    }

    /// Whether every copy of the batch goes on for one more block.
    fn adjoins(&self, batch: &Batch) -> Result<bool> {
        if batch.len.is_zero() {
            return Ok(true);
        }
        let len = batch.len.saturating_add(self.node_size.into());
        Ok(self.volume.map(batch.start, len)?.len >= len)
    }

    /// Sends a batch, one request for each copy.
    fn submit(&self, batch: Option<Batch>) {
        let Some(mut batch) = batch.filter(|batch| !batch.len.is_zero()) else {
            return;
        };
        let mapping = self.volume.map(batch.start, batch.len);
        batch.flight.may_fail = mapping.as_ref().map_or(0, ChunkMapping::may_fail);
        let flight = batch.flight.into();
        match mapping {
            Ok(mapping) => self.submit_copies(&mapping, &flight, batch.kind),
            Err(error) => Flight::complete(flight, Err(error)),
        }
    }

    fn submit_copies(&self, mapping: &ChunkMapping, flight: &Arc<Flight>, kind: WriteUrgency) {
        for place in mapping.copies() {
            let Some(device) = self.devices.get(place.devid) else {
                Flight::complete(flight.clone(), Err(NO_DEVICE.report()));
                continue;
            };
            device.send(kind, place.at, flight.clone());
        }
    }
}

/// Whether a block is still to be sent. Who sends one takes the mark off first and begins the writeback then, in one hold of
/// the latch: without it, a block could be neither, and a commit that saw that would not wait for it.
fn is_unsent(folio: &Folio, _latched: &WriteGuard<BlockInfo, KBox<dyn BlockBytes>>) -> bool {
    folio.is_dirty()
}

/// Takes the dirty mark of a folio over into writeback, unless somebody else did.
fn start_writeback(folio: &ARef<Folio>) -> Option<Writeback> {
    LockedFolio::lock(folio.clone()).start_writeback_of_dirty()
}

fn pages_of(folio: &Folio) -> i64 {
    (folio.size() / kernel::page::PAGE_SIZE) as i64
}

impl Batch {
    fn new(start: Logical, mode: WriteMode) -> Result<Self> {
        let flight = Flight {
            folios: KVec::with_capacity(BATCH, GFP_NOFAIL)?,
            may_fail: 0,
            failed: AtomicU64::new(0),
            in_flight: KVec::with_capacity(BATCH, GFP_NOFAIL)?,
        };
        Ok(Self {
            start,
            len: Bytes::ZERO,
            flight: UniqueArc::new(flight, GFP_NOFAIL)?,
            kind: match mode {
                WriteMode::Background => WriteUrgency::Background,
                WriteMode::Integrity | WriteMode::Commit => WriteUrgency::Sync,
            },
        })
    }

    fn takes(&self, addr: Logical) -> bool {
        self.start.checked_add(self.len) == Some(addr) && self.flight.folios.len() < BATCH
    }

    /// Adds a block; there is room.
    fn push(&mut self, folio: Writeback, in_flight: InFlight, len: Bytes) {
        let flight = &mut *self.flight;
        if let Err(no_room) = flight.folios.push_within_capacity(folio) {
            no_room.0.lost();
        }
        let alone = match flight.in_flight.last_mut() {
            Some(last) => last.join(in_flight).err(),
            None => Some(in_flight),
        };
        if let Some(in_flight) = alone {
            let _ = flight.in_flight.push_within_capacity(in_flight);
        }
        self.len = self.len.saturating_add(len);
    }
}
