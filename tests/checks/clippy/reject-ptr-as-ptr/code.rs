// SPDX-License-Identifier: GPL-2.0
//! A file with one flaw.

/// The first byte of `words`.
#[allow(dead_code)]
fn first(words: *const u32) -> *const u8 {
    words as *const u8
}
