// SPDX-License-Identifier: GPL-2.0

//! Telling the device what is free: fstrim(8).

use crate::linux::ioctl::Call;
use crate::vfs::mount::mount_of;
use core::cell::Cell;
use engine::disk::{Bytes, Logical};
use engine::txn::Trim;
use latch::prelude::*;

/// From where on, how many bytes, and how long a free range must be (C: `struct fstrim_range`). The addresses are those of
/// block groups, as in C.
pub(super) type Range = [u64; 3];

/// `FITRIM`: answers how many bytes the device was told of.
///
/// C trims a volume that is mounted read-only; here nothing is sent to its device.
pub(super) fn trim(call: &Call<'_>) -> Result {
    call.require_admin()?;
    let mount = mount_of(call.inode())?;
    let device = &mount.data_path().device;
    if mount.volume().rules().reuses_by_reset() || !device.takes_discards() {
        return Err(EOPNOTSUPP);
    }
    let [start, len, least]: Range = call.read()?;
    if len < u64::from(mount.sector_size()) {
        return Err(EINVAL);
    }
    let held = Cell::new(Some(call.want_write()?));
    let mut trim = Trim {
        range: Logical::new(start)..Logical::new(start.saturating_add(len)),
        least: Bytes::new(least).max(device.discard_granularity()),
        // Who wants to freeze the file system or the machine does not wait for more than a piece.
        go_on: &|| {
            held.set(None);
            call.pause()?;
            held.set(Some(call.want_write()?));
            Ok(())
        },
        trimmed: Bytes::ZERO,
    };
    let result = mount.fs().transactions().trim(&mut trim);
    call.write(&[start, trim.trimmed.get(), trim.least.get()])?;
    result
}
