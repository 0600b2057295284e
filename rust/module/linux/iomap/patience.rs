// SPDX-License-Identifier: GPL-2.0

//! Whether a call may wait.
//!
//! C headers: `include/linux/fs.h` (`IOCB_NOWAIT`), `include/linux/iomap.h` (`IOMAP_NOWAIT`)

use super::bindings;
use kernel::ffi::{c_int, c_uint};

/// Whether a call may wait for others: for the device, for space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// The caller may wait: for metadata to be read, for a commit, for dirty data to be written out.
    Waits,
    /// The caller may not wait: `EAGAIN` instead.
    None,
}

impl Patience {
    /// The patience of a request with the flags `IOCB_*`.
    pub(in crate::linux) fn of_request(flags: c_int) -> Self {
        match flags & bindings::IOCB_NOWAIT {
            0 => Self::Waits,
            _ => Self::None,
        }
    }

    /// The patience of a call of iomap with the flags `IOMAP_*`, which it takes from the request.
    pub(super) fn of(flags: c_uint) -> Self {
        match flags & bindings::IOMAP_NOWAIT {
            0 => Self::Waits,
            _ => Self::None,
        }
    }
}
