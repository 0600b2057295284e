// SPDX-License-Identifier: GPL-2.0
//! An address for file data.

use crate::disk::{Bytes, Logical};

/// A newly allocated range for file data, contiguous in the logical space, both ends multiples of the sector size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataExtent {
    /// The address of the range. On sequential zones data is written by zone append, and the device tells where in the
    /// same group it really went.
    pub logical: Logical,
    /// The length of the range, in bytes: on disk, where packed data take less than in their file.
    pub len: Bytes,
}
