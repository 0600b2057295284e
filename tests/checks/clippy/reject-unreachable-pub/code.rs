// SPDX-License-Identifier: GPL-2.0
//! A file with one flaw.

mod inner {
    /// A number.
    pub fn number() -> u64 {
        1
    }
}

/// That number.
#[allow(dead_code)]
fn number() -> u64 {
    inner::number()
}
