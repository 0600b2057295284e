// SPDX-License-Identifier: GPL-2.0

//! The locked folio of a tree block, and a read into it that nobody waits for.

use crate::linux::bio::{Bio, Completion};
use crate::linux::mm::{FolioBytes, LockedFolio};
use crate::linux::BlockDevice;
use core::ops::Deref;
use kernel::sync::Arc;
use latch::prelude::*;
use units::Physical;

/// The locked folio of a tree block.
///
/// # Invariants
///
/// The folio is in the mapping of [`MetadataPages`](super::MetadataPages).
pub(crate) struct BlockFolio(pub(super) LockedFolio);

impl Deref for BlockFolio {
    type Target = LockedFolio;

    fn deref(&self) -> &LockedFolio {
        &self.0
    }
}

impl BlockFolio {
    /// The folio's bytes, for the only owner; `None` if they are lent already.
    pub(crate) fn bytes(&self) -> Option<FolioBytes> {
        // SAFETY: By the type invariant no path leads to the folio, and its private word is for this.
        unsafe { FolioBytes::take(self) }
    }

    /// Starts reading the whole folio from byte `at` of the device. The lock is let go when that is done; the folio is up to
    /// date then if it went well. Nothing is read where the bytes are lent.
    pub(crate) fn read_ahead(self, device: &BlockDevice, at: Physical) -> Result {
        let Some(bytes) = self.bytes() else {
            return Ok(());
        };
        let reading = Reading {
            _bytes: bytes,
            folio: self,
        };
        // Before there is a request: who waits for memory keeps none from others.
        let reading = Arc::new(reading, GFP_KERNEL)?;
        let mut bio = Bio::read(device, at, 1);
        // SAFETY: The folio and its bytes are the completion's.
        unsafe { bio.add_folio(&reading.folio, reading.folio.size().into()) }?;
        bio.submit(reading);
        Ok(())
    }
}

/// A read that nobody waits for. The bytes are given back before the lock.
struct Reading {
    _bytes: FolioBytes,
    folio: BlockFolio,
}

impl Completion for Reading {
    fn complete(this: Arc<Self>, result: Result) {
        if result.is_ok() {
            // Checked by whoever needs it first.
            this.folio.mark_uptodate();
        }
    }
}
