// SPDX-License-Identifier: GPL-2.0

//! Requests to block devices.
//!
//! C header: `include/linux/bio.h`

use super::BlockDevice;
use crate::linux::bindings as b;
use crate::linux::Folio;
use core::ptr::{addr_of_mut, NonNull};
use kernel::error::to_result;
use kernel::sync::Arc;
use latch::prelude::*;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Read metadata.
    ReadMeta,
    /// Write; somebody waits for it.
    WriteSync,
    /// Write in the background.
    Write,
    /// Write with a flush before, durable on completion.
    WriteDurable,
}

impl Operation {
    fn flags(self) -> b::blk_opf_t {
        match self {
            Self::ReadMeta => b::req_op_REQ_OP_READ | b::REQ_META,
            Self::WriteSync => b::req_op_REQ_OP_WRITE | b::REQ_SYNC | b::REQ_META,
            Self::Write => b::req_op_REQ_OP_WRITE | b::REQ_META,
            Self::WriteDurable => {
                b::req_op_REQ_OP_WRITE | b::REQ_SYNC | b::REQ_META | b::REQ_PREFLUSH | b::REQ_FUA
            }
        }
    }
}

/// Who is told of a request's end.
pub(crate) trait Completion: Send + Sync + 'static {
    /// The request is done. Runs in interrupt context: no sleeping, no sleeping locks.
    fn complete(this: Arc<Self>, result: Result);
}

/// A request that is being put together. Dropping it forgets it.
///
/// # Invariants
///
/// `inner` is a bio that was not submitted and belongs to this value.
pub(crate) struct Bio {
    inner: NonNull<b::bio>,
}

// SAFETY: A bio that was not submitted is plain memory.
unsafe impl Send for Bio {}

impl Bio {
    /// A request at byte `at` of the device, with room for `segments` pieces of memory (at most 256).
    /// Waits for memory, does not fail.
    pub(crate) fn new(device: &BlockDevice, operation: Operation, at: u64, segments: u16) -> Self {
        let segments = segments.clamp(1, 256);
        // SAFETY: The device is open; `fs_bio_set` is the kernel's pool for file systems. With GFP_NOFS,
        // which may sleep, and no more than BIO_MAX_VECS segments it never returns null.
        let bio = unsafe {
            b::bio_alloc_bioset(
                device.as_ptr(),
                segments,
                operation.flags(),
                b::GFP_NOFS,
                addr_of_mut!(b::fs_bio_set),
            )
        };
        // SAFETY: Not null, see above.
        let inner = unsafe { NonNull::new_unchecked(bio) };
        // SAFETY: The bio is ours.
        unsafe { (*inner.as_ptr()).bi_iter.bi_sector = at >> 9 };
        // INVARIANT: The bio is new.
        Self { inner }
    }

    /// Adds a piece of a folio; `false` if the request is full. The folio must stay until the completion.
    pub(crate) fn add_folio(&mut self, folio: &Folio, len: usize, offset: usize) -> bool {
        // SAFETY: The bio is ours, the folio alive; C checks the room.
        unsafe { b::bio_add_folio(self.inner.as_ptr(), folio.as_ptr(), len, offset) }
    }

    /// Sends the request and waits.
    pub(crate) fn submit_wait(self) -> Result {
        // SAFETY: The bio is ours and complete; it is ours again afterwards.
        to_result(unsafe { b::submit_bio_wait(self.inner.as_ptr()) })
    }

    /// Sends the request; `owner` is told of its end, perhaps before this returns.
    pub(crate) fn submit<C: Completion>(self, owner: Arc<C>) {
        let bio = self.inner.as_ptr();
        core::mem::forget(self);
        // SAFETY: The bio was ours; from here it is the block layer's, and `completed` gets it back.
        unsafe {
            (*bio).bi_private = Arc::into_raw(owner).cast_mut().cast();
            (*bio).bi_end_io = Some(completed::<C>);
            b::submit_bio(bio);
        }
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        // SAFETY: The bio is ours by the type invariant.
        unsafe { b::bio_put(self.inner.as_ptr()) };
    }
}

unsafe extern "C" fn completed<C: Completion>(bio: *mut b::bio) {
    // SAFETY: The block layer gives the bio back once; `submit` put an `Arc<C>` into it.
    let (owner, status) = unsafe {
        (
            Arc::from_raw((*bio).bi_private.cast::<C>().cast_const()),
            (*bio).bi_status,
        )
    };
    // SAFETY: The last user puts the bio.
    unsafe { b::bio_put(bio) };
    // SAFETY: A plain conversion of numbers.
    C::complete(owner, to_result(unsafe { b::blk_status_to_errno(status) }));
}

/// While it lives, this task's requests are collected, to be merged and sent together.
///
/// # Invariants
///
/// The plug is the current task's until it is dropped.
pub(crate) struct Plug {
    inner: Pin<KBox<PlugSlot>>,
    _not_send: kernel::types::NotThreadSafe,
}

#[pin_data]
struct PlugSlot {
    #[pin]
    plug: kernel::types::Opaque<b::blk_plug>,
}

impl Plug {
    /// Starts collecting.
    pub(crate) fn start() -> Result<Self> {
        let init = pin_init!(PlugSlot {
            // SAFETY: The slot stays in place until `blk_finish_plug`.
            plug <- kernel::types::Opaque::ffi_init(|slot| unsafe { b::blk_start_plug(slot) }),
        });
        let inner = KBox::pin_init(init, GFP_NOFAIL)?;
        // INVARIANT: `blk_start_plug` made it the current task's.
        Ok(Self {
            inner,
            _not_send: kernel::types::NotThreadSafe,
        })
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { b::blk_finish_plug(self.inner.plug.get()) };
    }
}
