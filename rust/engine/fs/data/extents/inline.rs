// SPDX-License-Identifier: GPL-2.0
//! The rule for bytes in the tree: an inline extent has no more of its file than the first sector.
//!
//! Nobody makes longer ones today, but old tools did, and a disk may lie. A file that has one can be read, emptied and
//! removed. All else would have to cut the extent, and is refused before anything has changed.

use super::parse;
use crate::btree::{Cursor, Reach, Sought};
use crate::disk::{FileExtent, FileOffset, Flaw};
use crate::fs::data::Data;
use crate::fs::{items, Inode};
use latch::prelude::*;

impl Data<'_> {
    /// Asks whether a file's first bytes can be changed piece by piece: `EUCLEAN` if not. A look-up the first time. Without
    /// reach to the device: `EAGAIN` where the answer is not in memory.
    pub(in crate::fs::data) fn check_inline(&self, inode: &Inode, reach: Reach) -> Result {
        if inode.has_short_inline() {
            return Ok(());
        }
        let _extents = match reach {
            Reach::Device => inode.hold_extents()?,
            Reach::Cache => inode.try_hold_extents()?,
        };
        let key = inode.extent_key(FileOffset::new(0));
        let tree = inode.subvolume().tree();
        let mut cursor = Cursor::reaching(tree, reach).up_to(key);
        if cursor.seek(&key)? == Sought::Found {
            let first = cursor.item().map(|(_, item)| parse(inode, &key, item));
            let sector = self.fs.sector_size();
            match first.transpose()? {
                Some(FileExtent::Inline(inline)) if inline.ram_bytes > sector => {
                    let what = "inline extent is longer than a sector";
                    let flaw = Flaw::new(what, inline.ram_bytes.get(), sector.get());
                    return Err(items::report(tree, &key, flaw));
                }
                _ => {}
            }
        }
        inode.note_short_inline();
        Ok(())
    }
}
