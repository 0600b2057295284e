// SPDX-License-Identifier: GPL-2.0

//! Positions and lengths in files as C has them (`loff_t`).
//!
//! C header: `include/linux/types.h`. C knows none that are negative where it is asked for one, and none above the highest
//! `loff_t`: what is above becomes that.

use crate::linux::bindings::loff_t;
use core::ops::Range;
use units::{Bytes, FileOffset};

/// All bytes that a file can have.
pub(in crate::linux) const WHOLE_FILE: Range<FileOffset> =
    FileOffset::new(0)..FileOffset::new(u64::MAX);

/// The position that C names.
pub(in crate::linux) const fn position(pos: loff_t) -> FileOffset {
    FileOffset::new(pos as u64)
}

/// The length that C names.
pub(in crate::linux) const fn bytes(len: loff_t) -> Bytes {
    Bytes::new(len as u64)
}

/// A position for C.
pub(in crate::linux) fn loff(pos: FileOffset) -> loff_t {
    length(pos.before())
}

/// A length for C.
pub(in crate::linux) fn length(len: Bytes) -> loff_t {
    loff_t::try_from(len.get()).unwrap_or(loff_t::MAX)
}

/// A range for C where it names ranges by their first and their last byte.
pub(in crate::linux) fn first_and_last(range: &Range<FileOffset>) -> (loff_t, loff_t) {
    (
        loff(range.start),
        loff(range.end.saturating_sub(Bytes::new(1))),
    )
}
