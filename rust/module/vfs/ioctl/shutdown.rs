// SPDX-License-Identifier: GPL-2.0

//! An end without notice, for those who test what is left of it.

use crate::linux::ioctl::Call;
use crate::vfs::mount::mount_of;
use latch::prelude::*;

/// What is written before, as XFS has it: all that there is, what was logged, nothing.
const EVERYTHING: u32 = 0;
const LOGGED: u32 = 1;
const NOTHING: u32 = 2;

/// `FS_IOC_SHUTDOWN`: as after an aborted transaction nothing reaches the device any more.
pub(super) fn shutdown(call: &Call<'_>) -> Result {
    call.require_admin()?;
    let how: u32 = call.read()?;
    if !matches!(how, EVERYTHING | LOGGED | NOTHING) {
        return Err(EINVAL);
    }
    let inode = call.inode();
    let mount = mount_of(inode)?;
    if mount.has_failed() {
        return Ok(());
    }
    if how == NOTHING {
        mount.shut_down();
        return Ok(());
    }
    // C does the same for both.
    inode.super_block().write_through(|| mount.shut_down())
}
