// SPDX-License-Identifier: GPL-2.0
//! A chunk, and where a range of it lies.

use super::profile::Profile;
use crate::disk::{
    BlockGroupFlags, Bytes, ChunkItem, DeviceId, Logical, NewChunk, Physical, Stripe,
};
use latch::prelude::*;

/// The most copies that a profile has.
pub const MAX_COPIES: usize = 4;

/// A chunk: a range of the logical space and where it lies.
///
/// Where a byte of it is in the stripes, its profile says.
#[derive(Debug)]
pub struct Chunk {
    /// Where it begins in the address space.
    pub logical: Logical,
    /// The chunk's bytes in the logical space.
    pub len: Bytes,
    /// What it holds and how.
    pub flags: BlockGroupFlags,
    /// Where its stripes begin.
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

    /// The chunk's item, to be written.
    pub fn item(&self, sector_size: u32) -> NewChunk<'_> {
        NewChunk {
            len: self.len,
            flags: self.flags,
            sector_size,
            stripes: &self.stripes,
        }
    }

    /// Bytes of each stripe on its device. `EOPNOTSUPP` where the profile is not supported.
    pub fn stripe_len(&self) -> Result<Bytes> {
        let profile = Profile::of(self.flags).ok_or(EOPNOTSUPP)?;
        Ok(profile.stripe_len(self.len))
    }

    /// The chunk's stripes on one device.
    pub(super) fn stripes_on(&self, devid: DeviceId) -> impl Iterator<Item = &Stripe> + Clone {
        self.stripes
            .iter()
            .filter(move |stripe| stripe.devid == devid)
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

    pub(super) fn is_same(&self, other: &Chunk) -> bool {
        self.logical == other.logical
            && self.len == other.len
            && self.flags == other.flags
            && self.stripes.as_slice() == other.stripes.as_slice()
    }
}

/// An address on a device of the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceAddress {
    /// The device's id.
    pub devid: DeviceId,
    /// The address there.
    pub at: Physical,
}

/// Where a logical range lies.
#[derive(Clone, Copy, Debug)]
pub struct ChunkMapping {
    /// The chunk that has it.
    pub chunk: Logical,
    /// Bytes from the address on that lie in one piece, at most what was asked for.
    pub len: Bytes,
    copies: [DeviceAddress; MAX_COPIES],
    count: usize,
    may_fail: u64,
}

impl ChunkMapping {
    /// Where each copy is. Reads take any, writes go to all. There is at least one.
    pub fn copies(&self) -> &[DeviceAddress] {
        self.copies.get(..self.count).unwrap_or(&[])
    }

    /// How many of the copies may fail: a write of more is lost.
    pub fn may_fail(&self) -> u64 {
        self.may_fail
    }

    pub(super) fn new(chunk: Logical, len: Bytes, profile: Profile) -> Self {
        Self {
            chunk,
            len,
            may_fail: profile.may_fail(),
            copies: [DeviceAddress::default(); MAX_COPIES],
            count: 0,
        }
    }

    pub(super) fn push(&mut self, at: DeviceAddress) {
        if let Some(slot) = self.copies.get_mut(self.count) {
            *slot = at;
            self.count = self.count.saturating_add(1);
        }
    }
}
