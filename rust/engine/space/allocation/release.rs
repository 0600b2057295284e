// SPDX-License-Identifier: GPL-2.0
//! Addresses coming back when the transaction that freed them is durable.

use super::trim::{Discard, Trims};
use crate::disk::{Bug, Bytes, Generation, Logical};
use crate::space::free::pinned::{Pins, Spans};
use crate::space::groups::block_groups::BlockGroups;
use crate::space::groups::group::Group;
use crate::space::reserve::ByteState;
use core::sync::atomic::Ordering;
use kernel::sync::Arc;
use latch::prelude::*;
use latch::{Mutex, Rank};

/// Keeps what was freed until it may be used again.
pub(in crate::space) struct Releases {
    groups: Arc<BlockGroups>,
    pins: Mutex<Pins>,
}

impl Releases {
    pub(in crate::space) fn new(groups: Arc<BlockGroups>) -> Result<Self> {
        Ok(Self {
            groups,
            pins: Mutex::new(Pins::new(), Rank::Pinned)?,
        })
    }

    /// Keeps a range of a group, the bytes of which are in the state `from`, until [`Self::unpin`].
    pub(in crate::space) fn pin(
        &self,
        group: &Group,
        start: Logical,
        len: Bytes,
        from: ByteState,
        generation: Generation,
    ) -> Result {
        let end = start.saturating_add(len);
        group.keep(start, end, from)?;
        self.pins.lock().push(generation, start, end)
    }

    /// Makes free what was pinned by `generation` and those before; on sequential zones unusable. After an error what
    /// could not be freed is still pinned and waits for the next call.
    pub(in crate::space) fn unpin(&self, generation: Generation, trims: &Trims) -> Result {
        self.groups.commit_may_free.store(false, Ordering::Relaxed);
        self.groups.commits.fetch_add(1, Ordering::Relaxed);
        // Where that frees nothing yet, what can be allocated again is counted where it is known.
        if !self.groups.volume.rules().frees_whole_groups() {
            self.groups.count_reuse();
        }
        let mut result = Ok(());
        loop {
            let set = self.pins.lock().pop(generation);
            let Some((of, mut spans)) = set else { break };
            if let Err(error) = self.unpin_spans(&mut spans, trims) {
                pr_warn!("{} ranges stay pinned for now: {error:?}\n", spans.len());
                self.pins.lock().put_back((of, spans));
                result = Err(error);
                break;
            }
        }
        result
    }

    fn unpin_spans(&self, spans: &mut Spans, trims: &Trims) -> Result {
        let mut last: Option<Arc<Group>> = None;
        // Whether it was told that addresses come back: once for all of them.
        let mut is_counted = !self.groups.volume.rules().frees_whole_groups();
        while let Some((start, end)) = spans.pop() {
            // Neighbours in the list may belong to neighbouring groups.
            let found = self
                .groups
                .read()
                .holding(start, start.saturating_add(Bytes::new(1)))
                .cloned();
            let group = found.or(last.take()).ok_or_else(|| {
                Bug::new("pinned range lies in no block group")
                    .of(start.get())
                    .report()
            })?;
            let cut = end.min(group.end());
            if cut < end {
                spans.push(cut, end)?;
            }
            if !is_counted && group.is_rewritten_in_place() {
                self.groups.count_reuse();
                is_counted = true;
            }
            if trims.discard() == Discard::AtUnpin {
                trims.discard_range(start, cut);
            }
            if let Err(error) = group.give_back(start, cut, ByteState::Pinned) {
                spans.push(start, cut)?;
                return Err(error);
            }
            trims.note(start, cut);
            last = Some(group);
        }
        Ok(())
    }
}
