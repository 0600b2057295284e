// SPDX-License-Identifier: GPL-2.0

//! The volume's label.

use crate::linux::ioctl::Call;
use crate::vfs::mount::mount_of;
use latch::prelude::*;

/// A label with the zeroes behind it, one at least (C: `BTRFS_LABEL_SIZE`, `FSLABEL_MAX`).
pub(super) type Label = [u8; 256];

/// `FS_IOC_GETFSLABEL`: with the zeroes, which C leaves out.
pub(super) fn get(call: &Call<'_>) -> Result {
    let label: Label = mount_of(call.inode())?.volume().superblocks().label();
    call.write(&label)
}

/// `FS_IOC_SETFSLABEL`: durable on return. `EINVAL` for a label that no zero ends.
pub(super) fn set(call: &Call<'_>) -> Result {
    call.require_admin()?;
    let label: Label = call.read()?;
    let end = label.iter().position(|&byte| byte == 0).ok_or(EINVAL)?;
    let _write = call.want_write()?;
    let mount = mount_of(call.inode())?;
    mount.fs().set_label(label.get(..end).unwrap_or(&[]))
}
