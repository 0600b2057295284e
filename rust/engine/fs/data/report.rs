// SPDX-License-Identifier: GPL-2.0
//! Where a file's bytes are, for who asks out of curiosity (fiemap).

use super::extents::{self, end_of, is_extent_of, parse, start_of};
use super::mapping::{Found, Mapping};
use super::Mappings;
use crate::btree::{Cursor, Reach, Sought};
use crate::disk::{Bytes, FileExtent, FileOffset, Key, RegularExtent};
use crate::fs::Inode;
use crate::txn::Sharing;
use latch::prelude::*;

/// A piece of a file, and whether others have its extent.
#[derive(Debug)]
pub struct Reported {
    /// What is there.
    pub mapping: Mapping,
    /// Whose it is. What is in no extent is the file's alone.
    pub sharing: Sharing,
}

impl Mappings<'_> {
    /// What is at `offset`, as [`Self::find`] says it, and whose it is.
    pub fn report(&self, inode: &Inode, offset: FileOffset, max_len: Bytes) -> Result<Reported> {
        let txns = self.fs.transactions();
        let handle = match txns.attach() {
            // Nobody changes anything any more.
            Err(error) if error == EROFS => None,
            attached => attached?,
        };
        let _extents = inode.hold_extents()?;
        let Found { mapping, piece } = self.find_within(inode, offset, max_len, Reach::Device)?;
        let sharing = match piece {
            Some((key, piece)) if !piece.is_hole() => {
                let way = inode.subvolume().tree().shareable_way(&key)?;
                let data = extents::reference(inode, start_of(&key), &piece);
                txns.sharing(handle.as_ref(), &data, &way)?
            }
            _ => Sharing::Alone,
        };
        Ok(Reported { mapping, sharing })
    }
}

/// The piece that has the byte at `at`, with its key; `None` for what is in the tree, and where there is no item.
pub(super) fn piece_at(inode: &Inode, at: FileOffset) -> Result<Option<(Key, RegularExtent)>> {
    let mut cursor = Cursor::new(inode.subvolume().tree());
    if cursor.seek_floor(&inode.extent_key(at))? == Sought::Missing {
        return Ok(None);
    }
    let Some((key, item)) = cursor.item() else {
        return Ok(None);
    };
    if !is_extent_of(&key, inode) {
        return Ok(None);
    }
    let extent = parse(inode, &key, item)?;
    if end_of(inode, &key, &extent)? <= at {
        return Ok(None);
    }
    Ok(match extent {
        FileExtent::Regular(piece) => Some((key, piece)),
        FileExtent::Inline(_) => None,
    })
}
