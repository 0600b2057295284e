// SPDX-License-Identifier: GPL-2.0

//! Blocks from the devices.

use super::{addresses, Common};
use crate::linux::metadata_pages::{BlockFolio, Missing, Pages};
use crate::linux::{FolioBytes, WriteUrgency};
use engine::btree::{BlockRef, Expected};
use engine::disk::{check_block, Bytes, Corrupt, Flaw, Logical};
use engine::volume::{ChunkMapping, DeviceAddress, NO_COPY, NO_DEVICE};
use latch::prelude::*;
use latch::NofsScope;

impl Common {
    /// Reads a block that is not in the index. Readers of one block wait for one another at the folio's lock.
    pub(super) fn read(
        &self,
        pages: &Pages,
        addr: Logical,
        expected: &Expected,
    ) -> Result<BlockRef> {
        let _nofs = NofsScope::enter();
        self.check_place(addr)?;
        loop {
            let folio = pages.folio(addr, Missing::Create)?;
            if let Some(block) = self.index.get(addr) {
                return Ok(block);
            }
            let Some(mut bytes) = folio.bytes() else {
                // A block that left the index while somebody holds it.
                drop(folio);
                pages.truncate(&addresses(addr, self.node_size.into()));
                continue;
            };
            let check = |bytes: &[u8]| check_block(bytes, &self.context(addr, Some(expected)));
            if !folio.is_uptodate() || check(bytes.as_slice()).is_err() {
                folio.clear_uptodate();
                let read = self.read_good_copy(pages, &mut bytes, addr, |bytes| {
                    check(bytes).map_err(Corrupt::report)
                });
                read.inspect_err(|error| pages.inode().super_block().report_metadata(*error))?;
                folio.mark_uptodate();
            }
            return self.publish(expected.info(addr), bytes);
        }
    }

    /// The block, if it was read ahead and nobody has it locked; else that is begun, where it takes no wait.
    pub(super) fn try_read(
        &self,
        pages: &Pages,
        addr: Logical,
        expected: &Expected,
    ) -> Result<Option<BlockRef>> {
        let _nofs = NofsScope::enter();
        self.check_place(addr)?;
        let folio = pages.folio(addr, Missing::TryCreate)?;
        if let Some(block) = self.index.get(addr) {
            return Ok(Some(block));
        }
        if !folio.is_uptodate() {
            return self.start_reading(folio, addr).map(|()| None);
        }
        let bytes = folio.bytes().filter(|bytes| {
            // Another copy may be good. To read that is for those who may wait.
            check_block(bytes.as_slice(), &self.context(addr, Some(expected))).is_ok()
        });
        bytes
            .map(|bytes| self.publish(expected.info(addr), bytes))
            .transpose()
    }

    /// Reads copy after copy until one passes `check`; those before it are repaired.
    fn read_good_copy(
        &self,
        pages: &Pages,
        bytes: &mut FolioBytes,
        addr: Logical,
        check: impl Fn(&[u8]) -> Result,
    ) -> Result {
        let mapping = self.map(addr)?;
        let len = Bytes::from(bytes.len());
        let mut failed = None;
        for (index, place) in mapping.copies().iter().enumerate() {
            let device = self.devices.get(place.devid).ok_or(NO_DEVICE)?;
            let read = device.read(place.at, bytes, len).inspect_err(|_| {
                let number = index.saturating_add(1);
                pr_err!("tree block {addr}: copy {number} cannot be read\n");
            });
            match read.and_then(|()| check(bytes.as_slice())) {
                Ok(()) => {
                    let bad = mapping.copies().get(..index).unwrap_or(&[]);
                    self.repair(pages, bytes, addr, bad);
                    return Ok(());
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| NO_COPY.report()))
    }

    /// Writes a good block over bad copies, where a place can be written again and the volume is not frozen. Not while
    /// it is being mounted.
    fn repair(&self, pages: &Pages, bytes: &FolioBytes, addr: Logical, bad: &[DeviceAddress]) {
        let may_write = self.volume.writes().changes_files() && self.order.as_ref().is_some();
        if bad.is_empty() || !may_write {
            return;
        }
        let chunk = self.volume.chunk(addr);
        if chunk.map_or(true, |chunk| self.volume.zones().is_ordered(&chunk)) {
            return;
        }
        let inode = pages.inode();
        let Some(_unfrozen) = inode.super_block().hold_unfrozen() else {
            return;
        };
        for place in bad {
            let Some(device) = self.devices.get(place.devid) else {
                continue;
            };
            let result = device.write(WriteUrgency::Sync, place.at, bytes, bytes.len().into());
            match result {
                Ok(()) => pr_warn!("tree block {addr}: repaired the copy at {}\n", place.at),
                Err(_) => pr_err!("tree block {addr}: the copy at {} stays bad\n", place.at),
            }
        }
    }

    /// Starts reading a block.
    pub(super) fn read_ahead(&self, pages: &Pages, addr: Logical) -> Result {
        let _nofs = NofsScope::enter();
        self.check_place(addr)?;
        let folio = pages.folio(addr, Missing::TryCreate)?;
        match folio.is_uptodate() {
            true => Ok(()),
            false => self.start_reading(folio, addr),
        }
    }

    /// Starts reading the first copy of a block into its folio.
    fn start_reading(&self, folio: BlockFolio, addr: Logical) -> Result {
        let mapping = self.map(addr)?;
        let place = mapping.copies().first().ok_or(NO_COPY)?;
        let device = self.devices.get(place.devid).ok_or(NO_DEVICE)?;
        folio.read_ahead(device, place.at)
    }

    /// Where a block lies, in one piece.
    pub(super) fn map(&self, addr: Logical) -> Result<ChunkMapping> {
        let len = Bytes::from(self.node_size);
        let mapping = self.volume.map(addr, len)?;
        if mapping.len < len {
            let flaw = Flaw::new(
                "block does not lie in one piece",
                mapping.len.get(),
                len.get(),
            );
            return Err(flaw.in_block(addr).report());
        }
        Ok(mapping)
    }
}
