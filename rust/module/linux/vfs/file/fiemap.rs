// SPDX-License-Identifier: GPL-2.0

//! fiemap: which extents a file has, and where.
//!
//! C header: `include/linux/fiemap.h`. Nothing is written out for it, unless the caller asks (`FIEMAP_FLAG_SYNC`): what has
//! no address yet is told as that. No lock is held while the answer is copied to the user's memory, which may be a mapping of
//! the file: a file that changes meanwhile may be reported as it never was, as by any two calls.

use super::extents::{may_go_on, Extents, Found, Piece};
use super::lock::Steady;
use crate::linux::bindings as b;
use crate::linux::iomap::{write_out, Blocks, FileData};
use crate::linux::loff::WHOLE_FILE;
use crate::linux::Inode;
use core::ops::Range;
use kernel::error::{from_result, to_result};
use kernel::ffi::c_int;
use latch::prelude::*;
use latch::NofsScope;
use units::{Bytes, FileOffset};

/// The answer as far as it has come.
struct Answer<'a> {
    info: &'a mut b::fiemap_extent_info,
    /// The last piece, which may go on yet and is not told until it ends.
    last: Option<Piece>,
}

/// Whether the caller takes more.
#[derive(PartialEq, Eq)]
enum Room {
    Left,
    None,
}

impl Answer<'_> {
    fn add(&mut self, piece: Piece) -> Result<Room> {
        match &mut self.last {
            Some(last) if last.goes_on_with(&piece) => {
                last.len = last.len.saturating_add(piece.len);
                return Ok(Room::Left);
            }
            _ => {}
        }
        let room = self.tell(0)?;
        self.last = Some(piece);
        Ok(room)
    }

    /// Tells the caller of the last piece.
    fn tell(&mut self, more_flags: u32) -> Result<Room> {
        let Some(piece) = self.last.take() else {
            return Ok(Room::Left);
        };
        let flags = piece.flags | more_flags;
        let (pos, address, len) = (piece.pos.get(), piece.address.get(), piece.len.get());
        // SAFETY: The VFS lends the answer, with the user's memory in it.
        let told = unsafe { b::fiemap_fill_next_extent(self.info, pos, address, len, flags) };
        to_result(told)?;
        Ok(match told {
            0 => Room::Left,
            _ => Room::None,
        })
    }
}

pub(super) unsafe extern "C" fn fiemap<T: Extents, D: FileData>(
    inode: *mut b::inode,
    info: *mut kernel::bindings::fiemap_extent_info,
    start: u64,
    len: u64,
) -> c_int {
    from_result(|| {
        let mut len = len;
        let info = info.cast::<b::fiemap_extent_info>();
        // SAFETY: The VFS lends all for the call.
        to_result(unsafe { b::fiemap_prep(inode, info, start, &mut len, 0) })?;
        // SAFETY: The VFS lends inode and structure for the call.
        let (inode, info) = unsafe { (Inode::borrow(inode), &mut *info) };
        if info.fi_flags & b::FIEMAP_FLAG_SYNC != 0 {
            // Where that would have to wait for a thaw, something may be left.
            write_out::<D>(inode, &WHOLE_FILE)?;
        }
        let answer = Answer { info, last: None };
        let range = Blocks::of(inode).touched(FileOffset::new(start), Bytes::new(len));
        answer_all::<T>(inode, answer, range)?;
        Ok(0)
    })
}

fn answer_all<T: Extents>(
    inode: &Inode,
    mut answer: Answer<'_>,
    range: Range<FileOffset>,
) -> Result {
    let (mut at, end) = (range.start, range.end);
    while at < end {
        may_go_on()?;
        match find::<T>(inode, at, end)? {
            Found::HoleUntil(next) => at = next,
            Found::Piece(piece, next) => {
                at = next;
                if answer.add(piece)? == Room::None {
                    return Ok(());
                }
            }
        }
    }
    let is_last = match &answer.last {
        Some(_) => !has_more::<T>(inode, at)?,
        None => false,
    };
    answer.tell(if is_last { b::FIEMAP_EXTENT_LAST } else { 0 })?;
    Ok(())
}

/// Whether there is a piece at `at` or behind it.
fn has_more<T: Extents>(inode: &Inode, at: FileOffset) -> Result<bool> {
    let mut at = at;
    while i64::try_from(at.get()).is_ok() {
        may_go_on()?;
        match find::<T>(inode, at, FileOffset::new(u64::MAX))? {
            Found::HoleUntil(next) => at = next,
            Found::Piece(..) => return Ok(true),
        }
    }
    Ok(false)
}

fn find<T: Extents>(inode: &Inode, at: FileOffset, end: FileOffset) -> Result<Found> {
    let _nofs = NofsScope::enter();
    // As in lseek.
    let _steady = Steady::wait(inode);
    T::find(inode, at, end)
}
