// SPDX-License-Identifier: GPL-2.0
//! The volume's map of chunks, and new ones.

use super::allocate::{self, DeviceRange};
use super::{Chunk, Mapping, Member, Stripe, Volume};
use crate::disk::{BlockGroupFlags, Flaw, Logical, Physical, Place, STRIPE_LEN, SUPERBLOCK_PLACES};
use crate::map::insert_in_order;
use kernel::sync::Arc;
use latch::prelude::*;

impl Volume {
    /// Maps a chunk that the chunk tree has. The one there already from the superblock must be the same.
    pub fn add_chunk(&self, chunk: Chunk) -> Result<Arc<Chunk>> {
        self.check_chunk(&chunk)?;
        let chunk = self.chunks.write().insert(chunk)?;
        self.member.hal.claim(&chunk)?;
        Ok(chunk)
    }

    /// Only whole copies on this device can be mapped.
    fn check_chunk(&self, chunk: &Chunk) -> Result {
        let broken = |flaw: Flaw| flaw.at(Place::Chunk(chunk.logical)).report();
        let Some(copies) = allocate::copies_per_device(chunk.flags) else {
            pr_err!(
                "chunk {}: profile {} is not supported\n",
                chunk.logical,
                chunk.flags.profile()
            );
            return Err(EOPNOTSUPP);
        };
        if u64::try_from(chunk.stripes.len())? != copies {
            let found = chunk.stripes.len() as u64;
            return Err(broken(Flaw::new(
                "chunk's stripes do not fit its profile",
                found,
                copies,
            )));
        }
        for stripe in chunk.stripes.iter() {
            let Member { devid, uuid, .. } = self.member;
            if stripe.devid != devid || stripe.dev_uuid != uuid {
                let what = "chunk lies on a device that the volume does not have";
                return Err(broken(Flaw::new(what, stripe.devid, devid)));
            }
            let (end, size) = (
                stripe.at.saturating_add(chunk.len),
                self.member.device.size(),
            );
            if end.get() > size {
                let what = "chunk goes beyond its device";
                return Err(broken(Flaw::new(what, end.get(), size)));
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
        chunk.ok_or_else(|| no_chunk(addr))
    }

    /// The first chunk that starts at or behind an address: for walking all of them.
    pub fn chunk_from(&self, addr: Logical) -> Option<Arc<Chunk>> {
        self.chunks.read().from(addr).cloned()
    }

    /// For who writes file data to one place: `EROFS` with a line in the log, where it is kept in several
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
    pub fn map(&self, addr: Logical, len: u64) -> Result<Mapping> {
        let mapping = self
            .chunks
            .read()
            .map(addr, len, |devid| self.index_of(devid));
        mapping.ok_or_else(|| no_chunk(addr))
    }

    /// The ranges of a chunk under superblock copies: never allocated (C: `exclude_super_stripes`). They ascend and
    /// do not overlap.
    pub fn superblock_ranges(&self, chunk: &Chunk) -> Result<KVec<(Logical, u64)>> {
        let mut ranges: KVec<(Logical, u64)> = KVec::new();
        // An old mkfs made chunks there.
        let [first, ..] = SUPERBLOCK_PLACES;
        if let Some(len) = first
            .checked_sub(chunk.logical.get())
            .filter(|&len| len > 0)
        {
            insert_in_order(&mut ranges, (chunk.logical, len.min(chunk.len)))?;
        }
        for &place in self.member.hal.superblock_places() {
            for stripe in chunk.stripes.iter() {
                let Some(offset) = Physical::new(place).checked_since(stripe.at) else {
                    continue;
                };
                if let Some(rest) = chunk.len.checked_sub(offset).filter(|&rest| rest > 0) {
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
            if let Some(len) = end.checked_since(start).filter(|&len| len > 0) {
                apart.push((start, len), GFP_NOFAIL)?;
            }
        }
        Ok(apart)
    }

    /// Plans a chunk: where, and how long. Changes nothing; on zoned volumes it takes only empty zones.
    ///
    /// The caller serialises planning and what follows (chunk mutex), then writes CHUNK_ITEM, DEV_EXTENTs, DEV_ITEM
    /// and the block group, and calls [`Self::add_chunk`]. `used`: all DEV_EXTENTs of the device with this index,
    /// ascending. `ENOSPC` when nothing large enough is free.
    pub fn plan_chunk(
        &self,
        flags: BlockGroupFlags,
        device: usize,
        used: &[DeviceRange],
    ) -> Result<Chunk> {
        if device != 0 {
            return Err(ENODEV);
        }
        let copies = allocate::copies_per_device(flags).ok_or(EOPNOTSUPP)?;
        let DeviceRange { start, len } = self.member.hal.plan(flags, used)?;
        let logical = self.chunks.read().end();
        logical.checked_add(len).ok_or(ENOSPC)?;
        let mut stripes = KVec::new();
        for copy in 0..copies {
            let at = start.saturating_add(copy.saturating_mul(len));
            let Member { devid, uuid, .. } = self.member;
            stripes.push(
                Stripe {
                    devid,
                    at,
                    dev_uuid: uuid,
                },
                GFP_NOFAIL,
            )?;
        }
        Ok(Chunk {
            logical,
            len,
            flags,
            stripes,
        })
    }
}

#[cold]
fn no_chunk(addr: Logical) -> Error {
    let flaw = Flaw::missing("address is in no chunk");
    flaw.at(Place::Extent(addr)).report()
}
