// SPDX-License-Identifier: GPL-2.0
//! Removed chunks whose device ranges are not free yet, and all device ranges that are not.

use crate::disk::{DeviceId, Generation, Logical};
use crate::map::{insert_in_order, OrdMap};
use crate::volume::{Chunk, DeviceRange};
use kernel::sync::Arc;
use latch::prelude::*;

/// The chunks that were removed in transactions that are not durable yet, and where on the devices no chunk can be made.
pub(in crate::txn) struct Leaving {
    chunks: KVVec<(Generation, Arc<Chunk>)>,
    /// The ranges of each device that were asked for that chunks have, those that leave among them; ascending.
    taken: OrdMap<DeviceId, KVVec<DeviceRange>>,
}

impl Leaving {
    /// What leaves when a volume is mounted: nothing.
    pub(in crate::txn) fn new() -> Self {
        Self {
            chunks: KVVec::new(),
            taken: OrdMap::new(),
        }
    }

    /// The ranges of a device at which no chunk can be made, ascending. The first time `read` tells those.
    pub(in crate::txn) fn taken(
        &mut self,
        devid: DeviceId,
        read: impl FnOnce(&Self) -> Result<KVVec<DeviceRange>>,
    ) -> Result<&[DeviceRange]> {
        if self.taken.get(&devid).is_none() {
            let ranges = read(self)?;
            self.taken.insert(devid, ranges)?;
        }
        Ok(self.taken.get(&devid).map_or(&[], |ranges| ranges))
    }

    /// A chunk is made: it takes its ranges.
    pub(in crate::txn) fn take(&mut self, chunk: &Chunk) -> Result {
        let len = chunk.stripe_len()?;
        for stripe in chunk.stripes.iter() {
            if let Some(ranges) = self.taken.get_mut(&stripe.devid) {
                let start = stripe.at;
                insert_in_order(ranges, DeviceRange { start, len })?;
            }
        }
        Ok(())
    }

    /// A chunk is gone: its ranges can be taken.
    fn free(&mut self, chunk: &Chunk) {
        for stripe in chunk.stripes.iter() {
            let Some(ranges) = self.taken.get_mut(&stripe.devid) else {
                continue;
            };
            if let Some(at) = ranges.iter().position(|range| range.start == stripe.at) {
                // It is there.
                let _ = ranges.remove(at);
            }
        }
    }

    /// Enters a chunk that `generation` removes.
    pub(in crate::txn) fn push(&mut self, generation: Generation, chunk: Arc<Chunk>) -> Result {
        self.chunks.push((generation, chunk), GFP_NOFAIL)?;
        Ok(())
    }

    /// Gives all of them.
    pub(in crate::txn) fn iter(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.chunks.iter().map(|(_, chunk)| chunk)
    }

    /// The transaction is durable: what it removed is gone.
    pub(in crate::txn) fn forget(&mut self, committed: Generation) {
        let is_gone = |(generation, _): &(Generation, Arc<Chunk>)| *generation <= committed;
        while let Some(at) = self.chunks.iter().position(is_gone) {
            let Some(last) = self.chunks.pop() else {
                return;
            };
            let gone = match self.chunks.get_mut(at) {
                Some(hole) => core::mem::replace(hole, last),
                None => last,
            };
            self.free(&gone.1);
        }
    }

    /// A removed chunk's device ranges are not to be used before the next mount.
    pub(in crate::txn) fn keep(&mut self, logical: Logical) {
        for (generation, chunk) in self.chunks.iter_mut() {
            if chunk.logical == logical {
                *generation = Generation::new(u64::MAX);
            }
        }
    }
}
