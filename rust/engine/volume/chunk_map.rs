// SPDX-License-Identifier: GPL-2.0
//! The map from logical addresses to chunks, and new chunks.

use super::allocate::{self, DeviceRange};
use super::members::Members;
use super::profile::Profile;
use super::{Chunk, Mapping, Place, Stripe, Volume};
use crate::disk::{
    self, BlockGroupFlags, Bytes, Corrupt, Flaw, Logical, Physical, MAX_CHUNK_END, STRIPE_LEN,
    SUPERBLOCK_PLACES,
};
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

    /// Where a range lies on these devices.
    pub(super) fn map(&self, addr: Logical, len: Bytes, members: &Members) -> Option<Mapping> {
        let chunk = self.find(addr)?;
        let offset = addr.checked_since(chunk.logical)?;
        let len = len.min(chunk.len.checked_sub(offset)?);
        let mut mapping = Mapping::new(chunk.logical, len);
        let profile = Profile::of(chunk.flags)?;
        for (devid, at) in profile.copies_at(&chunk.stripes, offset) {
            members.find(devid)?;
            mapping.push(Place { devid, at: at? });
        }
        (!mapping.copies().is_empty()).then_some(mapping)
    }
}

impl Volume {
    /// Maps a chunk that the chunk tree has. The one there already from the superblock must be the same.
    pub fn add_chunk(&self, chunk: Chunk) -> Result<Arc<Chunk>> {
        self.check_chunk(&chunk)?;
        let chunk = self.chunks.write().insert(chunk)?;
        self.members.hal(&chunk).claim(&chunk)?;
        Ok(chunk)
    }

    /// Only whole copies on devices of the volume can be mapped.
    fn check_chunk(&self, chunk: &Chunk) -> Result {
        let broken = |flaw: Flaw| flaw.at(disk::Place::Chunk(chunk.logical)).report();
        let Some(profile) = Profile::of(chunk.flags) else {
            pr_err!(
                "chunk {}: profile {} is not supported\n",
                chunk.logical,
                chunk.flags.profile()
            );
            return Err(EOPNOTSUPP);
        };
        let copies = profile.copies();
        if u64::try_from(chunk.stripes.len())? != copies {
            let found = chunk.stripes.len() as u64;
            return Err(broken(Flaw::new(
                "chunk's stripes do not fit its profile",
                found,
                copies,
            )));
        }
        for stripe in chunk.stripes.iter() {
            let Some(member) = self.members.having(stripe) else {
                let what = "chunk lies on a device that the volume does not have";
                return Err(broken(Flaw::new(
                    what,
                    stripe.devid,
                    self.members.first.devid,
                )));
            };
            let len = profile.stripe_len(chunk.len);
            let (end, size) = (stripe.at.saturating_add(len), member.device.size());
            if end > Physical::after(size) {
                let what = "chunk goes beyond its device";
                return Err(broken(Flaw::new(what, end.get(), size.get())));
            }
        }
        Ok(())
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

    /// Asked by who writes file data to one place: `EROFS` with a line in the log, where it is kept in several
    /// (`mkfs.btrfs -d dup`). Copies that nobody wrote would be left.
    pub fn check_data_copies(&self) -> Result {
        let mut next = self.chunk_from(Logical::new(0));
        while let Some(chunk) = next {
            if chunk.flags.contains(BlockGroupFlags::DATA) && chunk.stripes.len() > 1 {
                pr_err!("file data in several copies (DUP) can only be read: use ro\n");
                return Err(EROFS);
            }
            next = self.chunk_from(chunk.end());
        }
        Ok(())
    }

    /// Where `len` bytes at `addr` lie. Where no chunk has them, who asks for them is corrupt.
    pub fn map(&self, addr: Logical, len: Bytes) -> Result<Mapping> {
        self.find(addr, len).ok_or_else(|| no_chunk(addr).report())
    }

    /// Where `len` bytes at `addr` lie, if a chunk has them. For an address that may have been given up since it was
    /// looked up, and its chunk with it: that is no corruption.
    pub fn find(&self, addr: Logical, len: Bytes) -> Option<Mapping> {
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
        for &place in self.members.hal(chunk).superblock_places() {
            for stripe in chunk.stripes.iter() {
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

    /// The first range of at least `least` bytes at or behind `from` of a device that no chunk uses and no superblock
    /// stands in. `used` as for [`Self::plan_chunk`]. Not for zones.
    pub fn unused_from(
        &self,
        devid: u64,
        used: &[DeviceRange],
        from: Physical,
        least: Bytes,
    ) -> Result<Option<DeviceRange>> {
        let member = self.members.find(devid).ok_or(ENODEV)?;
        let usable = self.device_bytes(devid).ok_or(ENODEV)?;
        let end = member.device.size().min(usable);
        Ok(allocate::unused_from(
            used,
            from,
            Physical::after(end),
            least,
        ))
    }

    /// Tells a device that a range of it is unused. A hint: errors do not matter.
    pub fn discard(&self, devid: u64, at: Physical, len: Bytes) {
        if let Some(member) = self.members.find(devid) {
            let _ = member.device.discard(at, len);
        }
    }

    /// Plans a chunk on a device: where, and how long. Changes nothing; on zoned volumes it takes only empty zones.
    ///
    /// The caller serialises planning and what follows (chunk mutex), then writes CHUNK_ITEM, DEV_EXTENTs, DEV_ITEM
    /// and the block group, and calls [`Self::add_chunk`]. `used`: all DEV_EXTENTs of the device, ascending. `ENOSPC`
    /// when nothing large enough is free.
    pub fn plan_chunk(
        &self,
        flags: BlockGroupFlags,
        devid: u64,
        used: &[DeviceRange],
    ) -> Result<Chunk> {
        let member = self.members.find(devid).ok_or(ENODEV)?;
        let profile = Profile::of(flags).ok_or(EOPNOTSUPP)?;
        let DeviceRange { start, len } = member.hal.plan(flags, used)?;
        let logical = self.chunks.read().end();
        let end = logical.checked_add(profile.chunk_len(len));
        if end.is_none_or(|end| end > MAX_CHUNK_END) {
            return Err(ENOSPC);
        }
        let mut stripes = KVec::new();
        for copy in 0..profile.copies() {
            let stripe = Stripe {
                devid,
                at: start.saturating_add(len.saturating_mul(copy)),
                dev_uuid: member.uuid,
            };
            stripes.push(stripe, GFP_NOFAIL)?;
        }
        Ok(Chunk {
            logical,
            len: profile.chunk_len(len),
            flags,
            stripes,
        })
    }
}

/// What is said where an address that somebody uses is in no chunk.
#[cold]
pub fn no_chunk(addr: Logical) -> Corrupt {
    Flaw::missing("address is in no chunk").at(disk::Place::Extent(addr))
}
