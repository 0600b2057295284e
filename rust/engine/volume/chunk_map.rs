// SPDX-License-Identifier: GPL-2.0
//! The map from logical addresses to chunks.

use super::members::Members;
use super::profile::{InStripe, Profile};
use super::{Chunk, ChunkMapping, DeviceAddress, Volume, NO_DEVICE};
use crate::disk::{self, Bytes, Corrupt, Flaw, Logical, STRIPE_LEN, SUPERBLOCK_PLACES};
use crate::map::{insert_in_order, OrdMap};
use kernel::sync::Arc;
use latch::prelude::*;

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
            let free = after.map_or(Bytes::ZERO, |after| {
                after.logical.saturating_since(chunk.logical)
            });
            let flaw = Flaw::new("chunk overlaps another", chunk.len.get(), free.get());
            return Err(flaw.at(disk::Site::Chunk(chunk.logical)).report());
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

    /// Where a range lies on these devices.
    pub(super) fn map(&self, addr: Logical, len: Bytes, members: &Members) -> Option<ChunkMapping> {
        let chunk = self.find(addr)?;
        let offset = addr.checked_since(chunk.logical)?;
        let len = len.min(chunk.len.checked_sub(offset)?);
        let profile = Profile::of(chunk.flags)?;
        let mut mapping = ChunkMapping::new(chunk.logical, len, profile);
        for InStripe { stripe, offset } in profile.copies_at(offset) {
            let stripe = chunk.stripes.get(stripe)?;
            let devid = members.find(stripe.devid)?.devid;
            let at = stripe.at.checked_add(offset)?;
            mapping.push(DeviceAddress { devid, at });
        }
        (!mapping.copies().is_empty()).then_some(mapping)
    }
}

impl Volume {
    /// Maps a chunk that the chunk tree has. The one there already from the superblock must be the same.
    pub fn add_chunk(&self, chunk: Chunk) -> Result<Arc<Chunk>> {
        self.members.check(&chunk)?;
        let chunk = self.chunks.write().insert(chunk)?;
        for hal in self.members.hals(&chunk) {
            hal.claim(&chunk)?;
        }
        Ok(chunk)
    }

    /// Forgets a chunk.
    pub fn remove_chunk(&self, logical: Logical) -> Option<Arc<Chunk>> {
        self.chunks.write().remove(logical)
    }

    /// The chunk that holds an address. Where none does, who asks for it is corrupt.
    pub fn chunk(&self, addr: Logical) -> Result<Arc<Chunk>> {
        let chunk = self.chunks.read().find(addr).cloned();
        chunk.ok_or_else(|| no_chunk(addr).report())
    }

    /// The first chunk that starts at or behind an address: for walking all of them.
    pub fn chunk_from(&self, addr: Logical) -> Option<Arc<Chunk>> {
        self.chunks.read().from(addr).cloned()
    }

    /// Where `len` bytes at `addr` lie. Where no chunk has them, who asks for them is corrupt.
    pub fn map(&self, addr: Logical, len: Bytes) -> Result<ChunkMapping> {
        self.find(addr, len).ok_or_else(|| no_chunk(addr).report())
    }

    /// Where `len` bytes at `addr` lie, if a chunk has them. For an address that may have been given up since it was
    /// looked up, and its chunk with it: that is no corruption.
    pub fn find(&self, addr: Logical, len: Bytes) -> Option<ChunkMapping> {
        self.chunks.read().map(addr, len, &self.members)
    }

    /// The ranges of a chunk under superblock copies: never allocated (C: `exclude_super_stripes`). They ascend and
    /// do not overlap.
    pub fn superblock_ranges(&self, chunk: &Chunk) -> Result<KVec<(Logical, Bytes)>> {
        let mut ranges: KVec<(Logical, Bytes)> = KVec::new();
        // An old mkfs made chunks there.
        let [first, ..] = SUPERBLOCK_PLACES;
        if let Some(len) = Logical::new(first.get())
            .checked_since(chunk.logical)
            .filter(|len| !len.is_zero())
        {
            insert_in_order(&mut ranges, (chunk.logical, len.min(chunk.len)))?;
        }
        for stripe in chunk.stripes.iter() {
            let member = self.members.having(stripe).ok_or(NO_DEVICE)?;
            for &place in member.hal.superblock_places() {
                let Some(offset) = place.checked_since(stripe.at) else {
                    continue;
                };
                if let Some(rest) = chunk.len.checked_sub(offset).filter(|rest| !rest.is_zero()) {
                    let start = chunk.logical.saturating_add(offset);
                    insert_in_order(&mut ranges, (start, rest.min(STRIPE_LEN)))?;
                }
            }
        }
        let mut apart = KVec::new();
        let mut end = chunk.logical;
        for &(start, len) in ranges.iter() {
            let start = start.max(end);
            end = start.saturating_add(len).max(end);
            if let Some(len) = end.checked_since(start).filter(|len| !len.is_zero()) {
                apart.push((start, len), GFP_NOFAIL)?;
            }
        }
        Ok(apart)
    }
}

/// What is said where an address that somebody uses is in no chunk.
#[cold]
pub fn no_chunk(addr: Logical) -> Corrupt {
    Flaw::missing("address is in no chunk").at(disk::Site::Extent(addr))
}
