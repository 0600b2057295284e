// SPDX-License-Identifier: GPL-2.0
//! Removed chunks whose device ranges are not free yet.

use crate::disk::{Generation, Logical};
use crate::volume::Chunk;
use kernel::sync::Arc;
use latch::prelude::*;

/// The chunks that were removed in transactions that are not durable yet.
pub(super) struct Leaving {
    chunks: KVVec<(Generation, Arc<Chunk>)>,
}

impl Leaving {
    /// At mount.
    pub(super) fn new() -> Self {
        Self {
            chunks: KVVec::new(),
        }
    }

    /// Enters a chunk that `generation` removes.
    pub(super) fn push(&mut self, generation: Generation, chunk: Arc<Chunk>) -> Result {
        self.chunks.push((generation, chunk), GFP_NOFAIL)?;
        Ok(())
    }

    /// Gives all of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.chunks.iter().map(|(_, chunk)| chunk)
    }

    /// The transaction is durable: what it removed is gone.
    pub(super) fn settle(&mut self, committed: Generation) {
        let is_gone = |(generation, _): &(Generation, Arc<Chunk>)| *generation <= committed;
        while let Some(at) = self.chunks.iter().position(is_gone) {
            let Some(last) = self.chunks.pop() else {
                return;
            };
            if let Some(hole) = self.chunks.get_mut(at) {
                *hole = last;
            }
        }
    }

    /// A removed chunk's device ranges are not to be used before the next mount.
    pub(super) fn keep(&mut self, logical: Logical) {
        for (generation, chunk) in self.chunks.iter_mut() {
            if chunk.logical == logical {
                *generation = Generation::new(u64::MAX);
            }
        }
    }
}
