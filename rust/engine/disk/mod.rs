// SPDX-License-Identifier: GPL-2.0
//! L1: the on-disk format.

mod key;
mod units;

pub use key::{Key, Kind};
pub use units::{FileOffset, Generation, Logical, ObjectId, Physical, ZoneOffset};
