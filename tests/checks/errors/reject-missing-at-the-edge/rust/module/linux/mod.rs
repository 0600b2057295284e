// SPDX-License-Identifier: GPL-2.0

//! An edge.

/// The payload.
fn payload(found: Option<u32>) -> Result<u32> {
    found.ok_or(EINVAL)
}
