// SPDX-License-Identifier: GPL-2.0
//! The last station of a block before the device.

use super::Store;
use kernel::prelude::*;

/// Makes a block ready to be written: clears what no item uses, marks it written, runs the gate and computes the
/// checksum. Called by every [`Store`] with the block locked for writing.
///
/// After an error the block must not be written and the transaction must be aborted: it is a bug of this driver, and
/// this is where it stops.
pub fn seal(_store: &dyn Store, _block: &mut [u8]) -> Result {
    Err(EOPNOTSUPP)
}
