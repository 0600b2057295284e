// SPDX-License-Identifier: GPL-2.0
//! Reserved blocks as values that are counted from outside.

use engine::fs::Divisible;
use kernel::prelude::*;
use std::cell::Cell;
use std::rc::Rc;

/// So many blocks reserved.
pub struct Token {
    /// How many.
    pub blocks: u64,
    outstanding: Rc<Cell<u64>>,
}

impl Token {
    /// Reserves `blocks` more of what is `outstanding`.
    pub fn new(blocks: u64, outstanding: &Rc<Cell<u64>>) -> Self {
        outstanding.set(outstanding.get() + blocks);
        Self {
            blocks,
            outstanding: outstanding.clone(),
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.outstanding.set(self.outstanding.get() - self.blocks);
    }
}

impl Divisible for Token {
    fn merge(&mut self, mut other: Self) {
        self.blocks += std::mem::take(&mut other.blocks);
    }

    fn split(&mut self, len: u64) -> Result<Self> {
        self.blocks = self.blocks.checked_sub(len).ok_or(ENOSPC)?;
        Ok(Token {
            blocks: len,
            outstanding: self.outstanding.clone(),
        })
    }
}
