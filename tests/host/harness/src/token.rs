// SPDX-License-Identifier: GPL-2.0
//! Reserved blocks as values that are counted from outside.

use engine::disk::Bytes;
use engine::fs::Divisible;
use kernel::prelude::*;
use std::cell::Cell;
use std::rc::Rc;

/// So many blocks reserved.
pub struct Token {
    /// How many.
    pub blocks: u64,
    /// How many more are promised to be written in place.
    pub in_place: u64,
    outstanding: Rc<Cell<u64>>,
}

impl Token {
    /// Reserves `blocks` more of what is `outstanding`.
    pub fn new(blocks: u64, outstanding: &Rc<Cell<u64>>) -> Self {
        outstanding.set(outstanding.get() + blocks);
        Self {
            blocks,
            in_place: 0,
            outstanding: outstanding.clone(),
        }
    }

    /// Promises `blocks` more in place: no space is reserved.
    pub fn in_place(blocks: u64, outstanding: &Rc<Cell<u64>>) -> Self {
        let mut token = Self::new(0, outstanding);
        token.in_place = blocks;
        token
    }

    /// How many blocks it is for.
    pub fn all(&self) -> u64 {
        self.blocks + self.in_place
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
        self.in_place += std::mem::take(&mut other.in_place);
    }

    fn split(&mut self, len: Bytes, in_place: Bytes) -> Result<Self> {
        let blocks = self
            .blocks
            .checked_sub(len.get() - in_place.get())
            .ok_or(ENOSPC)?;
        self.in_place = self.in_place.checked_sub(in_place.get()).ok_or(ENOSPC)?;
        self.blocks = blocks;
        Ok(Token {
            blocks: len.get() - in_place.get(),
            in_place: in_place.get(),
            outstanding: self.outstanding.clone(),
        })
    }
}
