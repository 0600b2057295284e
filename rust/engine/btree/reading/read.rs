// SPDX-License-Identifier: GPL-2.0
//! Reading single items, and ranges of them.

use crate::btree::bugs::NO_ITEM;
use crate::btree::{Cursor, Reach, Tree};
use crate::disk::{Key, Leaf};
use core::ops::{ControlFlow, RangeInclusive};
use latch::prelude::*;

impl Tree {
    /// Gives the item at `key` to `read`; `None` if there is none.
    pub fn get<R>(&self, key: &Key, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let found = self.find_leaf(key, Reach::Device)?;
        let leaf = Leaf::new(found.leaf.bytes());
        match leaf.search(key) {
            Ok(slot) => Ok(Some(read(leaf.data(slot).ok_or(NO_ITEM)?))),
            Err(_) => Ok(None),
        }
    }

    /// Gives the last item at or before `key` to `read`; `None` if there is none.
    pub fn floor<R>(&self, key: &Key, read: impl FnOnce(Key, &[u8]) -> R) -> Result<Option<R>> {
        let mut cursor = Cursor::new(self);
        cursor.seek_floor(key)?;
        Ok(cursor.item().map(|(key, bytes)| read(key, bytes)))
    }

    /// Gives the first item at or after `key` to `read`; `None` if there is none.
    pub fn ceiling<R>(&self, key: &Key, read: impl FnOnce(Key, &[u8]) -> R) -> Result<Option<R>> {
        let mut cursor = Cursor::new(self);
        cursor.seek(key)?;
        Ok(cursor.item().map(|(key, bytes)| read(key, bytes)))
    }

    /// Gives the items in `range` to `each`, ascending, until it breaks. No lock is held from one leaf to the next
    /// but the parent's: items may come and go between them, but every item that is there all the time is seen once.
    pub fn scan(
        &self,
        range: RangeInclusive<Key>,
        mut each: impl FnMut(Key, &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result {
        let mut cursor = Cursor::new(self).up_to(*range.end());
        cursor.seek(range.start())?;
        while let Some((key, bytes)) = cursor.item() {
            if key > *range.end() || each(key, bytes)?.is_break() {
                break;
            }
            cursor.next()?;
        }
        Ok(())
    }
}
