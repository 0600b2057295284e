// SPDX-License-Identifier: GPL-2.0

//! The reader-writer lock under the engine: the kernel's `rw_semaphore`.

#[doc(hidden)]
const __LOG_PREFIX: &[u8] = b"rbtrfs\0";
