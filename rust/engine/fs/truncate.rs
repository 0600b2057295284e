// SPDX-License-Identifier: GPL-2.0
//! Cutting files and making holes.

use super::{FileSystem, Inode, Time};
use crate::disk::FileOffset;
use kernel::prelude::*;

impl FileSystem {
    /// Sets a file's size. Shrinking goes in batches with an orphan item first, so a crash leaves the file to be cut
    /// at the next mount. The caller has zeroed the tail of the last page and no write of the cut range is under way.
    pub fn truncate(&self, _inode: &Inode, _new_size: u64, _now: Time) -> Result {
        Err(EOPNOTSUPP)
    }

    /// Makes a hole of whole sectors. The caller zeroes partial ones and has no write of the range under way.
    pub fn punch_hole(&self, _inode: &Inode, _offset: FileOffset, _len: u64, _now: Time) -> Result {
        Err(EOPNOTSUPP)
    }
}
