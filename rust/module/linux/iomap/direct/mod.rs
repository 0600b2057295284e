// SPDX-License-Identifier: GPL-2.0

//! Between the user's memory and the device, past the page cache.
//!
//! | module    | what it has                                                           |
//! |-----------|-----------------------------------------------------------------------|
//! | [`ranges`] | which bytes direct writes are under way to, and who waits for them     |
//! | [`read`]  | mappings for reading; bios whose bytes are checked before they count    |
//! | `write`   | reservations, bios that become ordered extents, the end of a request    |
//!
//! Here: what a file must offer, alignment, and the numbers that both use.

use super::{bindings, Blocks, Extent, FileData, Goal, Ioend, Patience};
use crate::linux::memory::MemoryMut;
use crate::linux::Inode;
use kernel::sync::Arc;
use latch::prelude::*;
use units::{Bytes, FileOffset};

mod ranges;
mod read;
mod write;

pub(crate) use ranges::DirectRanges;
pub(in crate::linux) use read::direct_read;
pub(crate) use read::DirectRead;
pub(in crate::linux) use write::{direct_write, DirectWrite};

/// A file whose data moves between user memory and the device.
pub(crate) trait DirectData: FileData {
    /// Whether the bytes of a write must hold still until it is done: they are checksummed, or go to several places.
    fn needs_stable_writes(&self) -> bool;
    /// Whether two writes must not be under way to the same block: one of them might go to unwritten space.
    fn excludes_overlaps(&self) -> bool;
    /// Promises space for writing `[pos, pos + len)`, whole blocks: in `space`. Tells how many of them it is for, and where
    /// they go. `ENOSPC` comes from here and from nowhere later; `EBUSY` as of [`FileData::reserve`].
    fn reserve_direct(
        &self,
        space: &mut Self::Taken,
        pos: FileOffset,
        len: Bytes,
        patience: Patience,
    ) -> Result<(Bytes, Goal)>;
    /// Finds a place for `ioend`'s bytes and sends them there, in as many pieces as it takes. What cannot be sent ends
    /// with the error.
    fn send_direct(&self, ioend: Ioend<Self>, space: &mut Self::Taken, patience: Patience);
    /// The write that began behind or at `size`, which is the file's, has failed: what of it is in the file goes. Space
    /// that the file was given there and that was not written to stays.
    fn forget_behind(&self, size: Bytes) -> Result;
    /// The file's size in the trees.
    fn stored_size(&self) -> Bytes;
    /// What checking a read takes.
    type Check: Send + Sync + 'static;
    /// What is at `pos`, for at most `len` bytes, and for bytes on a device what checking them takes.
    fn find(
        &self,
        pos: FileOffset,
        len: Bytes,
        patience: Patience,
    ) -> Result<(Extent, Option<Arc<Self::Check>>)>;
    /// Sends a read on its way.
    fn read_direct(&self, bio: DirectRead<Self>);
    /// Checks the bytes read for `pos`, in memory that its owner may change or use again meanwhile, and mends them where
    /// they are wrong. In a worker.
    fn verify_direct(&self, check: &Self::Check, pos: FileOffset, bytes: MemoryMut<'_>) -> Result;
    /// The device did not give the bytes for `pos`: another copy may. In a worker.
    fn reread_direct(&self, pos: FileOffset, bytes: MemoryMut<'_>) -> Result;
}

/// Whether position and memory of a request are whole blocks of the file system; others go through the page cache.
///
/// # Safety
///
/// `iter` is alive.
pub(in crate::linux) unsafe fn is_aligned(
    inode: &Inode,
    iter: *const bindings::iov_iter,
    pos: FileOffset,
) -> bool {
    // SAFETY: By the function's contract.
    let memory = unsafe { bindings::iov_iter_alignment(iter) };
    Blocks::of(inode).divide(pos.get() | memory as u64)
}
