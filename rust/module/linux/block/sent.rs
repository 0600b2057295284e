// SPDX-License-Identifier: GPL-2.0

//! Writes that are waited for later.
//!
//! C headers: `include/linux/bio.h`, `include/linux/completion.h`

use super::bio::{Bio, Completion, WriteUrgency};
use super::BlockDevice;
use crate::linux::mm::FolioBytes;
use core::sync::atomic::{AtomicI32, Ordering};
use kernel::error::to_result;
use kernel::sync::{Arc, Completion as Done};
use latch::prelude::*;
use units::{Bytes, Physical};

/// A write that was sent, with its bytes. Dropping it waits for its end.
pub(crate) struct SentWrite(Arc<Load>);

#[pin_data]
struct Load {
    bytes: FolioBytes,
    #[pin]
    done: Done,
    /// What came of it, as of when it is done.
    errno: AtomicI32,
}

impl Completion for Load {
    fn complete(this: Arc<Self>, result: Result) {
        if let Err(error) = result {
            this.errno.store(error.to_errno(), Ordering::Relaxed);
        }
        this.done.complete_all();
    }
}

impl SentWrite {
    /// Waits until the write is complete.
    pub(crate) fn wait(&self) -> Result {
        self.0.done.wait_for_completion();
        to_result(self.0.errno.load(Ordering::Relaxed))
    }
}

impl Drop for SentWrite {
    fn drop(&mut self) {
        self.0.done.wait_for_completion();
    }
}

impl BlockDevice {
    /// Begins to write the first `len` bytes to byte `at` of the device.
    pub(crate) fn begin_write(
        &self,
        kind: WriteUrgency,
        at: Physical,
        bytes: FolioBytes,
        len: Bytes,
    ) -> Result<SentWrite> {
        let init = pin_init!(Load {
            bytes,
            done <- Done::new(),
            errno: AtomicI32::new(0),
        });
        let load = Arc::pin_init(init, GFP_KERNEL)?;
        let mut bio = Bio::write(self, kind, at, 1);
        // SAFETY: The request owns the load, which keeps the bytes until it is dropped and lends them to nobody. The request only
        // reads them.
        unsafe { bio.add_folio(load.bytes.folio(), len.min(load.bytes.len().into())) }?;
        bio.submit(load.clone());
        Ok(SentWrite(load))
    }
}
