// SPDX-License-Identifier: GPL-2.0

//! fallocate(2): holes, zeroes, and space before it is written.
//!
//! C headers: `include/linux/fs.h`, `include/uapi/linux/falloc.h`. The VFS has looked at permissions and at the file's
//! flags, and keeps the file system from being frozen.
//!
//! Locks, in their order: the inode's, so that nobody writes; direct requests have ended; the mapping's, so that nobody
//! reads into the page cache or stores through a mapping, until the trees have the hole: what was read before would be
//! old. Giving a file space changes nothing that can be read, so it does without the last of these.

use super::lock::{Alone, FaultsKeptOut};
use crate::linux::bindings as b;
use crate::linux::enospc::{in_turn, with_space, Persistence};
use crate::linux::inode::LockedInode;
use crate::linux::iomap::{keep_workers_out, settle, Blocks, FileData, Tables};
use crate::linux::loff::{bytes, first_and_last, position};
use crate::linux::Inode;
use core::ops::Range;
use kernel::error::{from_result, to_result};
use kernel::ffi::{c_int, c_long};
use latch::prelude::*;
use latch::NofsScope;
use units::{Bytes, FileOffset};

/// A range without a byte.
const NOTHING: Range<FileOffset> = FileOffset::new(0)..FileOffset::new(0);

/// Whether a call may make the file longer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    /// The file reaches to the end of the range.
    UpToRange,
    /// The file's size stays (`FALLOC_FL_KEEP_SIZE`).
    None,
}

/// What a call asks for.
enum Mode {
    Allocate(Growth),
    Punch,
    Zero(Growth),
}

impl Mode {
    /// `EOPNOTSUPP` for what there is not.
    fn of(bits: c_int) -> Result<Self> {
        let bits = bits as u32;
        let growth = match bits & b::FALLOC_FL_KEEP_SIZE {
            0 => Growth::UpToRange,
            _ => Growth::None,
        };
        match bits & !b::FALLOC_FL_KEEP_SIZE {
            b::FALLOC_FL_ALLOCATE_RANGE => Ok(Self::Allocate(growth)),
            b::FALLOC_FL_PUNCH_HOLE => Ok(Self::Punch),
            b::FALLOC_FL_ZERO_RANGE => Ok(Self::Zero(growth)),
            _ => Err(EOPNOTSUPP),
        }
    }

    fn growth(&self) -> Growth {
        match self {
            Self::Punch => Growth::None,
            Self::Allocate(growth) | Self::Zero(growth) => *growth,
        }
    }
}

/// Files whose ranges can be given and taken space.
pub(crate) trait Fallocate: 'static {
    /// Whether files can be given space before it is written.
    fn check_allocate(inode: &Inode) -> Result;
    /// Gives the file space where it has none in `range`, whole blocks. No direct request is under way.
    fn allocate(inode: LockedInode<'_>, range: Range<FileOffset>) -> Result;
    /// Makes `hole` one. No direct request is under way.
    fn punch(inode: LockedInode<'_>, hole: &Hole) -> Result;
    /// Makes `hole` read as zeroes, and gives the file space in all of `range`, the blocks that it touches, where files can
    /// be given space. No direct request is under way.
    fn zero(inode: LockedInode<'_>, hole: &Hole, range: Range<FileOffset>) -> Result;
    /// Changes the size; the limits were checked. No direct request is under way.
    fn resize(inode: LockedInode<'_>, size: Bytes) -> Result;
}

/// A range of a file that is to read as zeroes, by blocks.
pub(crate) struct Hole {
    /// Parts of blocks that the file keeps.
    cut: [Range<FileOffset>; 2],
    /// Whole blocks, which the file loses. May be empty.
    whole: Range<FileOffset>,
}

impl Hole {
    /// `range` of the file. Its last block is whole where the file ends in it: nothing is behind its end.
    fn of(inode: &Inode, range: Range<FileOffset>) -> Self {
        let (blocks, end) = (Blocks::of(inode), inode.end());
        let mut whole = blocks.whole(range.start, range.end.saturating_since(range.start));
        if range.end >= end {
            whole.end = whole.end.max(blocks.round_up(end));
        }
        let inside =
            |start: FileOffset, to: FileOffset| start..to.min(range.end).min(end).max(start);
        match whole.is_empty() {
            false => Self {
                cut: [
                    inside(range.start, whole.start),
                    inside(whole.end, range.end),
                ],
                whole,
            },
            true => Self {
                cut: [inside(range.start, range.end), NOTHING],
                whole: NOTHING,
            },
        }
    }

    /// The whole blocks, if there are any.
    pub(crate) fn whole(&self) -> Option<Range<FileOffset>> {
        (!self.whole.is_empty()).then(|| self.whole.clone())
    }
}

/// Makes `hole` one in the page cache and then, by what `ask` gives, in the trees. `ask` is called before anything is changed,
/// and when nothing that is unwritten in `asked` can be written any more. No direct request is under way.
pub(crate) fn punch<T: FileData, S: FnOnce() -> Result>(
    inode: LockedInode<'_>,
    hole: &Hole,
    asked: &Range<FileOffset>,
    ask: impl FnOnce() -> Result<S>,
) -> Result {
    let _kept_out = FaultsKeptOut::of(&inode);
    // What is delayed has space of its own, and takes what was given before.
    settle::<T>(&inode, asked)?;
    let store = ask()?;
    for part in hole.cut.iter().filter(|part| !part.is_empty()) {
        let len = part.end.saturating_since(part.start);
        Tables::<T>::zero_range(inode, part.start, len)?;
    }
    let Some(whole) = hole.whole() else {
        return store();
    };
    // What was written there first makes the file as long as it is. Where the hole is only begun, old bytes do not come
    // back. And a dirty folio is not split: its mappings would mark all of it dirty again, and the hole would be filled.
    settle::<T>(&inode, &whole)?;
    let (first, last) = first_and_last(&whole);
    let _workers = keep_workers_out::<T>(&inode)?;
    // SAFETY: The inode is locked, and nobody brings these pages back before its lock and its mapping's are let go.
    unsafe { b::truncate_pagecache_range(inode.as_ptr(), first, last) };
    store()
}

/// Writes out what is dirty in `range`, as it is to have space of its own, and calls `store`, which finds space for the rest.
/// No direct request is under way.
pub(crate) fn allocate<T: FileData>(
    inode: LockedInode<'_>,
    range: Range<FileOffset>,
    store: impl FnOnce() -> Result,
) -> Result {
    settle::<T>(&inode, &range)?;
    store()
}

/// Makes `range` durable where that is asked for: by an `O_DSYNC` descriptor, or by a file that is `+S`, as for a write. No
/// lock is held.
///
/// # Safety
///
/// The VFS lends the file.
unsafe fn sync_if_asked(file: *mut b::file, range: &Range<FileOffset>) -> Result {
    // SAFETY: By the function's contract.
    let (flags, inode) = unsafe { ((*file).f_flags, Inode::borrow(b::file_inode(file))) };
    if flags & b::O_DSYNC == 0 && !inode.is_sync() {
        return Ok(());
    }
    let (first, last) = first_and_last(range);
    // SAFETY: By the function's contract, with no lock held that fsync takes.
    to_result(unsafe { b::vfs_fsync_range(file, first, last, 0) })
}

pub(super) unsafe extern "C" fn fallocate<T: Fallocate>(
    file: *mut b::file,
    mode: c_int,
    offset: i64,
    len: i64,
) -> c_long {
    from_result(|| {
        let mode = Mode::of(mode)?;
        // SAFETY: The VFS lends an open file, which keeps its inode.
        let inode = unsafe { Inode::borrow(b::file_inode(file)) };
        let end = offset.checked_add(len).ok_or(EFBIG)?;
        let range = position(offset)..position(end);
        if let Mode::Allocate(_) = mode {
            T::check_allocate(inode)?;
        }
        let alone = Alone::with(inode);
        let locked = alone.locked_inode();
        let grows = mode.growth() == Growth::UpToRange && range.end > inode.end();
        if grows {
            // SAFETY: The inode is alive, and locked.
            to_result(unsafe { b::inode_newsize_ok(inode.as_ptr(), end) })?;
        }
        // SAFETY: The VFS lends the file, whose inode is locked.
        to_result(unsafe { b::file_modified(file) })?;
        let nofs = NofsScope::enter();
        let hole = Hole::of(inode, range.clone());
        let touched = Blocks::of(inode).touched(range.start, bytes(len));
        let mut change = || match mode {
            Mode::Allocate(_) => T::allocate(locked, touched.clone()),
            Mode::Punch => T::punch(locked, &hole),
            Mode::Zero(_) => T::zero(locked, &hole, touched.clone()),
        };
        in_turn(inode, Persistence::Patient, || {
            with_space(inode, &mut change)
        })?;
        if grows {
            with_space(inode, || T::resize(locked, range.end.before()))?;
        }
        drop((nofs, alone));
        // SAFETY: The VFS lends the file.
        unsafe { sync_if_asked(file, &range) }.map(|()| 0)
    })
}
