// SPDX-License-Identifier: GPL-2.0
//! The chunks that a superblock lists.

use crate::disk::corrupt::Flaw;
use crate::disk::packing::{front, put_front};
use crate::disk::raw::{RawKey, RawSuperblock};
use crate::disk::{ChunkItem, Key, Logical, NewChunk};
use latch::prelude::{Result as KernelResult, EFBIG};

/// The chunks that a superblock lists: those of the chunk tree.
#[derive(Clone, Copy)]
pub struct SystemChunks<'a> {
    rest: &'a [u8],
}

impl<'a> SystemChunks<'a> {
    fn parse(&mut self) -> Result<(Key, ChunkItem<'a>), Flaw> {
        let bytes = core::mem::take(&mut self.rest);
        let (key, rest): (&RawKey, _) = front(bytes, "system chunk's key is cut off")?;
        let (chunk, rest) = ChunkItem::parse_front(rest)?;
        self.rest = rest;
        Ok((key.get(), chunk))
    }
}

impl<'a> Iterator for SystemChunks<'a> {
    type Item = Result<(Key, ChunkItem<'a>), Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.parse())
    }
}

impl RawSuperblock {
    /// The chunks that it lists.
    pub fn system_chunks(&self) -> SystemChunks<'_> {
        let size = usize::try_from(self.sys_chunk_array_size.get()).unwrap_or(usize::MAX);
        SystemChunks {
            rest: self
                .sys_chunk_array
                .get(..size)
                .unwrap_or(&self.sys_chunk_array),
        }
    }

    /// How many more chunks like this one the list has room for.
    pub(super) fn room_for_system_chunks(&self, chunk: &NewChunk<'_>) -> usize {
        let size = usize::try_from(self.sys_chunk_array_size.get()).unwrap_or(usize::MAX);
        let left = self.sys_chunk_array.len().saturating_sub(size);
        let entry = RawKey::SIZE.saturating_add(chunk.encoded_len());
        left.checked_div(entry).unwrap_or(0)
    }

    /// Appends a chunk to the list. `EFBIG` when there is no room for it.
    pub(super) fn add_system_chunk(
        &mut self,
        logical: Logical,
        chunk: &NewChunk<'_>,
    ) -> KernelResult {
        let start = usize::try_from(self.sys_chunk_array_size.get()).unwrap_or(usize::MAX);
        let end = start
            .saturating_add(RawKey::SIZE)
            .saturating_add(chunk.encoded_len());
        let entry = self.sys_chunk_array.get_mut(start..end).ok_or(EFBIG)?;
        let key = RawKey::from(ChunkItem::key(logical));
        chunk.write_to(put_front(entry, &key)?)?;
        let size = u32::try_from(end).map_err(|_| EFBIG)?;
        self.sys_chunk_array_size.set(size);
        Ok(())
    }
}
