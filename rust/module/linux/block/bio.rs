// SPDX-License-Identifier: GPL-2.0

//! Requests to block devices.
//!
//! C header: `include/linux/bio.h`

use super::device::MOST_SEGMENTS;
use super::pool::MetadataPool;
use super::{BlockDevice, Sector};
use crate::linux::bindings as b;
use crate::linux::{Folio, FolioBytes, Writeback};
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::sync::Arc;
use latch::prelude::*;
use units::{Bytes, Physical};

/// How a write of metadata goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteUrgency {
    /// Somebody waits for it.
    Sync,
    /// Nobody waits for it.
    Background,
    /// The write has a flush before it, and is durable on completion.
    Durable,
}

impl WriteUrgency {
    fn flags(self) -> b::blk_opf_t {
        let write = b::req_op_REQ_OP_WRITE | b::REQ_META;
        match self {
            Self::Sync => write | b::REQ_SYNC,
            Self::Background => write,
            Self::Durable => write | b::REQ_SYNC | b::REQ_PREFLUSH | b::REQ_FUA,
        }
    }
}

/// Who is told of a request's end.
pub(crate) trait Completion: Send + Sync + 'static {
    /// The request is done. Runs in interrupt context: no sleeping, no sleeping locks.
    fn complete(this: Arc<Self>, result: Result);
}

/// Folios that go out as one request, or as several, one for each copy. Each request owns the flight until it is done.
pub(crate) trait Flight: Completion {
    /// The folios, in order, each as a whole.
    fn folios(&self) -> &[Writeback];
}

/// A request that is being put together. Dropping it forgets it.
///
/// # Invariants
///
/// `inner` is a bio that was not submitted and belongs to this value.
pub(in crate::linux) struct Bio {
    inner: NonNull<b::bio>,
}

// SAFETY: A bio that was not submitted is plain memory.
unsafe impl Send for Bio {}

impl Bio {
    /// A read of metadata from byte `at` of the device.
    pub(in crate::linux) fn read(device: &BlockDevice, at: Physical, segments: usize) -> Self {
        Self::new(device, b::req_op_REQ_OP_READ | b::REQ_META, at, segments)
    }

    /// A write of metadata to byte `at` of the device.
    pub(super) fn write(
        device: &BlockDevice,
        kind: WriteUrgency,
        at: Physical,
        segments: usize,
    ) -> Self {
        Self::new(device, kind.flags(), at, segments)
    }

    /// A request with room for `segments` pieces of memory, of which [`MOST_SEGMENTS`] are the most. Waits for memory, does not fail.
    fn new(device: &BlockDevice, flags: b::blk_opf_t, at: Physical, segments: usize) -> Self {
        let segments = segments.clamp(1, MOST_SEGMENTS.into()) as u16;
        let pool = MetadataPool::get();
        // SAFETY: The device is open, so a mount has it, and the pool was made.
        let bio =
            unsafe { b::bio_alloc_bioset(device.as_ptr(), segments, flags, b::GFP_NOFS, pool) };
        // SAFETY: With GFP_NOFS, which may sleep, and no more than BIO_MAX_VECS segments it is never null; it is new, and
        // nobody else's.
        let inner = unsafe {
            (*bio).bi_iter.bi_sector = Sector::of(at).get();
            NonNull::new_unchecked(bio)
        };
        // INVARIANT: The bio is new.
        Self { inner }
    }

    /// Adds the first `len` bytes of a folio; `EIO` if the request is full.
    ///
    /// # Safety
    ///
    /// Until the request is done, or forgotten, the folio is alive, and nobody uses these bytes if they are read into.
    pub(in crate::linux) unsafe fn add_folio(&mut self, folio: &Folio, len: Bytes) -> Result {
        let len = usize::try_from(len)?;
        // SAFETY: The bio is ours and not submitted, and C checks the room; the rest is the function's contract.
        match unsafe { b::bio_add_folio(self.inner.as_ptr(), folio.as_ptr(), len, 0) } {
            true => Ok(()),
            false => Err(EIO),
        }
    }

    /// Sends the request and waits.
    fn submit_wait(self) -> Result {
        // SAFETY: The bio is not submitted; it is ours again when the call returns.
        to_result(unsafe { b::submit_bio_wait(self.inner.as_ptr()) })
    }

    /// Sends the request, an append, and waits; the sector at which the zone has the data.
    fn append_wait(self) -> Result<Sector> {
        let bio = self.inner.as_ptr();
        // SAFETY: The bio is not submitted; it is ours again when the call returns, and then says where the data went.
        let (result, sector) = unsafe { (b::submit_bio_wait(bio), (*bio).bi_iter.bi_sector) };
        to_result(result).map(|()| Sector::new(sector))
    }

    /// Sends the request; `owner` is told of its end, perhaps before this returns.
    pub(in crate::linux) fn submit<C: Completion>(self, owner: Arc<C>) {
        let bio = self.inner.as_ptr();
        core::mem::forget(self);
        // SAFETY: The bio was ours; from here it is the block layer's, until `completed` gets it back.
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

impl BlockDevice {
    /// Reads `len` bytes of metadata from byte `at` of the device and waits.
    pub(crate) fn read(&self, at: Physical, into: &mut FolioBytes, len: Bytes) -> Result {
        let mut bio = Bio::read(self, at, 1);
        // SAFETY: The bytes are borrowed until the request is done.
        unsafe { bio.add_folio(into.folio(), len.min(into.len().into())) }?;
        bio.submit_wait()
    }

    /// Writes the first `len` bytes to byte `at` of the device and waits.
    pub(crate) fn write(
        &self,
        kind: WriteUrgency,
        at: Physical,
        from: &FolioBytes,
        len: Bytes,
    ) -> Result {
        let mut bio = Bio::write(self, kind, at, 1);
        // SAFETY: The bytes are borrowed until the request is done, which only reads them.
        unsafe { bio.add_folio(from.folio(), len.min(from.len().into())) }?;
        bio.submit_wait()
    }

    /// Appends the first `len` bytes of `pieces` to the zone that begins at `zone`, as one request, and waits; where they
    /// are then.
    pub(crate) fn append(
        &self,
        zone: Physical,
        pieces: &[FolioBytes],
        len: Bytes,
    ) -> Result<Physical> {
        let flags = b::req_op_REQ_OP_ZONE_APPEND | b::REQ_SYNC;
        let mut bio = Bio::new(self, flags, zone, pieces.len());
        let mut left = len;
        for piece in pieces {
            let part = left.min(piece.len().into());
            // SAFETY: The bytes are borrowed until the request is done, which only reads them.
            unsafe { bio.add_folio(piece.folio(), part) }?;
            left = left.saturating_sub(part);
        }
        bio.append_wait()?.byte()
    }

    /// Sends the folios of `flight` to byte `at` of the device as one request. The flight is told of its end.
    pub(crate) fn send<F: Flight>(&self, kind: WriteUrgency, at: Physical, flight: Arc<F>) {
        let mut bio = Bio::write(self, kind, at, flight.folios().len());
        let filled = flight.folios().iter().try_for_each(|folio| {
            // SAFETY: The request owns the flight until it is done. What the flight lends through a shared reference, it keeps
            // until it is dropped, for only then can it be changed. The request only reads the folio.
            unsafe { bio.add_folio(folio, folio.size().into()) }
        });
        match filled {
            Ok(()) => bio.submit(flight),
            Err(error) => F::complete(flight, Err(error)),
        }
    }
}

unsafe extern "C" fn completed<C: Completion>(bio: *mut b::bio) {
    // SAFETY: The block layer gives the bio back, and this is its last use.
    let (owner, status) = unsafe {
        let told = ((*bio).bi_private.cast::<C>(), (*bio).bi_status);
        b::bio_put(bio);
        told
    };
    // SAFETY: `submit` put an `Arc<C>` into it, and it comes back once.
    let owner = unsafe { Arc::from_raw(owner.cast_const()) };
    C::complete(owner, result_of(status));
}

/// What a bio's status says.
pub(in crate::linux) fn result_of(status: b::blk_status_t) -> Result {
    // SAFETY: It takes any number.
    to_result(unsafe { b::blk_status_to_errno(status) })
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
    /// Starts to collect the requests of this task.
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
