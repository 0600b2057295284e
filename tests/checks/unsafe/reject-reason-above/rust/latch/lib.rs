// SPDX-License-Identifier: GPL-2.0

//! Two blocks, one reason.

/// Reads twice.
fn read(at: &u8) -> (u8, u8) {
    let at = core::ptr::from_ref(at);
    // SAFETY: It is a reference.
    let first = unsafe { *at };
    // SAFETY: As above.
    (first, unsafe { *at })
}
