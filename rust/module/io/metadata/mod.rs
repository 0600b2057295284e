// SPDX-License-Identifier: GPL-2.0

//! The cache of tree blocks: the engine's [`Store`] over the page cache of the btree inode.
//!
//! One folio is one block. The folio is the memory, with which the kernel's reclaim, flusher and throttling
//! work; the block ([`BlockRef`]) is what the trees use, and owns the folio's bytes. The [`Index`] finds a block by its
//! address and keeps it alive; a block is in the index once its bytes passed the gate, and leaves it only
//! when nobody else holds it or its address was given up.
//!
//! | module    | what it does                                                                  |
//! |-----------|-------------------------------------------------------------------------------|
//! | [`index`] | address to block                                                              |
//! | [`read`]  | blocks from the devices: the gate, copies, repair, read-ahead                 |
//! | `write`   | blocks to the devices: the write order, sealing, large requests                |
//!
//! Lock order: `WriteOrder` > `FileTree` > `MetadataTree` > `MetadataFolio`, then a shard of the index. Nobody who holds a
//! folio's lock waits for a block's.

mod index;
mod read;
mod write;

use crate::io::device::Devices;
use crate::linux::metadata_pages::{BlockFolio, Keeper, MetadataPages, Missing, Pages, Release};
use crate::linux::{FolioBytes, LockedFolio, SuperBlock};
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use engine::btree::{BlockBytes, BlockInfo, BlockRef, Expected, Identity, Store, WriteMode};
use engine::disk::{BlockContext, Bytes, Flaw, Generation, Header, Logical, Uuid};
use engine::space::WriteOrder;
use engine::txn::Witness;
use engine::volume::Volume;
use index::Index;
use kernel::sync::{Arc, SetOnce};
use latch::prelude::*;
use latch::{Latched, NofsScope};

/// The mounted volume's tree blocks.
pub(crate) struct MetadataCache {
    pages: MetadataPages,
    shared: Arc<Common>,
}

/// What both the trees and the page cache's callbacks need.
struct Common {
    index: Index,
    volume: Arc<Volume>,
    devices: Arc<Devices>,
    /// From the first block that is read; the superblock does not have it.
    chunk_tree_uuid: SetOnce<Uuid>,
    node_size: u32,
    /// What metadata passes on its way out; set before anything is written.
    order: SetOnce<Arc<WriteOrder>>,
    /// The lowest generation of a block that was changed and will never be sent: such blocks are nowhere but here.
    unsent_from: AtomicU64,
}

impl BlockBytes for FolioBytes {
    fn bytes(&self) -> &[u8] {
        self.as_slice()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl MetadataCache {
    /// An empty cache of `volume`, whose devices are `devices`.
    pub(crate) fn new(
        sb: &SuperBlock,
        volume: Arc<Volume>,
        devices: Arc<Devices>,
    ) -> Result<Arc<Self>> {
        let node_size = volume.format().node_size;
        let shared = Common {
            index: Index::new(node_size)?,
            chunk_tree_uuid: SetOnce::new(),
            volume,
            devices,
            node_size,
            order: SetOnce::new(),
            unsent_from: AtomicU64::new(u64::MAX),
        };
        let shared = Arc::new(shared, GFP_KERNEL)?;
        let order = (node_size / kernel::page::PAGE_SIZE as u32).trailing_zeros();
        let pages = MetadataPages::new(sb, order, shared.clone())?;
        Ok(Arc::new(Self { pages, shared }, GFP_KERNEL)?)
    }

    /// Tells the order in which metadata is written. Before that, blocks go out in any order. The order alone: the space
    /// has trees, and those have this cache.
    pub(crate) fn set_write_order(&self, order: &Arc<WriteOrder>) {
        self.shared.order.populate(order.clone());
    }

    /// Slows the caller down when there is too much dirty memory. No locks, no transaction may be held.
    pub(crate) fn throttle(&self) {
        self.pages.throttle();
    }

    /// Calls `work` unless the super block is frozen, see [`SuperBlock::while_unfrozen`].
    pub(crate) fn while_unfrozen(&self, work: impl FnOnce()) {
        self.pages.inode().super_block().while_unfrozen(work);
    }

    /// After an abort: shows the super block as read-only once more. A remount or a thaw at the same time may have
    /// written its flags over.
    pub(crate) fn show_failure(&self) {
        self.pages.inode().super_block().show_failure();
    }
}

/// The addresses of `len` bytes.
fn addresses(start: Logical, len: Bytes) -> Range<Logical> {
    start..start.saturating_add(len)
}

impl Common {
    /// What the gate is told of a block.
    fn context(&self, addr: Logical, expected: Option<&Expected>) -> BlockContext<'_> {
        let committed: Generation = self.volume.superblock().generation;
        BlockContext {
            format: self.volume.format(),
            checksums: self.volume.checksums(),
            addr,
            owner: expected.and_then(|expected| expected.owner),
            level: expected.map(|expected| expected.level),
            generation: expected.map(|expected| expected.generation),
            first_key: expected.and_then(|expected| expected.first_key),
            newest: committed.next(),
        }
    }

    /// A folio holds a block at a multiple of its size; nothing else is supported.
    fn check_place(&self, addr: Logical) -> Result {
        if addr.get().checked_rem(self.node_size.into()) == Some(0) {
            return Ok(());
        }
        let flaw = Flaw::new(
            "block does not stand at a multiple of the node size",
            addr.get(),
            self.node_size.into(),
        );
        Err(flaw.in_block(addr).report())
    }
}

impl Keeper for Common {
    fn write_some(&self, pages: &Pages, range: &Range<Logical>, limit: &mut i64) -> Result {
        let _nofs = NofsScope::enter();
        if self.volume.check_sending().is_err() {
            return self.give_up(pages, range, limit);
        }
        self.write(pages, range, WriteMode::Background, limit)
    }

    fn release(&self, addr: Logical, is_clean: impl Fn() -> bool) -> Release {
        match self.is_given_up(addr) {
            true => Release::InUse,
            false => self.index.release(addr, is_clean),
        }
    }

    fn invalidate(&self, addr: Logical) {
        drop(self.index.remove(addr));
    }
}

impl Witness for MetadataCache {
    fn aborted(&self, error: Error) {
        let inode = self.pages.inode();
        let sb = inode.super_block();
        sb.set_failed();
        sb.report_metadata(error);
    }
}

impl Store for MetadataCache {
    fn node_size(&self) -> u32 {
        self.shared.node_size
    }

    fn identity(&self) -> Identity {
        Identity {
            fsid: self.shared.volume.format().metadata_uuid,
            chunk_tree_uuid: self.shared.chunk_tree_uuid.copy().unwrap_or_default(),
        }
    }

    fn read(&self, addr: Logical, expected: &Expected) -> Result<BlockRef> {
        match self.shared.index.get(addr) {
            Some(block) => Ok(block),
            None => self.shared.read(&self.pages, addr, expected),
        }
    }

    fn try_read(&self, addr: Logical, expected: &Expected) -> Option<BlockRef> {
        let known = self.shared.index.get(addr);
        // Whoever may wait reads the block and meets the error.
        known.or_else(|| self.shared.try_read(&self.pages, addr, expected).ok()?)
    }

    fn read_ahead(&self, addr: Logical, _expected: &Expected) {
        if self.shared.index.get(addr).is_none() {
            // A hint: whoever needs the block reads it and meets the error.
            let _ = self.shared.read_ahead(&self.pages, addr);
        }
    }

    fn create(&self, info: BlockInfo) -> Result<BlockRef> {
        let _nofs = NofsScope::enter();
        let (_folio, bytes) = self.shared.blank(&self.pages, info.addr)?;
        self.shared.publish(info, bytes)
    }

    fn mark_dirty(&self, block: &BlockRef) {
        self.pages.mark_dirty(block.meta().addr);
    }

    fn forget(&self, block: &BlockRef) {
        let addr = block.meta().addr;
        let volume = &self.shared.volume;
        if volume
            .chunk(addr)
            .is_ok_and(|chunk| volume.zones().is_ordered(&chunk))
        {
            return;
        }
        if let Some(folio) = self.pages.cached(addr) {
            LockedFolio::lock(folio).cancel_dirty();
        }
    }

    fn write(&self, start: Logical, len: Bytes, mode: WriteMode) -> Result {
        let _nofs = NofsScope::enter();
        let mut limit = i64::MAX;
        self.shared
            .write(&self.pages, &addresses(start, len), mode, &mut limit)
    }

    fn wait(&self, start: Logical, len: Bytes) -> Result {
        self.pages.wait(&addresses(start, len))
    }

    fn discard(&self, start: Logical, len: Bytes) {
        self.pages.truncate(&addresses(start, len));
    }
}

impl Common {
    /// A locked folio of zeros for `addr`, clean. What was cached there is replaced.
    fn blank(&self, pages: &Pages, addr: Logical) -> Result<(BlockFolio, FolioBytes)> {
        self.check_place(addr)?;
        loop {
            let folio = pages.folio(addr, Missing::Create)?;
            folio.wait_writeback();
            drop(self.index.remove(addr));
            let Some(mut bytes) = folio.bytes() else {
                // Somebody still holds the block that was here: leave its memory to it.
                drop(folio);
                pages.truncate(&addresses(addr, self.node_size.into()));
                continue;
            };
            bytes.as_mut_slice().fill(0);
            folio.cancel_dirty();
            folio.mark_uptodate();
            return Ok((folio, bytes));
        }
    }

    /// Makes a block of a locked folio's bytes and lets everybody find it.
    fn publish(&self, info: BlockInfo, bytes: FolioBytes) -> Result<BlockRef> {
        if self.chunk_tree_uuid.as_ref().is_none() {
            if let Some(header) = Header::new(bytes.as_slice()) {
                self.chunk_tree_uuid.populate(header.chunk_tree_uuid);
            }
        }
        let bytes: KBox<dyn BlockBytes> = KBox::new(bytes, GFP_NOFAIL)?;
        let block = Latched::shared(info, bytes)?;
        self.index.insert(info.addr, block.clone())?;
        Ok(block)
    }
}
