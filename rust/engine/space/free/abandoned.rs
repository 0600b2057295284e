// SPDX-License-Identifier: GPL-2.0
//! Addresses that were taken for tree blocks and never got one.
//!
//! On sequential zones such an address cannot be taken again, and what lies behind it cannot be written before it. So
//! it is noted, for the write order to have zeros written there. Noting needs no memory.

use crate::disk::{Bytes, ZoneOffset};
use crate::space::Class;
use latch::prelude::*;

/// The places for blocks in a group on sequential zones that nobody will write, as a bitmap.
pub(in crate::space) struct Abandoned {
    block_size: Bytes,
    words: KVVec<u64>,
}

impl Abandoned {
    /// Makes the bitmap of a group that holds `capacity` bytes. File data is appended wherever the device likes: it leaves no holes.
    pub(in crate::space) fn new(class: Class, capacity: Bytes, block_size: Bytes) -> Result<Self> {
        let blocks = match class {
            Class::Data => 0,
            Class::Metadata | Class::System => capacity.count(block_size),
        };
        let words = usize::try_from(blocks.div_ceil(u64::BITS.into()))?;
        Ok(Self {
            block_size,
            words: KVVec::from_elem(0, words, GFP_NOFAIL)?,
        })
    }

    /// Notes the block at `offset`.
    pub(in crate::space) fn note(&mut self, offset: ZoneOffset) {
        let Some((word, bit)) = self.place(offset) else {
            return;
        };
        if let Some(word) = self.words.get_mut(word) {
            *word |= bit;
        }
    }

    /// Whether the block at `offset` was noted.
    pub(in crate::space) fn contains(&self, offset: ZoneOffset) -> bool {
        self.place(offset)
            .and_then(|(word, bit)| Some(self.words.get(word)? & bit != 0))
            .unwrap_or(false)
    }

    /// The end of what was not noted, in what was allocated up to `end`.
    pub(in crate::space) fn trim(&self, end: ZoneOffset) -> ZoneOffset {
        let mut end = end;
        while let Some(last) = end
            .get()
            .checked_sub(self.block_size.get())
            .map(ZoneOffset::new)
        {
            if !self.contains(last) {
                break;
            }
            end = last;
        }
        end
    }

    /// The zones were reset.
    pub(in crate::space) fn clear(&mut self) {
        self.words.iter_mut().for_each(|word| *word = 0);
    }

    fn place(&self, offset: ZoneOffset) -> Option<(usize, u64)> {
        let index = offset.get().checked_div(self.block_size.get())?;
        let word = usize::try_from(index / u64::from(u64::BITS)).ok()?;
        let bit = u32::try_from(index % u64::from(u64::BITS)).ok()?;
        Some((word, 1u64.checked_shl(bit)?))
    }
}
