// SPDX-License-Identifier: GPL-2.0
//! The last station of a block before the device.

use crate::disk::edit::clear_unused;
use crate::disk::{check_block_to_write, seal_block, BlockContext, Corrupt};

/// Makes a block ready to be written: clears what no item uses, runs the gate, marks the block written and computes
/// its checksum. Called by every [`crate::btree::Store`] with the block locked for writing.
///
/// After an error the block must not be written and the transaction must be aborted: it is a bug of this driver or
/// broken memory, and this is where it stops. The caller reports it.
pub fn seal(block: &mut [u8], context: &BlockContext<'_>) -> Result<(), Corrupt> {
    clear_unused(block);
    check_block_to_write(block, context)?;
    seal_block(block, context.format.checksum, context.checksums);
    Ok(())
}
