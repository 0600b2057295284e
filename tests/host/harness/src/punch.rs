// SPDX-License-Identifier: GPL-2.0
//! Making holes in files, in one call.

use engine::disk::{Bytes, FileOffset};
use engine::fs::{FileSpace, Inode, Now};
use kernel::prelude::*;

/// Asking for a hole and making it, between which the edge cuts the page cache.
pub trait PunchHole {
    /// Makes a hole of `len` bytes at `offset`, whole sectors.
    fn punch_hole(&self, inode: &Inode, offset: FileOffset, len: Bytes, now: impl Now) -> Result;
}

impl PunchHole for FileSpace<'_> {
    fn punch_hole(&self, inode: &Inode, offset: FileOffset, len: Bytes, now: impl Now) -> Result {
        let end = offset.checked_add(len).ok_or(EFBIG)?;
        let space = *self;
        space.ask_punch(inode, offset..end)?.run(now)
    }
}
