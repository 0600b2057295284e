// SPDX-License-Identifier: GPL-2.0
//! Chunks, and the map from logical addresses to places on devices.

use crate::disk::{self, BlockGroupFlags, ChunkItem, Flaw, Logical, NewChunk, Physical, Stripe};
use crate::map::OrdMap;
use kernel::sync::Arc;
use latch::prelude::*;

/// The most copies that a profile has.
pub const MAX_COPIES: usize = 4;

/// A chunk: a range of the logical space and where it lies.
///
/// Kept as one or several whole copies: striped chunks are not mapped.
#[derive(Debug)]
pub struct Chunk {
    /// Its address.
    pub logical: Logical,
    /// Its bytes, in the logical space and in each copy.
    pub len: u64,
    /// What it holds and how.
    pub flags: BlockGroupFlags,
    /// Where each copy begins. Two for DUP.
    pub stripes: KVec<Stripe>,
}

impl Chunk {
    /// The chunk of an item that passed the gate, at the address that its key names.
    pub fn from_item(logical: Logical, item: &ChunkItem<'_>) -> Result<Chunk> {
        let mut stripes = KVec::with_capacity(item.stripes().len(), GFP_KERNEL)?;
        for stripe in item.stripes() {
            stripes.push(stripe, GFP_KERNEL)?;
        }
        Ok(Chunk {
            logical,
            len: item.len,
            flags: item.flags,
            stripes,
        })
    }

    /// Its item, to be written.
    pub fn item(&self, sector_size: u32) -> NewChunk<'_> {
        NewChunk {
            len: self.len,
            flags: self.flags,
            sector_size,
            stripes: &self.stripes,
        }
    }

    /// The first address behind it.
    pub const fn end(&self) -> Logical {
        self.logical.saturating_add(self.len)
    }

    /// Whether it holds an address.
    pub fn contains(&self, addr: Logical) -> bool {
        addr.checked_since(self.logical)
            .is_some_and(|offset| offset < self.len)
    }

    fn is_same(&self, other: &Chunk) -> bool {
        self.logical == other.logical
            && self.len == other.len
            && self.flags == other.flags
            && self.stripes.as_slice() == other.stripes.as_slice()
    }
}

/// A place on a device of the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The device's index in the volume.
    pub device: usize,
    /// The address there.
    pub at: Physical,
}

/// Where a logical range lies.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// Bytes from the address on that lie in one piece, at most what was asked for.
    pub len: u64,
    copies: [Place; MAX_COPIES],
    count: usize,
}

impl Mapping {
    /// Where each copy is. Reads take any, writes go to all. Never empty.
    pub fn copies(&self) -> &[Place] {
        self.copies.get(..self.count).unwrap_or(&[])
    }

    fn new(len: u64) -> Self {
        Self {
            len,
            copies: [Place::default(); MAX_COPIES],
            count: 0,
        }
    }

    fn push(&mut self, place: Place) {
        if let Some(slot) = self.copies.get_mut(self.count) {
            *slot = place;
            self.count = self.count.saturating_add(1);
        }
    }
}

/// All chunks of a volume, by their addresses; they do not overlap.
pub(super) struct ChunkMap {
    chunks: OrdMap<Logical, Arc<Chunk>>,
}

impl ChunkMap {
    pub(super) fn new() -> Self {
        Self {
            chunks: OrdMap::new(),
        }
    }

    /// Adds a chunk, or finds it there already. One that overlaps another is corrupt.
    pub(super) fn insert(&mut self, chunk: Chunk) -> Result<Arc<Chunk>> {
        let before = self.chunks.floor(&chunk.logical).map(|(_, chunk)| chunk);
        if let Some(known) = before.filter(|known| known.is_same(&chunk)) {
            return Ok(known.clone());
        }
        let after = self.chunks.ceiling(&chunk.logical).map(|(_, chunk)| chunk);
        let overlaps = before.is_some_and(|before| before.end() > chunk.logical)
            || after.is_some_and(|after| after.logical < chunk.end());
        if overlaps {
            let free = after.map_or(0, |after| {
                after.logical.get().saturating_sub(chunk.logical.get())
            });
            let flaw = Flaw::new("chunk overlaps another", chunk.len, free);
            return Err(flaw.at(disk::Place::Chunk(chunk.logical)).report());
        }
        let chunk = Arc::new(chunk, GFP_NOFAIL)?;
        self.chunks.insert(chunk.logical, chunk.clone())?;
        Ok(chunk)
    }

    pub(super) fn remove(&mut self, logical: Logical) -> Option<Arc<Chunk>> {
        self.chunks.remove(&logical)
    }

    /// The chunk that holds an address.
    pub(super) fn find(&self, addr: Logical) -> Option<&Arc<Chunk>> {
        let (_, chunk) = self.chunks.floor(&addr)?;
        chunk.contains(addr).then_some(chunk)
    }

    /// The first chunk that starts at or behind an address.
    pub(super) fn from(&self, addr: Logical) -> Option<&Arc<Chunk>> {
        self.chunks.ceiling(&addr).map(|(_, chunk)| chunk)
    }

    /// The first address behind all chunks.
    pub(super) fn end(&self) -> Logical {
        self.chunks
            .last()
            .map_or(Logical::new(0), |(_, chunk)| chunk.end())
    }

    /// Where a range lies; `index` gives a device's index for its number.
    pub(super) fn map(
        &self,
        addr: Logical,
        len: u64,
        index: impl Fn(u64) -> Option<usize>,
    ) -> Option<Mapping> {
        let chunk = self.find(addr)?;
        let offset = addr.checked_since(chunk.logical)?;
        let mut mapping = Mapping::new(len.min(chunk.len.checked_sub(offset)?));
        for stripe in chunk.stripes.iter() {
            let at = stripe.at.checked_add(offset)?;
            mapping.push(Place {
                device: index(stripe.devid)?,
                at,
            });
        }
        (mapping.count > 0).then_some(mapping)
    }
}
