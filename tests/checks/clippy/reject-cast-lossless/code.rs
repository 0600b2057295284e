// SPDX-License-Identifier: GPL-2.0
//! A file with one flaw.

/// `byte` as a number.
#[allow(dead_code)]
fn number(byte: u8) -> u64 {
    byte as u64
}
