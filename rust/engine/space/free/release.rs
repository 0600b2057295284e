// SPDX-License-Identifier: GPL-2.0
//! Addresses coming back: at once, or when the transaction that freed them is durable.

use super::pinned::Spans;
use super::trim::Discard;
use crate::disk::{Bug, Generation, Logical};
use crate::space::groups::group::Group;
use crate::space::reserve::ByteState;
use crate::space::{Class, Reservation, Space};
use crate::volume::Chunk;
use core::sync::atomic::Ordering;
use kernel::sync::Arc;
use latch::prelude::*;

impl Space {
    /// Gives back what was allocated and never written, and has no extent item: reserved becomes free, or on
    /// sequential zones unusable. For data extents too, whose write never started. Memory only.
    pub fn release_unwritten(&self, addr: Logical, len: u64) {
        let start = addr.get();
        let released = self.group_holding(start, len).and_then(|group| {
            group.give_back(start, start.saturating_add(len), ByteState::Reserved)?;
            self.data_given_up(&group, len)
        });
        if let Err(error) = released {
            // It stays reserved until unmount; what is on disk is right.
            pr_warn!("{len} bytes at {start} could not be given back: {error:?}\n");
        }
    }

    /// As [`Self::release_unwritten`], but the bytes are promised to `to` as they were before they were allocated: nobody
    /// else gets them in between. `ENOSPC`: the address has come back, and the promise has not. That is on sequential
    /// zones, where the same bytes cannot be had again, or in a group that is on its way out, and if all else that is
    /// free is promised.
    pub fn take_back_unwritten(&self, addr: Logical, len: u64, to: &Reservation) -> Result {
        let start = addr.get();
        let group = self.group_holding(start, len)?;
        let taken = group.take_back(start, start.saturating_add(len), to);
        self.data_given_up(&group, len)?;
        taken
    }

    /// As [`Self::release_unwritten`] for a data extent that was written, of which [`Self::data_written`] has been told.
    pub fn release_written(&self, addr: Logical, len: u64) {
        let start = addr.get();
        let released = self.group_holding(start, len).and_then(|group| {
            group.give_back(start, start.saturating_add(len), ByteState::Reserved)
        });
        if let Err(error) = released {
            pr_warn!("{len} bytes at {start} could not be given back: {error:?}\n");
        }
    }

    /// Keeps what `generation` freed until [`Self::unpin`]: reserved becomes pinned. For what was written but has no
    /// extent item: blocks of log trees, blocks that went out before they were dropped, failed data writes. What has
    /// an extent item is pinned by [`Self::note_freed`]. Memory only.
    pub fn pin(&self, addr: Logical, len: u64, generation: Generation) -> Result {
        let group = self.group_holding(addr.get(), len)?;
        self.pin_in(&group, addr.get(), len, ByteState::Reserved, generation)
    }

    pub(in crate::space) fn pin_in(
        &self,
        group: &Group,
        start: u64,
        len: u64,
        from: ByteState,
        generation: Generation,
    ) -> Result {
        group.move_bytes(len, from, ByteState::Pinned)?;
        self.pins
            .lock()
            .push(generation, start, start.saturating_add(len))
    }

    /// How often addresses that were freed have become free to be used again. Who looked up an address, read there, and
    /// finds this number unchanged has read what was meant; [`Self::unpin`] changes it before it does anything.
    pub fn reuses(&self) -> u64 {
        self.reuses.load(Ordering::Acquire)
    }

    /// Makes free what was pinned by `generation` and those before; on sequential zones unusable, and groups that hold
    /// nothing any more are reset. The superblock of `generation` is durable. May talk to devices (discard, zone
    /// reset); no tree block lock is held.
    ///
    /// After an error what could not be freed is still pinned and waits for the next call.
    pub fn unpin(&self, generation: Generation) -> Result {
        self.commit_may_free.store(false, Ordering::Relaxed);
        // Before any address can be allocated again.
        self.reuses.fetch_add(1, Ordering::AcqRel);
        let mut result = Ok(());
        loop {
            let set = self.pins.lock().pop(generation);
            let Some((of, mut spans)) = set else { break };
            if let Err(error) = self.unpin_spans(&mut spans) {
                pr_warn!("{} ranges stay pinned for now: {error:?}\n", spans.len());
                self.pins.lock().put_back((of, spans));
                result = Err(error);
                break;
            }
        }
        self.reset_empty_groups()?;
        for class in Class::ALL {
            self.space_infos.get(class).relax();
        }
        result
    }

    fn unpin_spans(&self, spans: &mut Spans) -> Result {
        let mut last: Option<Arc<Group>> = None;
        while let Some((start, end)) = spans.pop() {
            // Neighbours in the list may belong to neighbouring groups.
            let found = self
                .groups
                .read()
                .holding(start, start.saturating_add(1))
                .cloned();
            let group = found.or(last.take()).ok_or_else(|| {
                Bug::new("pinned range lies in no block group")
                    .of(start)
                    .report()
            })?;
            let cut = end.min(group.end());
            if cut < end {
                spans.push(cut, end)?;
            }
            if self.trims.discard() == Discard::AtUnpin {
                self.discard_range(start, cut);
            }
            if let Err(error) = group.give_back(start, cut, ByteState::Pinned) {
                spans.push(start, cut)?;
                return Err(error);
            }
            self.trims.note(start, cut);
            last = Some(group);
        }
        Ok(())
    }

    /// Tells the devices that a range is unused. A hint: errors do not matter.
    pub(in crate::space) fn discard_range(&self, start: u64, end: u64) {
        let mut at = start;
        while at < end {
            // Sequential zones are reset instead.
            let sequential = |chunk: Arc<Chunk>| self.volume.is_sequential(&chunk);
            if self.volume.chunk(Logical::new(at)).is_ok_and(sequential) {
                return;
            }
            let Ok(mapping) = self.volume.map(Logical::new(at), end.saturating_sub(at)) else {
                return;
            };
            for place in mapping.copies() {
                if let Some(device) = self.volume.device(place.device) {
                    let _ = device.discard(place.at, mapping.len);
                }
            }
            if mapping.len == 0 {
                return;
            }
            at = at.saturating_add(mapping.len);
        }
    }
}
