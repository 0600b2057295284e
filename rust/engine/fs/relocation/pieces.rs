// SPDX-License-Identifier: GPL-2.0
//! The items of a file that refer to an extent: finding them, and making them refer to another place.

use super::extents::reference;
use crate::btree::{Allocate, Tree, Writer};
use crate::disk::{
    FileExtent, FileOffset, FileRef, Key, Kind, RegularExtent, MAX_COMPRESSED_RANGE,
};
use crate::fs::filesystem::or_abort;
use crate::fs::items;
use crate::space::DataExtent;
use crate::txn::Handle;
use core::ops::{ControlFlow, RangeInclusive};
use latch::prelude::*;

/// How the items of a file that refer to an extent stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pieces {
    /// There is none (any more).
    None,
    /// This many pieces are in leaves that the file's tree alone has.
    Own(usize),
    /// A snapshot has some of the leaves, too.
    Shared,
}

/// A file's reference to an extent, in the file's tree.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    /// The tree of the file.
    pub(super) tree: &'a Tree,
    /// The reference that the file has.
    pub(super) file: &'a FileRef,
    /// The extent that is moved.
    pub(super) extent: DataExtent,
}

impl Held<'_> {
    /// The keys that an item may have that refers to the extent: the reference says where this would begin in the file. `None`
    /// where that is behind all files.
    fn keys(&self) -> Option<RangeInclusive<Key>> {
        // A packed extent is longer in the file, and never longer than this.
        let span = self.extent.len.max(MAX_COMPRESSED_RANGE).get();
        let end = self.file.offset.wrapping_add(span);
        // Of a clone it may begin before the file does: then the difference has wrapped.
        let begins_before = self.file.offset > u64::MAX / 2;
        let start = if begins_before { 0 } else { self.file.offset };
        let key = |at| Key {
            objectid: self.file.inode,
            kind: Kind::EXTENT_DATA,
            offset: at,
        };
        (end > start).then(|| key(start)..=key(end.saturating_sub(1)))
    }

    /// What the item says, if it refers to the extent in this way.
    fn piece(&self, key: &Key, item: &[u8]) -> Result<Option<RegularExtent>> {
        let parsed = FileExtent::parse(item).map_err(items::flawed(self.tree, key))?;
        Ok(match parsed {
            FileExtent::Regular(piece)
                if piece.disk_addr == self.extent.logical
                    && piece.disk_len == self.extent.len
                    && piece.extent_start(FileOffset::new(key.offset)) == self.file.offset =>
            {
                Some(piece)
            }
            FileExtent::Regular(_) | FileExtent::Inline(_) => None,
        })
    }

    /// How the items stand now.
    pub(super) fn look(&self, txn: &dyn Allocate) -> Result<Pieces> {
        let Some(keys) = self.keys() else {
            return Ok(Pieces::None);
        };
        let mut found = KVVec::new();
        self.tree.scan(keys, |key, item| {
            if self.piece(&key, item)?.is_some() {
                found.push(key, GFP_NOFAIL)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for key in &found {
            for (addr, level) in self.tree.shareable_way(key)? {
                if txn.block_refs(addr, level)?.count > 1 {
                    return Ok(Pieces::Shared);
                }
            }
        }
        Ok(match found.len() {
            0 => Pieces::None,
            count => Pieces::Own(count),
        })
    }

    /// Makes the items refer to the new place, all that still refer to the old one; how many. Each loses its reference to that and
    /// gets one to the new place, to which the caller has one meanwhile. The extents of the inode are locked. After an error but an
    /// abort some items refer to the old place still.
    pub(super) fn replace(&self, handle: &Handle, to: DataExtent) -> Result<u32> {
        let Some(keys) = self.keys() else {
            return Ok(0);
        };
        let mut replaced = 0_u32;
        let mut writer = Writer::new(self.tree, handle);
        writer.seek(keys.start())?;
        while let Some((key, item)) = writer.item()? {
            if !keys.contains(&key) {
                break;
            }
            if let Some(piece) = self.piece(&key, item)? {
                or_abort(handle, self.redirect(handle, &mut writer, &piece, to))?;
                replaced = replaced.saturating_add(1);
            }
            writer.next()?;
        }
        Ok(replaced)
    }

    /// Makes the item that the writer stands at refer to the new place.
    fn redirect(
        &self,
        handle: &Handle,
        writer: &mut Writer<'_>,
        piece: &RegularExtent,
        to: DataExtent,
    ) -> Result {
        let moved = RegularExtent {
            disk_addr: to.logical,
            ..*piece
        };
        moved.write_to(items::here_mut(writer)?)?;
        handle.share_data(&reference(self.file, to))?;
        handle.release_data(&reference(self.file, self.extent))
    }
}
