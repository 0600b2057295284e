// SPDX-License-Identifier: GPL-2.0

//! Positions and lengths in files as C has them (`loff_t`).
//!
//! C header: `include/linux/types.h`

use crate::linux::bindings::loff_t;
use units::{Bytes, FileOffset};

/// The position that C names, which is in a file.
pub(in crate::linux) const fn position(pos: loff_t) -> FileOffset {
    FileOffset::new(pos as u64)
}

/// The length that C names, which is not negative.
pub(in crate::linux) const fn bytes(len: loff_t) -> Bytes {
    Bytes::new(len as u64)
}

/// A position for C.
pub(in crate::linux) const fn loff(pos: FileOffset) -> loff_t {
    pos.get() as loff_t
}
