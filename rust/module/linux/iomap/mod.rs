// SPDX-License-Identifier: GPL-2.0

//! File data between the page cache and the device, by the kernel's iomap library.
//!
//! C header: `include/linux/iomap.h`. A file system implements [`FileData`]; [`Tables`] turns it into the tables of
//! callbacks that iomap and the VFS ask for.
//!
//! iomap sees *logical* addresses: a bio's sector is the volume's logical address until [`FileData::read`] or
//! [`FileData::send`] gives it a device and a place there. Writes have no address before they are sent
//! (`IOMAP_F_ANON_WRITE`), as in zoned XFS.
//!
//! | module        | what it has                                                                    |
//! |---------------|--------------------------------------------------------------------------------|
//! | [`extent`]    | what stands at a place of a file, and C's description of it                    |
//! | [`blocks`]    | folios and their blocks                                                        |
//! | [`read`]      | from the device into the page cache                                            |
//! | [`read_bio`]  | the bio of such a read, until its folios are unlocked                          |
//! | `write`       | from the user into the page cache, and out of it again                         |
//! | [`fault`]     | stores through a mapping                                                       |
//! | [`growth`]    | the folio across the end of a file that grows                                  |
//! | [`tail`]      | what is behind the end of a file in its last block                             |
//! | [`writeback`] | from the page cache to the device                                              |
//! | [`ioend`]     | a run of bytes under writeback, until writeback of its folios ends             |
//! | [`bounce`]    | a copy of such a run, where its own memory does not hold still                 |
//! | [`fixup`]     | folios that were dirtied behind the file system's back                         |
//! | `stray`       | what such folios have, for who seeks bytes                                     |
//! | [`direct`]    | between user memory and the device                                             |
//! | [`patience`]  | whether a call may wait                                                        |
//! | [`sent`]      | bios on their way to the device                                                |
//! | [`segments`]  | the memory of a bio                                                            |
//! | [`audit`]     | folios compared with reservations, when asked for                              |
//!
//! Here: what a file must offer, the tables.

use crate::linux::inode::LockedInode;
use crate::linux::loff::{length, loff, WHOLE_FILE};
use crate::linux::{bindings, BlockDevice, Inode, Sector};
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr;
use kernel::error::to_result;
use latch::prelude::*;
use latch::{Bug, Mutex};
use units::{Bytes, FileOffset};

pub(crate) mod audit;
mod blocks;
mod bounce;
pub(crate) mod direct;
mod extent;
mod fault;
mod fixup;
mod growth;
pub(crate) mod ioend;
mod patience;
mod read;
pub(crate) mod read_bio;
mod segments;
mod sent;
mod stray;
mod tail;
mod write;
mod writeback;

use blocks::{
    bytes_at, bytes_before, cached_at, clean_behind, each_folio, inode_of, inside_file,
    is_under_writeback, mark_all_dirty, next_up_to_date, page_of, range_of,
};
pub(in crate::linux) use blocks::{pages_of, Blocks};
use direct::DirectRanges;
use extent::{describe, describe_unplaced, forget, inline_bytes};
pub(crate) use extent::{Extent, Joins, Source};
pub(in crate::linux) use fixup::{keep_workers_out, settle, write_out};
pub(crate) use fixup::{put_off, Fixups, Tally, WrittenOut};
pub(crate) use growth::is_folio_across_end;
pub(crate) use ioend::Ioend;
use ioend::Resend;
pub(crate) use patience::Patience;
pub(crate) use read_bio::ReadBio;
pub(crate) use stray::{first_stray, may_have_strays};
pub(crate) use tail::Tail;

/// Where the bytes of a write go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// They go to a place that is found when they are sent.
    New,
    /// They go to space that the file has there, unwritten.
    Unwritten,
}

impl Goal {
    /// What iomap calls a mapping of bytes that go there.
    fn iomap_type(self, new: u32) -> u32 {
        match self {
            Self::New => new,
            Self::Unwritten => bindings::IOMAP_UNWRITTEN,
        }
    }
}

/// How much of a range is to get space, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The part at its front that goes to one kind of place.
    Front,
    /// All of it: to a new place, unless all goes to unwritten space.
    Whole,
}

/// What [`FileData::take`] found at a position.
pub(crate) enum Taken {
    /// Delayed blocks up to this position, now the caller's to write.
    Until(FileOffset, Goal),
    /// Up to this position nothing is delayed: whatever is dirty there was dirtied behind the file system's back.
    NothingUntil(FileOffset),
}

/// A file whose data iomap moves.
pub(crate) trait FileData: Sized + Send + Sync + 'static {
    /// Space for blocks that a task is about to dirty. Dropped, it is given back.
    type Allowance: Default + Send + Unpin + 'static;
    /// Space of the delayed ranges that one run of writeback has taken and not sent yet.
    type Taken: Default + 'static;
    /// What [`Self::written`] needs to know of a write.
    type Write: Send + 'static;
    /// What [`Self::verify`] needs to know of a read.
    type Read: Send + 'static;

    /// The file data behind an inode; `None` for one that is not a regular file of this driver.
    fn of(inode: &Inode) -> Option<&Self>;
    /// The device that new bios name until they get their real one.
    fn block_device(&self) -> &BlockDevice;
    /// Where completions run.
    fn queue(&self) -> &kernel::workqueue::Queue;
    /// Where folios that were dirtied behind the file system's back are seen to.
    fn fixup_queue(&self) -> &kernel::workqueue::Queue;
    /// The folios of this file that wait for a worker.
    fn fixups(&self) -> &Fixups;
    /// What became of those of the whole mount.
    fn fixup_tally(&self) -> &Tally;

    /// What direct writes are under way to.
    fn direct_ranges(&self) -> &DirectRanges;
    /// What is behind the end of the file.
    fn tail(&self) -> &Tail;

    /// A number that changes when addresses that were given up may be used again: what was looked up before may be
    /// another file's since.
    fn age_of_addresses(&self) -> u64;
    /// What is at `pos`, for at most `len` bytes. Without patience: `EAGAIN` where this, or what [`Self::read`] needs for
    /// it, is not in memory.
    fn map(&self, pos: FileOffset, len: Bytes, patience: Patience) -> Result<Extent>;
    /// Sends a read on its way.
    fn read(&self, bio: ReadBio<Self>, patience: Patience);
    /// Checks, and may mend, the bytes read for `pos`. In a worker.
    fn verify(&self, read: &Self::Read, pos: FileOffset, bytes: &mut [u8]) -> Result;
    /// Reads and checks `bytes` at `pos`, whole blocks.
    fn read_now(&self, pos: FileOffset, bytes: &mut [u8]) -> Result;

    /// The allowance of the task that writes: it has the inode locked. It is never held across another call.
    fn writer(&self) -> &Mutex<Self::Allowance>;
    /// Makes `allowance` large enough for the blocks of `range`, block aligned, that are not delayed; tells how far that goes.
    /// No folio is locked. `ENOSPC` comes from here and from nowhere later. `EBUSY`: others have what there is for writing in
    /// place; ask again in turn with them, with nothing left in `allowance`.
    fn reserve(
        &self,
        allowance: &mut Self::Allowance,
        range: &Range<FileOffset>,
        scope: Scope,
        patience: Patience,
    ) -> Result<FileOffset>;
    /// Whether `allowance` is large enough for `range` now, and the space that it is for is still there. The folio there is
    /// locked, and not under writeback.
    fn can_cover(&self, allowance: &Self::Allowance, range: &Range<FileOffset>) -> bool;
    /// Makes the blocks of `range` delayed. The folio there is locked, and dirty or about to be. `EAGAIN`, with nothing
    /// changed: `allowance` is too small.
    fn cover(&self, allowance: &mut Self::Allowance, range: &Range<FileOffset>) -> Result;
    /// How many bytes of `range` are not delayed.
    fn uncovered(&self, range: &Range<FileOffset>) -> Bytes;
    /// Gives up the delayed blocks in `range`: their folio is locked and no longer dirty there, or there is none and none can
    /// become dirty.
    fn punch(&self, range: &Range<FileOffset>);

    /// Takes what is delayed at the start of `range`. The folio there is locked. An error leaves all as it was.
    fn take(&self, taken: &mut Self::Taken, range: &Range<FileOffset>) -> Result<Taken>;
    /// Finds a place for `ioend`'s bytes and sends them there, in as many pieces as it takes. `ENOMEM`: what was not
    /// sent is dirty again. After other errors it is lost, and the file's next fsync says so.
    fn send(&self, ioend: Ioend<Self>, taken: &mut Self::Taken) -> Result;
    /// Bytes that were taken, or that a direct request has begun to send, are not sent and are lost. An ioend says so that is
    /// given up as a whole.
    fn lost(&self, range: &Range<FileOffset>, error: Error);
    /// A write has ended. In a worker. An error: some of its bytes are lost.
    fn written(&self, write: Self::Write, end: &WriteEnd) -> Result;
}

/// The file data behind `inode`.
fn of<T: FileData>(inode: &Inode) -> Result<&T> {
    const NO_DATA: Bug = Bug::new("an inode that iomap was asked for has no file data");
    Ok(T::of(inode).ok_or(NO_DATA)?)
}

/// How a write ended.
pub(crate) struct WriteEnd {
    /// The first sector on the device: for zone appends, where the device put it.
    pub(crate) sector: Sector,
    /// What the device answered.
    pub(crate) result: Result,
    /// The way to send it again.
    pub(crate) resend: Resend,
}

/// The callback tables of `T`.
pub(crate) struct Tables<T>(PhantomData<T>);

impl<T: FileData> Tables<T> {
    /// The table for reading.
    pub(crate) const READ: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_begin: Some(read::read_begin::<T>),
        iomap_end: Some(read::end::<T>),
        iomap_next: None,
    };

    /// The table for writing into the page cache and for zeroing there.
    pub(crate) const WRITE: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_begin: Some(write::write_begin::<T>),
        iomap_end: None,
        iomap_next: None,
    };

    const WRITE_FOLIO: &'static bindings::iomap_write_ops = &bindings::iomap_write_ops {
        get_folio: None,
        put_folio: Some(write::put_folio::<T>),
        iomap_valid: Some(write::can_write::<T>),
        read_folio_range: Some(write::read_folio_range_now::<T>),
    };

    /// The table for the page of a fault.
    const FAULT: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_begin: Some(fault::begin::<T>),
        iomap_end: None,
        iomap_next: None,
    };

    const WRITEBACK: &'static bindings::iomap_writeback_ops = &bindings::iomap_writeback_ops {
        writeback_range: Some(writeback::writeback_range::<T>),
        writeback_submit: Some(writeback::writeback_submit::<T>),
    };

    /// The address space operations of a regular file.
    pub(crate) const ADDRESS_SPACE: &'static bindings::address_space_operations =
        &bindings::address_space_operations {
            read_folio: Some(read::read_folio::<T>),
            readahead: Some(read::readahead::<T>),
            writepages: Some(writeback::writepages::<T>),
            dirty_folio: Some(stray::dirty_folio::<T>),
            release_folio: Some(write::release_folio),
            invalidate_folio: Some(write::invalidate_folio::<T>),
            migrate_folio: Some(bindings::filemap_migrate_folio),
            is_partially_uptodate: Some(bindings::iomap_is_partially_uptodate),
            error_remove_folio: Some(bindings::generic_error_remove_folio),
            ..pin_init::zeroed()
        };

    /// Writes from `from` into the page cache at the position of `iocb`.
    ///
    /// # Safety
    ///
    /// The pointers are those of a `write_iter` call on a file of `T`; the inode is locked exclusively.
    pub(crate) unsafe fn buffered_write(
        iocb: *mut bindings::kiocb,
        from: *mut bindings::iov_iter,
    ) -> isize {
        let (ops, folio_ops, private) = (Self::WRITE, Self::WRITE_FOLIO, ptr::null_mut());
        // SAFETY: By the caller's promise; the tables live forever.
        let written =
            unsafe { bindings::iomap_file_buffered_write(iocb, from, ops, folio_ops, private) };
        // SAFETY: By the caller's promise: an open file keeps its inode.
        write::done::<T>(unsafe { Inode::borrow(bindings::file_inode((*iocb).ki_filp)) });
        written
    }

    /// Gives up what is delayed from `end` on, a block boundary at or behind the end of the file. Most of it went with its
    /// folios, but writeback cleans a folio behind the end without writing it, and who evicts it then tells nobody. The
    /// folios of the inode behind `end` are gone and stay away.
    pub(crate) fn give_up_behind(inode: LockedInode<'_>, end: FileOffset) {
        if let Ok(file) = of::<T>(&inode) {
            file.punch(&(end..WHOLE_FILE.end));
        }
    }

    /// Zeroes `[pos, pos + len)` in the page cache, except where the file has holes.
    pub(crate) fn zero_range(inode: LockedInode<'_>, pos: FileOffset, len: Bytes) -> Result {
        let (ops, folio_ops, private) = (Self::WRITE, Self::WRITE_FOLIO, ptr::null_mut());
        let (at, pos, len) = (inode.as_ptr(), loff(pos), length(len));
        let mut zeroed = false;
        of::<T>(&inode)?;
        // SAFETY: The inode is locked, and a file of `T`; the tables live forever, and `zeroed` outlives the call.
        let result = to_result(unsafe {
            bindings::iomap_zero_range(at, pos, len, &mut zeroed, ops, folio_ops, private)
        });
        write::done::<T>(&inode);
        result
    }
}
