// SPDX-License-Identifier: GPL-2.0
//! The last station of a block before the device.

use crate::disk::raw::RawHeader;
use crate::disk::{check_block_to_write, seal_block, BlockContext, Corrupt, Leaf, Node};
use core::mem::size_of_val;

/// Makes a block ready to be written: clears what no item uses, runs the gate, marks the block written and computes
/// its checksum. Called by every [`super::Store`] with the block locked for writing.
///
/// After an error the block must not be written and the transaction must be aborted: it is a bug of this driver or
/// broken memory, and this is where it stops. The caller logs it.
pub fn seal(block: &mut [u8], context: &BlockContext<'_>) -> Result<(), Corrupt> {
    clear_unused(block);
    check_block_to_write(block, context)?;
    seal_block(block, context.format.checksum, context.checksums);
    Ok(())
}

/// Fills with zeros what neither items nor their data take: bytes of other files may have stood there.
fn clear_unused(block: &mut [u8]) {
    let Some((header, area)) = RawHeader::split(block) else {
        return;
    };
    let unused = if header.level == 0 {
        let leaf = Leaf::new(block);
        size_of_val(leaf.raw_items())..leaf.data_start()
    } else {
        size_of_val(Node::new(block).raw_pointers())..area.len()
    };
    if let Some((_, area)) = RawHeader::split_mut(block) {
        if let Some(unused) = area.get_mut(unused) {
            unused.fill(0);
        }
    }
}
