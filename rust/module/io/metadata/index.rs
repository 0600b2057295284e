// SPDX-License-Identifier: GPL-2.0

//! Finding a block in memory by its address.

use crate::linux::metadata_pages::Release;
use engine::btree::BlockRef;
use engine::disk::{Bug, Logical};
use kernel::xarray::{AllocKind, XArray};
use latch::prelude::*;

/// How many locks the addresses are spread over; a power of two.
const SHARDS: usize = 64;

/// The gate takes no address that cannot be counted in blocks.
const NO_PLACE: Bug = Bug::new("a tree block has an address beyond those of the index");

/// The blocks in memory, by address. Each lookup takes one spin lock of many, for moments.
pub(super) struct Index {
    shards: KVec<Pin<KBox<XArray<BlockRef>>>>,
    node_shift: u32,
}

impl Index {
    /// An empty index for blocks of `node_size` bytes.
    pub(super) fn new(node_size: u32) -> Result<Self> {
        let mut shards = KVec::with_capacity(SHARDS, GFP_KERNEL)?;
        for _ in 0..SHARDS {
            let shard = KBox::pin_init(XArray::new(AllocKind::Alloc), GFP_KERNEL)?;
            shards.push(shard, GFP_KERNEL)?;
        }
        Ok(Self {
            shards,
            node_shift: node_size.trailing_zeros(),
        })
    }

    fn place(&self, addr: Logical) -> Option<(Pin<&XArray<BlockRef>>, usize)> {
        let number = usize::try_from(addr.get().checked_shr(self.node_shift)?).ok()?;
        let shard = self.shards.get(number & (SHARDS - 1))?;
        Some((shard.as_ref(), number / SHARDS))
    }

    /// The block at `addr`.
    pub(super) fn get(&self, addr: Logical) -> Option<BlockRef> {
        let (shard, slot) = self.place(addr)?;
        let guard = shard.get_ref().lock();
        guard.get(slot).map(BlockRef::from)
    }

    /// Adds a block where there is none. The caller has the folio locked, so nobody else adds one.
    pub(super) fn insert(&self, addr: Logical, block: BlockRef) -> Result {
        let (shard, slot) = self.place(addr).ok_or(NO_PLACE)?;
        let old = shard.get_ref().lock().store(slot, block, GFP_NOFAIL);
        drop(old.map_err(Error::from)?);
        Ok(())
    }

    /// Takes the block at `addr` out, whoever uses it.
    pub(super) fn remove(&self, addr: Logical) -> Option<BlockRef> {
        let (shard, slot) = self.place(addr)?;
        shard.get_ref().lock().remove(slot)
    }

    /// Takes the block at `addr` out if nobody uses it and it is clean.
    pub(super) fn release(&self, addr: Logical, is_clean: impl Fn() -> bool) -> Release {
        let Some((shard, slot)) = self.place(addr) else {
            return Release::Free;
        };
        let mut guard = shard.get_ref().lock();
        let Some(block) = guard.get(slot).map(BlockRef::from) else {
            return Release::Free;
        };
        // New references are made under this lock alone, or from one that exists.
        if block.references() != 2 {
            return Release::InUse;
        }
        // Who had it a moment ago has made it dirty before he let go of it.
        if !is_clean() {
            return Release::InUse;
        }
        let indexed = guard.remove(slot);
        drop(guard);
        drop((block, indexed));
        Release::Free
    }
}
