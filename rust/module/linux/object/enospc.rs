// SPDX-License-Identifier: GPL-2.0

//! Space by writing out: finished data takes less than was promised to dirty data.
//!
//! On a full volume many tasks come here at once, and share what is written out.

use super::{Inode, SuperBlock};
use crate::linux::bindings as b;
use core::ptr::addr_of_mut;
use latch::prelude::*;

/// Calls `change`, and once more if there was no space: after all dirty data was written out. The caller holds no
/// folio's lock and nothing else that writeback takes.
pub(in crate::linux) fn with_space<R>(
    inode: &Inode,
    mut change: impl FnMut() -> Result<R>,
) -> Result<R> {
    match change() {
        Err(error) if error == ENOSPC => {
            write_out_all(inode.super_block());
            change()
        }
        result => result,
    }
}

/// Writes out all dirty data of the file system and waits for it. The caller holds nothing that writeback takes.
pub(in crate::linux) fn write_out_all(sb: &SuperBlock) {
    let write_out = || {
        let at = sb.as_ptr();
        // SAFETY: The super block is alive. An unmount under way has the lock, and leaves nothing to wait for.
        unsafe {
            let lock = addr_of_mut!((*at).s_umount);
            if b::down_read_trylock(lock) != 0 {
                sb.write_out();
                b::up_read(lock);
            }
        }
    };
    if let Some(write_outs) = sb.write_outs() {
        write_outs.share(write_out);
    }
}
