// SPDX-License-Identifier: GPL-2.0
//! A file without a flaw.

/// The byte at `at`.
///
/// # Safety
///
/// `at` is valid for reads.
#[allow(dead_code)]
unsafe fn byte(at: *const u8) -> u8 {
    // SAFETY: the caller's promise.
    unsafe { *at }
}
