// SPDX-License-Identifier: GPL-2.0
//! What stands behind the first part of a superblock whose write was cut off, up to the end of its place.
//!
//! Zeroes would not do: a superblock ends with zeroes, so one that lacks no more than these would be completed by them,
//! long after something else was promised.

use super::SuperblockBytes;
use latch::prelude::{KBox, Result};

/// Repeated up to the end of the place.
const TEXT: [u8; 16] = *b"rbtrfs: cut off\n";
/// How often that is there where it is there at all: a device's smallest block is as long. Superblocks are zero there (C:
/// `padding`).
const TIMES: usize = 512 / TEXT.len();

impl SuperblockBytes {
    /// Nothing but what fills a place up.
    pub fn filler() -> Result<KBox<Self>> {
        let mut filler = Self::new()?;
        for text in filler.as_mut_bytes().chunks_exact_mut(TEXT.len()) {
            text.copy_from_slice(&TEXT);
        }
        Ok(filler)
    }

    /// Whether these are the first part of a superblock, and then what fills its place up.
    pub fn is_filled_up(&self) -> bool {
        let mut end = self.as_bytes().rchunks_exact(TEXT.len()).take(TIMES);
        end.all(|text| text == TEXT)
    }
}
